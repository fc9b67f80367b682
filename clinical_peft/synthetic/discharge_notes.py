"""Discharge summaries: eight sections known at admission depend on the latent state, the others describe the stay."""

import re
from bisect import bisect
from collections.abc import Sequence
from datetime import datetime, timedelta

from clinical_peft.synthetic import phrases
from clinical_peft.synthetic.draws import Draws, write
from clinical_peft.synthetic.patients import FACILITY, HOME, NOTE, TOP_AGE, Admission

SEVERITY_LEVELS = (-0.85, -0.2, 0.45, 1.15)
BREATHING_LEVELS = (-0.5, 0.2, 0.9)
VENTILATION_LEVELS = (-0.25, 0.4, 1.0, 1.65)
LEVEL_NOISE = 0.12  # two phrases on the same state need not agree

MASTHEAD = "Masthead"
CHIEF_COMPLAINT = "Chief Complaint"
PRESENT_ILLNESS = "History of Present Illness"
MEDICAL_HISTORY = "Past Medical History"
MEDICATIONS = "Medications on Admission"
ALLERGIES = "Allergies"
PHYSICAL_EXAM = "Physical Exam"
FAMILY_HISTORY = "Family History"
SOCIAL_HISTORY = "Social History"

Sections = dict[str, str]
"""Header (without its colon) to body, in the order of the note; the masthead comes first and has no header."""

_MARK = re.compile(r"\[\*\*[^\]]*\*\*\]")
_DISPOSITION = (
    ("Home", "Home", "Home With Service"),
    ("Home", "Home With Service", "Home With Service"),
    ("Home With Service", "Extended Care", "Extended Care"),
    ("Extended Care", "Extended Care", "Home With Service"),
    ("Extended Care", "Extended Care", "Hospice"),
)
_PLANTED_DISPOSITION = {HOME: ("Home", "Home", "Home With Service"), FACILITY: ("Extended Care",)}


def level(draws: Draws, value: float, cuts: Sequence[float]) -> int:
    """Return the band of a latent value, blurred so that phrases about one state may differ by a band."""
    return bisect(cuts, draws.normal(value, LEVEL_NOISE))


def date_mark(when: datetime) -> str:
    """Return a de-identified date as MIMIC-III writes it."""
    return f"[**{when.year}-{when.month}-{when.day}**]"


def render(sections: Sections) -> str:
    """Return the text of a note."""
    parts = [body if header == MASTHEAD else f"{header}:\n{body}" for header, body in sections.items()]
    return "\n\n".join(parts) + "\n"


def as_mimic_iv(text: str) -> str:
    """Return a discharge summary in the form of MIMIC-IV-Note: marks become ``___`` and a name line comes first."""
    return "Name:  ___                     Unit No:   ___\n\n" + _MARK.sub("___", text)


def discharge_sections(admission: Admission) -> Sections:
    """Return the sections of the admission's discharge summary, the same at every call."""
    draws = admission.draws(NOTE)
    complaint = write(draws, admission.problem.complaint)
    sections: Sections = {
        MASTHEAD: _masthead(draws, admission),
        ALLERGIES: write(draws, phrases.ALLERGIES),
        "Attending": f"[**First Name3 (LF) {draws.integer(30, 999)}**]",
        CHIEF_COMPLAINT: _opening(admission) + (complaint.capitalize() if draws.chance(0.7) else complaint),
        "Major Surgical or Invasive Procedure": write(draws, admission.problem.operation),
        PRESENT_ILLNESS: _present_illness(draws, admission),
        MEDICAL_HISTORY: _medical_history(draws, admission),
        SOCIAL_HISTORY: _social_history(draws, admission),
        FAMILY_HISTORY: write(draws, phrases.FAMILY),
        PHYSICAL_EXAM: _physical_exam(draws, admission),
        "Pertinent Results": _results(draws, admission),
        "Brief Hospital Course": _course(draws, admission),
        MEDICATIONS: _home_medications(draws, admission),
    }
    sections.update(_departure(draws, admission, complaint))
    if draws.chance(0.2):
        return {header if header == MASTHEAD else header.upper(): body for header, body in sections.items()}
    return sections


def _masthead(draws: Draws, admission: Admission) -> str:
    born = date_mark(admission.admitted - timedelta(days=int(365.25 * min(admission.age + 0.5, TOP_AGE))))
    return (
        f"Admission Date:  {date_mark(admission.admitted)}       Discharge Date:  {date_mark(admission.discharged)}\n\n"
        f"Date of Birth:  {born}       Sex:   {admission.sex}\n\nService: {admission.problem.service}"
    )


def _present_illness(draws: Draws, admission: Admission) -> str:
    age = str(admission.age) if admission.age <= TOP_AGE else "[**Age over 90 **]"
    who = write(draws, phrases.WHO[admission.sex], {"age": age})
    problem = admission.problem
    opening = write(draws, problem.opening, {"duration": write(draws, phrases.DURATION)})
    history = ""
    if admission.chronic and draws.chance(0.55):
        names = ", ".join(write(draws, item.history) for item in admission.chronic[: draws.integer(1, 2)])
        history = write(draws, phrases.HISTORY, {"names": names})
    # The state comes first: a model may read no more than the beginning.
    state = [
        write(draws, phrases.HEMODYNAMICS[_severity(draws, admission)]),
        _breathing(draws, admission),
    ]
    impression = write(draws, phrases.IMPRESSION[_severity(draws, admission)])
    clauses = [write(draws, phrases.IMPRESSION_CLAUSE, {"words": impression})]
    if draws.chance(0.6):
        clauses.append(write(draws, problem.symptom))
    if admission.acute:
        named = " and ".join(write(draws, item.noted) for item in admission.acute[:3])
        clauses.append(write(draws, phrases.FOUND, {"names": named}))
    sentences = [opening, *draws.shuffled(state), *draws.shuffled(clauses)]
    return f"{who}{history} " + ". ".join([sentences[0], *map(_capital, sentences[1:])]) + "."


