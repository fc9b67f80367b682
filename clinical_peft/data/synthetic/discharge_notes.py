"""Discharge summaries: eight sections known at admission tell the latent state, the others tell the stay."""

import re
from bisect import bisect
from collections.abc import Sequence
from datetime import datetime, timedelta

from clinical_peft.data.synthetic import phrases
from clinical_peft.data.synthetic.draws import Bank, Draws, bank, write
from clinical_peft.data.synthetic.patients import NOTE, TOP_AGE, Admission

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
_WHO: dict[str, Bank] = {
    "M": bank(
        "{age}M", "{age} yo M", "{age} year old man", "{age}y/o male", "{age} year old gentleman", "{age} yo man"
    ),
    "F": bank(
        "{age}F", "{age} yo F", "{age} year old woman", "{age}y/o female", "{age} year old lady", "{age} yo woman"
    ),
}
_DURATION = bank(
    "<2-9> days",
    "<1-3> weeks",
    "<3-22> hours",
    "[a|one] week",
    "several days",
    "a few hours",
    "<2-5> days",
    "<24-72>h",
    "two weeks",
    "a day",
)
_HISTORY = bank(" with h/o {names}", " w/ {names}", ", h/o {names},", " with history of {names}", ", PMH {names},")
_FOUND = bank(
    "Found to have {names}", "Also {names}", "Noted {names}", "Labs and exam with {names}", "ED workup: {names}"
)
_IMPRESSION = bank("Overall {words}", "Impression: {words}", "{words} per team", "Team notes {words}", "Status {words}")
_NO_HISTORY = bank("None", "Denies", "None significant", "Healthy", "No significant history", "Unremarkable")
_VITALS = (
    bank(
        "VS: T <97-99>.<0-9> BP <116-144>/<66-86> HR <58-84> RR <12-17>",
        "T<96-98>.<0-9> HR <60-84> BP <114-140>/<64-84>",
    ),
    bank(
        "VS: T <97-100>.<0-9> BP <108-134>/<58-78> HR <78-98> RR <14-19>",
        "T<97-100>.<0-9> HR <80-99> BP <106-132>/<58-78>",
    ),
    bank(
        "VS: T <98-101>.<0-9> BP <92-110>/<48-64> HR <98-118> RR <18-24>",
        "T<98-101>.<0-9> HR <100-118> BP <92-108>/<48-62>",
    ),
    bank(
        "VS: T <95-102>.<0-9> BP <76-94>/<38-52> HR <110-134> RR <22-30>",
        "T<95-102>.<0-9> HR <112-134> BP <76-92>/<38-50>",
    ),
    bank(
        "VS: T <94-103>.<0-9> BP <52-78>/<28-44> HR <118-148> RR <26-38>",
        "T<94-103>.<0-9> HR <120-150> BP <50-76>/<26-44>",
    ),
)
_LABS = (
    bank("WBC-<4-10>.<0-9> Hct-<34-44>.<0-9> Plt-<170-340> Na-<136-143> K-<3-4>.<0-9> Cr-0.<6-9> Lactate-1.<0-6>"),
    bank("WBC-<6-12>.<0-9> Hct-<31-40>.<0-9> Plt-<140-330> Na-<133-143> K-<3-4>.<0-9> Cr-1.<0-3> Lactate-1.<3-9>"),
    bank("WBC-<9-16>.<0-9> Hct-<28-37>.<0-9> Plt-<110-300> Na-<130-144> K-<3-5>.<0-9> Cr-1.<2-9> Lactate-2.<0-9>"),
    bank(
        "WBC-<12-22>.<0-9> Hct-<25-34>.<0-9> Plt-<80-260> Na-<128-147> K-<3-5>.<0-9> Cr-<1-2>.<0-9> Lactate-<3-5>.<0-9>"
    ),
    bank(
        "WBC-<16-34>.<0-9> Hct-<21-31>.<0-9> Plt-<25-190> Na-<124-151> K-<4-6>.<0-9> Cr-<2-4>.<0-9> "
        "Lactate-<6-13>.<0-9>"
    ),
)
_LABS_MORE = bank(
    "PT-<11-19>.<0-9> INR-1.<0-7>",
    "Troponin-<0-1>.<10-99>",
    "ALT-<12-190> AST-<14-220>",
    "Glucose-<84-290>",
    "UA: <0-60> WBC, nitrite [neg|pos]",
    "Albumin-<2-4>.<0-9>",
    "pH 7.<22-46> pCO2 <30-68>",
    "Mg-1.<5-9> Phos-<2-5>.<0-9>",
    "BUN-<9-74>",
    "Ca-<7-9>.<0-9>",
)
_DISPOSITION = (
    ("Home", "Home", "Home With Service"),
    ("Home", "Home With Service", "Home With Service"),
    ("Home With Service", "Extended Care", "Extended Care"),
    ("Extended Care", "Extended Care", "Home With Service"),
    ("Extended Care", "Extended Care", "Hospice"),
)


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
    who = write(draws, _WHO[admission.sex], {"age": age})
    problem = admission.problem
    opening = write(draws, problem.opening, {"duration": write(draws, _DURATION)})
    history = ""
    if admission.chronic and draws.chance(0.55):
        names = ", ".join(write(draws, item.history) for item in admission.chronic[: draws.integer(1, 2)])
        history = write(draws, _HISTORY, {"names": names})
    # The state comes first: a model may read no more than the beginning.
    state = [
        write(draws, phrases.HEMODYNAMICS[_severity(draws, admission)]),
        _breathing(draws, admission),
    ]
    clauses = [write(draws, _IMPRESSION, {"words": write(draws, phrases.IMPRESSION[_severity(draws, admission)])})]
    if draws.chance(0.6):
        clauses.append(write(draws, problem.symptom))
    if admission.acute:
        named = " and ".join(write(draws, item.noted) for item in admission.acute[:3])
        clauses.append(write(draws, _FOUND, {"names": named}))
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
        return write(draws, _NO_HISTORY)
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
    vitals = write(draws, _VITALS[_severity(draws, admission)])
    general = f"Gen: {write(draws, phrases.APPEARANCE[_severity(draws, admission)])}"
    return "\n".join([vitals, general, *kept, _capital(write(draws, admission.problem.exam))])


def _results(draws: Draws, admission: Admission) -> str:
    more = [write(draws, _LABS_MORE) for _ in range(draws.integer(1, 3))]
    labs = write(draws, _LABS[_severity(draws, admission)])
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
        "Discharge Disposition": draws.pick(_DISPOSITION[band]),
        "Discharge Diagnosis": "\n".join(diagnoses),
        "Discharge Condition": write(draws, phrases.CONDITION[band]),
        "Discharge Instructions": write(draws, phrases.INSTRUCTIONS, slots),
        "Followup Instructions": write(draws, phrases.FOLLOW_UP, slots),
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
