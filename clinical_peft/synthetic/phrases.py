"""Phrases of a discharge summary; levels go from the mildest to the worst severity or respiratory failure."""

from clinical_peft.synthetic.words import Phrases

_DISCHARGE = Phrases("discharge")

# The history of present illness.
WHO = _DISCHARGE.by_name("who")  # by sex
DURATION = _DISCHARGE.bank("duration")
HISTORY = _DISCHARGE.bank("history")
FOUND = _DISCHARGE.bank("found")
IMPRESSION_CLAUSE = _DISCHARGE.bank("impression_clause")
HEMODYNAMICS = _DISCHARGE.levels("hemodynamics")  # by severity, as the next
IMPRESSION = _DISCHARGE.levels("impression")
BREATHING = _DISCHARGE.levels("breathing")  # without a ventilator, by respiratory failure
VENTILATION = _DISCHARGE.levels("ventilation")  # on a ventilator, by respiratory failure, as the next
WEANING = _DISCHARGE.levels("weaning")

# The other sections known at admission.
NO_HISTORY = _DISCHARGE.bank("no_history")
ALLERGIES = _DISCHARGE.bank("allergies")
FAMILY = _DISCHARGE.bank("family")
SOCIAL = _DISCHARGE.bank("social")
TOBACCO = _DISCHARGE.bank("tobacco")
VITALS = _DISCHARGE.levels("vitals")
APPEARANCE = _DISCHARGE.levels("appearance")
LUNGS = _DISCHARGE.levels("lungs")
HEART = _DISCHARGE.bank("heart")
ABDOMEN = _DISCHARGE.bank("abdomen")
EXTREMITIES = _DISCHARGE.bank("extremities")
NEUROLOGIC = _DISCHARGE.bank("neurologic")

# The stay and the discharge.
LABS = _DISCHARGE.levels("labs")
LABS_MORE = _DISCHARGE.bank("labs_more")
COURSE_STEADY = _DISCHARGE.levels("course_steady")
COURSE_VENTILATED = _DISCHARGE.levels("course_ventilated")
COURSE_DEATH = _DISCHARGE.bank("course_death")
CONDITION = _DISCHARGE.levels("condition")
INSTRUCTIONS = _DISCHARGE.bank("instructions")
FOLLOW_UP = _DISCHARGE.bank("follow_up")
