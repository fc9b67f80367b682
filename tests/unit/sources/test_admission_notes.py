"""Admission notes: which discharge summaries, and which sections."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from headings_at_discharge import HEADINGS_AT_DISCHARGE
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_memory import needs_proc, peak_bytes

from clinical_peft.data.sections import SECTION_HEADERS, admission_note, anchored_sections, unanchored_sections
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes

COLUMNS = ["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY", "DESCRIPTION", "TEXT", "ISERROR"]
PAPER = {"sections_unanchored": True, "addenda_searched": True, "error_notes_kept": True, "marks_kept": True}
CORRECTED = dict.fromkeys(PAPER, False)
DISCHARGE = "Discharge summary"


def hospital(folder: Path, notes: list[list[object]], newborns: tuple[int, ...] = ()) -> Path:
    admissions = sorted({int(note[2]) for note in notes if note[2]})
    with (folder / "ADMISSIONS.csv").open("w", newline="") as handle:
        rows = [[hadm_id, "NEWBORN" if hadm_id in newborns else "URGENT"] for hadm_id in admissions]
        csv.writer(handle).writerows([["HADM_ID", "ADMISSION_TYPE"], *rows])
    with (folder / "NOTEEVENTS.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([COLUMNS, *([*note, ""][: len(COLUMNS)] for note in notes)])
    return folder


def summary(complaint: str) -> str:
    return f"Chief Complaint:\n{complaint}\n\nAllergies:\nNone\n\nService: Surgery\n"


def build(folder: Path, switches: dict[str, bool]) -> tuple[dict[int, str], list[dict[str, object]]]:
    steps = build_admission_notes(folder, folder / "out.parquet", **switches)
    rows = pq.read_table(folder / "out.parquet").to_pylist()
    return {row["hadm_id"]: row["text"] for row in rows}, steps


@pytest.mark.parametrize("switches", [PAPER, CORRECTED], ids=["paper", "corrected"])
def test_which_summaries_count(tmp_path, switches):
    notes = [
        [1, 1, 10, "2150-01-02", DISCHARGE, "Report", summary("fall")],
        [2, 1, 10, "2150-01-02", "Nursing", "Report", summary("nursing")],
        [3, 2, "", "2150-01-02", DISCHARGE, "Report", summary("no admission")],
        [4, 3, 30, "2150-01-02", DISCHARGE, "Report", ""],
        [5, 4, 40, "2150-01-02", DISCHARGE, "Addendum", summary("addendum only")],
        [6, 5, 50, "2150-01-02", DISCHARGE, "Report", summary("newborn")],
        [7, 6, 60, "2150-01-02", DISCHARGE, "Report", summary("same text")],
        [8, 7, 70, "2150-01-03", DISCHARGE, "Report", summary("same text")],
        [9, 8, 80, "2150-01-02", DISCHARGE, "Report", "No section."],
    ]
    texts, steps = build(hospital(tmp_path, notes, newborns=(50,)), switches)
    assert texts.keys() == {10, 70}
    assert texts[70].startswith("CHIEF COMPLAINT: same text\n\nPRESENT ILLNESS: \n\n")
    assert texts[70].endswith("ALLERGIES: None\n\nPHYSICAL EXAM: \n\nFAMILY HISTORY: \n\nSOCIAL HISTORY: ")
    rows = {step["step"]: (step["rows"], step["patients"]) for step in steps}
    assert rows.pop("reports, not addenda", (3, 3)) == (3, 3)
    assert rows.pop("not marked as an error", (8, 8)) == (8, 8)
    assert list(rows.values()) == [(9, 8), (8, 8), (7, 7), (6, 6), (6, 6), (5, 5), (4, 4), (3, 3), (3, 3), (2, 2)]


def test_texts_of_an_admission_are_joined_by_date_then_row(tmp_path):
    notes = [
        [9, 1, 10, "2150-01-02", DISCHARGE, "Report", "\n\nChief Complaint:\nsecond\n\nEnd:"],
        [8, 1, 10, "2150-01-02", DISCHARGE, "Addendum", "Chief Complaint:\nfirst\n\nEnd:"],
        [1, 1, 10, "", DISCHARGE, "Addendum", "Chief Complaint:\nundated\n\nEnd:"],
    ]
    texts, _ = build(hospital(tmp_path, notes), PAPER)
    assert texts[10].startswith("CHIEF COMPLAINT: first\n\n")


def test_the_last_report_names_the_patient(tmp_path):
    notes = [
        [1, 1, 10, "2150-01-01", DISCHARGE, "Report", summary("fall")],
        [2, 2, 10, "2150-01-02", DISCHARGE, "Report", summary("fall again")],
        [3, 3, 10, "2150-01-03", DISCHARGE, "Addendum", "More."],
    ]
    build(hospital(tmp_path, notes), PAPER)
    assert pq.read_table(tmp_path / "out.parquet")["subject_id"].to_pylist() == [2]


def test_texts_that_the_original_reads_as_missing(tmp_path):
    notes = [
        [1, 1, 10, "2150-01-01", DISCHARGE, "Report", "nan"],
        [2, 1, 10, "2150-01-02", DISCHARGE, "Addendum", summary("fall")],
    ]
    folder = hospital(tmp_path, notes)
    with pytest.raises(DataError, match="of an admission with a report"):
        build(folder, PAPER)
    texts, _ = build(folder, PAPER | {"sections_unanchored": False})
    assert list(texts) == [10]


@pytest.mark.parametrize(("kept", "complaint", "left"), [(True, "wrong patient", 3), (False, "right patient", 2)])
def test_summaries_that_are_marked_as_errors(tmp_path, kept, complaint, left):
    notes = [
        [1, 1, 10, "2150-01-01", DISCHARGE, "Report", summary("wrong patient"), "1"],
        [2, 1, 10, "2150-01-02", DISCHARGE, "Report", summary("right patient"), "0"],
        [3, 2, 20, "2150-01-02", DISCHARGE, "Report", summary("fall")],
    ]
    texts, steps = build(hospital(tmp_path, notes), CORRECTED | {"error_notes_kept": kept})
    assert texts[10].startswith(f"CHIEF COMPLAINT: {complaint}\n\n")
    rows = {step["step"]: step["rows"] for step in steps}
    assert rows.get("not marked as an error", 3) == rows["with text"] == left


def test_de_identification_marks_and_what_is_in_them(tmp_path):
    complaint = "fell at [**Hospital1 18**] on [**2150-1-5**], seen by [**Name\n(STitle) 3**]; an open [** stays"
    folder = hospital(tmp_path, [[1, 1, 10, "2150-01-01", DISCHARGE, "Report", summary(complaint)]])
    kept, _ = build(folder, CORRECTED | {"marks_kept": True})
    assert kept[10].startswith(f"CHIEF COMPLAINT: {complaint.replace(chr(10), ' ')}\n\nPRESENT")
    normalised, _ = build(folder, CORRECTED)
    assert normalised[10].startswith("CHIEF COMPLAINT: fell at ___ on ___, seen by ___; an open [** stays\n\nPRESENT")


def test_no_admission_note_at_all_is_an_error(tmp_path):
    notes = [[1, 1, 10, "2150-01-01", DISCHARGE, "Report", "No section."]]
    with pytest.raises(DataError, match="chief complaint"):
        build(hospital(tmp_path, notes), CORRECTED)
    assert not (tmp_path / "out.parquet").exists()


def test_a_reports_addendum_may_stand_far_behind_it(tmp_path):
    """More notes lie between them than are read at a time."""
    notes = [
        [number, number, number, "2150-01-02", DISCHARGE, "Report", f"Chief Complaint:\nc{number}\n\nAllergies:\nA"]
        for number in range(1, 1202)
    ]
    notes.append([1300, 1, 1, "2150-01-03", DISCHARGE, "Addendum", "Family History:\nGout\n\nSigned:\nMD"])
    texts, _ = build(hospital(tmp_path, notes), PAPER)
    assert len(texts) == 1201
    assert list(texts)[-1] == 1  # whole with its last note
    assert "ALLERGIES: A\n\n" in texts[1]
    assert "FAMILY HISTORY: Gout\n\n" in texts[1]
    corrected, _ = build(tmp_path, CORRECTED)
    assert list(corrected) == list(range(1, 1202))
    assert {path.name for path in tmp_path.iterdir()} == {"ADMISSIONS.csv", "NOTEEVENTS.csv", "out.parquet"}


BUILD = """
import sys
from pathlib import Path
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
names = ("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept")
folder, paper = Path(sys.argv[1]), sys.argv[2] == "paper"
build_admission_notes(folder, folder / "out.parquet", **dict.fromkeys(names, paper))
"""


@needs_proc
def test_memory_hardly_grows_with_the_table(tmp_path):
    course = "heart sounds regular, lungs clear \n" * 250
    text = f"Chief Complaint:\nFall\n\nAllergies:\nNone\n\nHospital Course:\n{course}"
    peaks = []
    for count in (3_000, 9_000):
        rows = [[n, n, n, "2150-01-02", DISCHARGE, "Report", f"{text}{n}"] for n in range(1, count)]
        peaks.append(peak_bytes(BUILD, hospital(tmp_path, rows), "paper"))
    assert peaks[1] < 400e6
    assert peaks[1] < 1.4 * peaks[0]


CASES = {
    "last section": ("Social History:\nLives alone.", "SOCIAL HISTORY", "", "Lives alone."),
    "next header with a digit": (
        "Allergies:\nNone\n\nLabs 2150:\nNa 140\n\nPlan:\nx",
        "ALLERGIES",
        "None  Labs 2150: Na 140",
        "None",
    ),
    "header in the middle of a line": (
        "Discussed past medical history: none.\n\nPlan: x",
        "MEDICAL HISTORY",
        "none.",
        "",
    ),
    "words before the header": (
        "History of Present Illness:\nSick.\n\nPlan: x",
        "PRESENT ILLNESS",
        "Sick.",
        "Sick.",
    ),
    "exam at discharge": ("Discharge Physical Exam:\nWell.\n\nPlan: x", "PHYSICAL EXAM", "Well.", ""),
    "empty mark": ("Family History:\n[]\n\nPlan: x", "FAMILY HISTORY", "[]", ""),
    "no blank line": (
        "Allergies:\nNone\nPertinent Results:\nNa 140\n\nPlan: x",
        "ALLERGIES",
        "None Pertinent Results: Na 140",
        "None",
    ),
    "backslash and n": ("Allergies:\nNo\\ne\n\nPlan: x", "ALLERGIES", "No e", "No\\ne"),
    "carriage return and separator": ("Allergies:\nA\rB\u2028C\n\nPlan: x", "ALLERGIES", "A\rB\u2028C", "A\rB\u2028C"),
    "the section's own header twice": (
        "Physical Exam:\nAdmission Physical Exam:\nPale.\n\nDischarge Physical Exam:\nWell.\n\nPlan: x",
        "PHYSICAL EXAM",
        "Admission Physical Exam: Pale.",
        "Pale.",
    ),
    "the section's own header twice, a blank line between": (
        "Physical Exam:\n\nPhysical Examination on Admission:\nPale.\n\nPlan: x",
        "PHYSICAL EXAM",
        "Physical Examination on Admission: Pale.",
        "Pale.",
    ),
    "findings of several paragraphs": (
        "Physical Exam:\nPale.\n\nLungs: clear\n\nPlan: x",
        "PHYSICAL EXAM",
        "Pale.",
        "Pale.  Lungs: clear",
    ),
    "own header again, after findings": (
        "Physical Exam:\nPale.\nPhysical Exam:\nWell.\n\nPlan: x",
        "PHYSICAL EXAM",
        "Pale. Physical Exam: Well.",
        "Pale.",
    ),
    "subheading below a blank line": (
        "Physical Exam:\n\nGeneral: pale\nLungs: clear\n\nPlan: x",
        "PHYSICAL EXAM",
        "General: pale Lungs: clear",
        "General: pale Lungs: clear",
    ),
    "medication in the singular": (
        "Medication on Admission:\nNone\n\nPlan: x",
        "MEDICATION ON ADMISSION",
        "",
        "None",
    ),
    "nothing between two known headers": ("Allergies:\n\nAttending: y\n\nPlan: x", "ALLERGIES", "Attending: y", ""),
    "missing": ("Plan: x", "ALLERGIES", "", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_sections(case):
    text, title, unanchored, anchored = CASES[case]
    assert unanchored_sections(text)[title] == unanchored
    assert anchored_sections(text)[title] == anchored


@pytest.mark.parametrize("heading", HEADINGS_AT_DISCHARGE)
def test_findings_at_discharge_do_not_leak(heading):
    for findings, expected in (("admitted\n", "admitted"), ("", "")):
        text = f"Physical Exam:\n{findings}{heading}\nleaving\n\nPertinent Results:\nnone\n"
        assert anchored_sections(text)["PHYSICAL EXAM"] == expected
        assert "leaving" in unanchored_sections(text)["PHYSICAL EXAM"]


@pytest.mark.parametrize(
    "line",
    [
        "In the ED, initial vitals were: T 98",
        "In the ED initial vitals were: T 98",
        "In the ED: vitals stable",
        "On arrival to the floor:\nT 98",
        "Initial vitals were:\nT 98",
        "He takes two kinds of tablets: one white",
        "Of note: allergic to latex",
        "ED Course: given lasix",
        "HEENT: dry",
        "Lungs:\nclear",
    ],
)
def test_a_paragraph_that_holds_a_colon_ends_no_section(line):
    text = f"Present Illness:\n80 yo man.\n\n{line}\n\nWorse since.\n\nHospital Course:\nleaving\n"
    body = line.replace("\n", " ")
    assert anchored_sections(text)["PRESENT ILLNESS"] == f"80 yo man.  {body}  Worse since."


@pytest.mark.parametrize(
    "line",
    [
        "Past Surgical History: CABG",
        "LABORATORY DATA:  Na 140",
        "Labs on Admission: Na 140",
        "Labs on admission:\nNa 140",
        "laboratory data:\nNa 140",
        "Labs 2150:\nNa 140",
        "Labs (1/2):\nNa 140",
        "CONCISE SUMMARY OF HOSPITAL COURSE BY ISSUE/SYSTEM:\nGiven lasix",
        "Condition at discharge:\ngood",
        "Summary of discharge plans: home",
    ],
)
def test_an_unknown_header_ends_a_section(line):
    text = f"Present Illness:\n80 yo man.\n\n{line}\nleaving\n"
    assert anchored_sections(text)["PRESENT ILLNESS"] == "80 yo man."


PIECES = [
    *"ab:.\n\r 1([\\\u2028",
    *("Allergies:", "\n\nPhysical Exam:", "Discharge Plan:\n", "\nPast Medical History: ", "[]", "\\n", "\n\n"),
    *("Service:\n", "Medications on Admission:\n", "history of present illness:", "\n\nfamily history :\t"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@settings(deadline=None)
@given(TEXTS)
def test_a_note_always_has_eight_sections_without_newlines(text):
    for cut in (unanchored_sections, anchored_sections):
        sections = cut(text)
        assert list(sections) == list(SECTION_HEADERS)
        assert not any("\n" in body for body in sections.values())
        assert len(admission_note(sections).split("\n\n")) == 8


@settings(deadline=None)
@given(TEXTS)
def test_no_section_holds_what_the_text_does_not(text):
    """A section is a piece of the text, line breaks apart, and stands behind its header."""
    for cut, flat in (
        (unanchored_sections, text.replace("\n", " ").replace("\\n", " ")),
        (anchored_sections, text.replace("\n", " ")),
    ):
        for title, body in cut(text).items():
            assert body in flat
            assert body == body.strip()
            if body:
                assert SECTION_HEADERS[title] in flat[: flat.rindex(body)].lower()


@settings(deadline=None)
@given(TEXTS)
def test_anchored_sections_are_those_of_the_admission_note(text):
    sections = anchored_sections(text)
    assert anchored_sections(admission_note(sections)) == sections


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["\n\nHospital Course:\nx", "\n\nDischarge Medications:\nx", "\nPertinent Results:\nx"]))
def test_what_follows_the_last_section_changes_none(text, rest):
    """A header at the start of a line ends every anchored section before it."""
    assert anchored_sections(text + rest) == anchored_sections(text)
