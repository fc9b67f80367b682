"""Edge cases inside the text of a discharge summary, one per note."""

from collections.abc import Callable

from clinical_peft.synthetic.discharge_notes import (
    ALLERGIES,
    CHIEF_COMPLAINT,
    FAMILY_HISTORY,
    MEDICAL_HISTORY,
    MEDICATIONS,
    PHYSICAL_EXAM,
    PRESENT_ILLNESS,
    SOCIAL_HISTORY,
    Sections,
)

LINE_BREAKS = ("\u2028", "\x0b", "\x0c")


def _header(sections: Sections, name: str) -> str:
    return name if name in sections else name.upper()


def _appended(name: str, phrase: str) -> Callable[[Sections], Sections]:
    def apply(sections: Sections) -> Sections:
        header = _header(sections, name)
        return {**sections, header: f"{sections[header]} {phrase}"}

    return apply


def _without(*names: str) -> Callable[[Sections], Sections]:
    def apply(sections: Sections) -> Sections:
        return {
            header: body for header, body in sections.items() if header not in {_header(sections, n) for n in names}
        }

    return apply


def _exam_last(sections: Sections) -> Sections:
    exam = _header(sections, PHYSICAL_EXAM)
    kept = dict(list(sections.items())[: list(sections).index(exam)])
    return {**kept, exam: sections[exam]}


def _inserted(before: str, header: str, body: str) -> Callable[[Sections], Sections]:
    def apply(sections: Sections) -> Sections:
        result: Sections = {}
        for name, text in sections.items():
            if name == _header(sections, before):
                result[header] = body
            result[name] = text
        return result

    return apply


def _carriage_returns(sections: Sections) -> Sections:
    return {header: body.replace("\n", "\r\n").replace(". ", ".\r\n") for header, body in sections.items()}


def _unicode_breaks(sections: Sections) -> Sections:
    broken = dict(sections)
    for name, mark in zip((PRESENT_ILLNESS, MEDICAL_HISTORY, SOCIAL_HISTORY), LINE_BREAKS, strict=True):
        header = _header(sections, name)
        broken[header] = sections[header].replace(" ", mark, 1)
    return broken


STRUCTURE_CASES: dict[str, Callable[[Sections], Sections]] = {
    "missing_sections": _without(MEDICAL_HISTORY, SOCIAL_HISTORY, FAMILY_HISTORY),
    "exam_is_last_section": _exam_last,
    "empty_brackets": lambda sections: {**sections, _header(sections, MEDICAL_HISTORY): "[]"},
    "digit_in_next_header": _inserted(MEDICAL_HISTORY, "Part 2 of history", "As told by the family at 9 pm."),
    "discharge_exam_first": _inserted(
        PHYSICAL_EXAM, "Discharge Physical Exam", "VS: stable on the day of discharge\nGen: ready to go home"
    ),
    "carriage_returns": _carriage_returns,
    "unicode_line_breaks": _unicode_breaks,
    "quotes_and_commas": _appended(PRESENT_ILLNESS, 'Describes it as "a brick, heavy", then "sharp, like a knife".'),
    "no_complaint_illness_or_history": _without(CHIEF_COMPLAINT, PRESENT_ILLNESS, MEDICAL_HISTORY),
    "allergies_in_addendum_only": _without(ALLERGIES),
}

# The patient's own death, in a note of a patient who died. The first four lose the phrase, the others the note.
PATIENT_DEATH_CASES: dict[str, Callable[[Sections], Sections]] = {
    "death_exam_patient_expired": _appended(PHYSICAL_EXAM, "Patient expired."),
    "death_exam_pt_has_passed_away": _appended(PHYSICAL_EXAM, "On last check pt has passed away."),
    "death_exam_without_subject": _appended(PHYSICAL_EXAM, "No pulse, deceased."),
    "death_medication_patient_had_died": _appended(MEDICATIONS, "List closed as patient had died."),
    "death_exam_twice": _appended(PHYSICAL_EXAM, "Pt expired. Family was told that the patient died."),
    "death_patient_died": _appended(PRESENT_ILLNESS, "The patient died despite all efforts."),
    "death_he_or_she_expired": _appended(PRESENT_ILLNESS, "Soon after arrival on the unit she expired."),
    "death_time_of_death": _appended(PRESENT_ILLNESS, "Time of death was noted in the chart."),
}

# Deaths of others that the original's patterns take for the patient's, in notes of survivors.
FALSE_DEATH_CASES: dict[str, Callable[[Sections], Sections]] = {
    "false_death_attempt_died": _appended(PRESENT_ILLNESS, "Interest in a new attempt died down at home."),
    "false_death_relative_a_patient": _appended(FAMILY_HISTORY, "Sister, a dialysis patient died at 61."),
    "false_death_relative_a_pt": _appended(FAMILY_HISTORY, "Brother, also our pt passed away in his 50s."),
    "false_death_roommate": _appended(SOCIAL_HISTORY, "Roommate, a fellow patient has deceased last month."),
    "false_death_crew_pronounced": _appended(PRESENT_ILLNESS, "The other driver was pronounced expired at the scene."),
}

# Near misses: the words, but nothing that the original's patterns drop.
NEAR_DEATH_CASES: dict[str, Callable[[Sections], Sections]] = {
    "near_death_prescription_expired": _appended(PRESENT_ILLNESS, "Inhaler prescription had expired."),
    "near_death_mother_died": _appended(FAMILY_HISTORY, "Mother died of stroke at 74."),
    "near_death_cousin_passed_away": _appended(SOCIAL_HISTORY, "Moved here after a cousin passed away."),
    "near_death_time_of_departure": _appended(PRESENT_ILLNESS, "Was well at the time of departure."),
}

TEXT_CASES = {**STRUCTURE_CASES, **PATIENT_DEATH_CASES, **FALSE_DEATH_CASES, **NEAR_DEATH_CASES}

# Cases of the rows around a note rather than of its text.
ROW_CASES = (
    "null_hadm_id",
    "null_text",
    "iserror",
    "addendum_only",
    "same_day_addendum",
    "several_reports",
    "no_summary",
)
WITHOUT_ADMISSION_NOTE = frozenset({"addendum_only", "no_summary", "no_complaint_illness_or_history"})
