"""Rows of NOTEEVENTS: discharge summaries with their edge cases, radiology reports, bedside notes."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from clinical_peft.synthetic import phrases
from clinical_peft.synthetic.copied_notes import CATEGORY, copied_notes
from clinical_peft.synthetic.discharge_notes import date_mark, discharge_sections, render
from clinical_peft.synthetic.draws import Draws, write
from clinical_peft.synthetic.mimic_iii_rows import caregiver, stamp
from clinical_peft.synthetic.other_notes import bedside_note, radiology_report
from clinical_peft.synthetic.patients import COPIES, FACILITY, ROWS, Admission
from clinical_peft.synthetic.planted_notes import TEXT_CASES
from clinical_peft.synthetic.planting import Plan
from clinical_peft.synthetic.tables import Value

SUMMARY = "Discharge summary"
_LATE_NOTE_HOURS = 60  # a note that comes later than 48 hours after the ventilation began


def discharge_text(admission: Admission, plan: Plan, hosts: Mapping[int, Admission]) -> str:
    """Return the text of the admission's discharge summary in the form of MIMIC-III.

    Args:
        admission: The admission.
        plan: Edge cases; one of them gives the summary of another patient.
        hosts: Admissions by id.
    """
    source = hosts[plan.copied_from.get(admission.hadm_id, admission.hadm_id)]
    sections = discharge_sections(source)
    case = plan.note.get(source.hadm_id, "")
    if case in TEXT_CASES:
        sections = TEXT_CASES[case](sections)
    return render(sections)


def note_rows(admission: Admission, plan: Plan, hosts: Mapping[int, Admission]) -> Iterator[tuple[Value, ...]]:
    """Yield the rows of one admission."""
    draws = admission.draws(ROWS)
    yield from _summary_rows(draws, admission, plan, hosts)
    yield _radiology_row(draws, admission)
    yield _bedside_row(draws, admission, plan)


def _summary_rows(
    draws: Draws, admission: Admission, plan: Plan, hosts: Mapping[int, Admission]
) -> Iterator[tuple[Value, ...]]:
    case = plan.note.get(admission.hadm_id, "")
    text = discharge_text(admission, plan, hosts)
    day = admission.discharged
    error = "1" if case == "iserror" else None
    if case not in ("addendum_only", "no_summary"):
        yield _row(draws, admission, day, None, SUMMARY, "Report", text, error)
    if case in ("addendum_only", "same_day_addendum"):
        yield _row(draws, admission, day, None, SUMMARY, "Addendum", _addendum(draws, admission, ""))
    elif case == "allergies_in_addendum_only":
        allergies = f"Allergies:\n{write(draws, phrases.ALLERGIES)}\n\n"
        later = day + timedelta(days=2)
        yield _row(draws, admission, later, None, SUMMARY, "Addendum", _addendum(draws, admission, allergies))
    elif case == "several_reports":
        yield _row(draws, admission, day + timedelta(days=1), None, SUMMARY, "Report", _second_report(draws, admission))
    elif case == "null_text":
        yield _row(draws, admission, day, None, SUMMARY, "Report", None)
    elif case == "null_hadm_id":
        values = _row(draws, admission, day, None, SUMMARY, "Report", _second_report(draws, admission))
        yield (values[0], None, *values[2:])


def _row(
    draws: Draws,
    admission: Admission,
    day: datetime,
    time: datetime | None,
    category: str,
    description: str,
    text: str | None,
    error: str | None = None,
) -> tuple[Value, ...]:
    written = None if time is None else stamp(time + timedelta(minutes=draws.integer(1, 90)))
    author = None if time is None else caregiver(draws)
    moment = None if time is None else stamp(time)
    date = day.strftime("%Y-%m-%d")
    return (
        admission.subject_id,
        admission.hadm_id,
        date,
        moment,
        written,
        category,
        description,
        author,
        error,
        text,
    )


def _addendum(draws: Draws, admission: Admission, extra: str) -> str:
    surname, unit = draws.integer(100, 9999), draws.integer(100, 9999)
    return (
        f"Name:  [**Known lastname {surname}**]       Unit No:   [**Numeric Identifier {unit}**]\n\n"
        f"Admission Date:  {date_mark(admission.admitted)}\n\n{extra}Addendum:\n"
        f"{write(draws, admission.problem.course)}. Seen again before leaving, plan discussed.\n\n"
        f"Discharge Disposition:\n{_disposition(admission)}\n"
    )


def _disposition(admission: Admission) -> str:
    if admission.died:
        return "Expired"
    return "Extended Care" if admission.destination == FACILITY else "Home"


def _second_report(draws: Draws, admission: Admission) -> str:
    return (
        f"Interim summary, [**Hospital1 {draws.integer(2, 60)}**]\n\nChief Complaint:\n"
        f"{write(draws, admission.problem.complaint)}\n\nBrief Hospital Course:\n"
        f"{write(draws, admission.problem.course)}. {write(draws, phrases.COURSE_STEADY[1])}\n\n"
        f"Discharge Diagnosis:\n{write(draws, admission.problem.diagnosis)}\n"
    )


def _radiology_row(draws: Draws, admission: Admission) -> tuple[Value, ...]:
    time = admission.admitted + timedelta(minutes=draws.integer(30, 900))
    examination, text = radiology_report(draws, admission)
    text = text.replace("___", f"[**{admission.admitted.year}**]")
    return _row(draws, admission, time, time, "Radiology", examination, text)


def _bedside_row(draws: Draws, admission: Admission, plan: Plan) -> tuple[Value, ...]:
    nursing = "Nursing" if admission.metavision else "Nursing/other"
    if not admission.ventilated:
        category = "Physician " if admission.metavision and draws.chance(0.3) else nursing
        time = admission.admitted + timedelta(minutes=draws.integer(60, 2000))
        return _row(draws, admission, time, time, category, "Report", bedside_note(draws, admission, nursing))
    category = "Respiratory " if draws.chance(0.4) else nursing
    late = plan.chart.get(admission.hadm_id) == "late_bedside_note"
    minutes = _LATE_NOTE_HOURS * 60 if late else draws.integer(20, 2700)
    time = admission.admitted + timedelta(seconds=admission.stays[0].episodes[0].start, minutes=minutes)
    return _row(draws, admission, time, time, category, "Report", bedside_note(draws, admission, category))


def copied_rows(admission: Admission, count: int) -> Iterator[tuple[Value, ...]]:
    """Yield the rows of the notes that copy an admission's history forward."""
    draws = Draws(*admission.key, COPIES, ROWS)
    for note in copied_notes(admission, count):
        yield _row(draws, admission, note.when, note.when, CATEGORY, "Report", note.text)


def newborn_summary(draws: Draws) -> str:
    """Return the discharge summary of a healthy newborn."""
    template = draws.pick(
        (
            "Baby [**Known lastname {0}**] is a {1} gram newborn, {2} weeks, Apgars {3} and 9.",
            "Infant of [**Known lastname {0}**], {2} weeks gestation, birth weight {1} grams, Apgars {3}, 9.",
        ),
    )
    numbers = (draws.integer(100, 9999), draws.integer(1900, 4300), draws.integer(34, 41), draws.integer(6, 9))
    return (
        f"Service: NEONATOLOGY\n\nHistory of Present Illness:\n{template.format(*numbers)}\n\n"
        f"Physical Exam:\nPink, active, soft fontanelle, HR {draws.integer(120, 165)}.\n\n"
        f"Discharge Disposition:\nHome\n"
    )