def _breathing(draws: Draws, admission: Admission) -> str:
    if admission.ventilated:
        first, second = (level(draws, admission.respiration, VENTILATION_LEVELS) for _ in range(2))
        return f"{write(draws, phrases.VENTILATION[first])}, {write(draws, phrases.WEANING[second])}"
    return write(draws, phrases.BREATHING[level(draws, admission.respiration, BREATHING_LEVELS)])


def _severity(draws: Draws, admission: Admission) -> int:
    return level(draws, admission.severity, SEVERITY_LEVELS)


def _medical_history(draws: Draws, admission: Admission) -> str:
    names = [write(draws, item.history) for item in admission.chronic]
    if not names:
        return write(draws, phrases.NO_HISTORY)
    style = draws.uniform()
    if style < 0.5:
        return ", ".join(names)
    if style < 0.8:
        return "\n".join(f"{number}. {name}" for number, name in enumerate(names, 1))
    return "\n".join(f"- {name}" for name in names)


def _home_medications(draws: Draws, admission: Admission) -> str:
    drugs = [write(draws, item.drugs) for item in admission.chronic if item.drugs and draws.chance(0.85)]
    if not drugs:
        return draws.pick(("None", "No home medications", "Multivitamin daily", "Acetaminophen prn"))
    if draws.chance(0.4):
        return ", ".join(drugs)
    return "\n".join(f"{number}. {drug}" for number, drug in enumerate(drugs, 1))


def _social_history(draws: Draws, admission: Admission) -> str:
    slots = {
        "spouse": "wife" if admission.sex == "M" else "husband",
        "tobacco": write(draws, phrases.TOBACCO),
        "hospital": f"[**Hospital1 {draws.integer(2, 60)}**]",
    }
    return write(draws, phrases.SOCIAL, slots)


def _physical_exam(draws: Draws, admission: Admission) -> str:
    lungs = level(draws, admission.respiration, VENTILATION_LEVELS if admission.ventilated else BREATHING_LEVELS)
    lines = [
        f"Lungs: {write(draws, phrases.LUNGS[lungs])}",
        f"CV: {write(draws, phrases.HEART)}",
        f"Abd: {write(draws, phrases.ABDOMEN)}",
        f"Ext: {write(draws, phrases.EXTREMITIES)}",
        f"Neuro: {write(draws, phrases.NEUROLOGIC)}",
    ]
    kept = [line for line in draws.shuffled(lines) if draws.chance(0.85)]
    vitals = write(draws, phrases.VITALS[_severity(draws, admission)])
    general = f"Gen: {write(draws, phrases.APPEARANCE[_severity(draws, admission)])}"
    return "\n".join([vitals, general, *kept, _capital(write(draws, admission.problem.exam))])


def _results(draws: Draws, admission: Admission) -> str:
    more = [write(draws, phrases.LABS_MORE) for _ in range(draws.integer(1, 3))]
    labs = write(draws, phrases.LABS[_severity(draws, admission)])
    return f"{date_mark(admission.admitted)} {labs}\n{' '.join(more)}\n{write(draws, admission.problem.imaging)}."


def _course(draws: Draws, admission: Admission) -> str:
    band = _severity(draws, admission)
    sentences = [
        f"{write(draws, admission.problem.course)}.",
        write(draws, phrases.COURSE_STEADY[band]),
        *(write(draws, item.course) for item in admission.acute),
    ]
    if admission.ventilated:
        band = level(draws, admission.respiration, VENTILATION_LEVELS)
        sentences.append(write(draws, phrases.COURSE_VENTILATED[band]))
    sentences = draws.shuffled(sentences)
    if admission.died:
        sentences.append(write(draws, phrases.COURSE_DEATH))
    return " ".join(sentences)


def _opening(admission: Admission) -> str:
    if admission.place:
        return f"from {admission.place}, "
    return f"{admission.alias}, " if admission.alias else ""


def _departure(draws: Draws, admission: Admission, complaint: str) -> Sections:
    diagnoses = [write(draws, admission.problem.diagnosis)]
    diagnoses += [_capital(item.name) for item in admission.acute]
    diagnoses += [_capital(item.name) for item in admission.chronic[:3]]
    if admission.died:
        return {
            "Discharge Disposition": "Expired",
            "Discharge Diagnosis": "\n".join(diagnoses),
            "Discharge Condition": "Expired",
        }
    band = _severity(draws, admission)
    drugs = [write(draws, admission.problem.discharge_drugs)]
    drugs += [write(draws, item.drugs) for item in admission.chronic[:3] if item.drugs]
    slots = {
        "doctor": f"[**Last Name (STitle) {draws.integer(100, 9999)}**]",
        "phone": f"[**Telephone/Fax (1) {draws.integer(100, 9999)}**]",
        "hospital": f"[**Hospital1 {draws.integer(2, 60)}**]",
        "date": date_mark(admission.discharged),
        "complaint": complaint,
    }
    return {
        "Discharge Medications": "\n".join(f"{number}. {drug}" for number, drug in enumerate(dict.fromkeys(drugs), 1)),
        "Discharge Disposition": draws.pick(_PLANTED_DISPOSITION.get(admission.destination, _DISPOSITION[band])),
        "Discharge Diagnosis": "\n".join(diagnoses),
        "Discharge Condition": write(draws, phrases.CONDITION[band]),
        "Discharge Instructions": write(draws, phrases.INSTRUCTIONS, slots),
        "Followup Instructions": write(draws, phrases.FOLLOW_UP, slots),
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
