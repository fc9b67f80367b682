"""Admission notes of MIMIC-IV: which notes count, and where sections begin and end."""

import pyarrow.parquet as pq
import pytest
from headings_at_discharge import HEADINGS_AT_DISCHARGE
from hypothesis import given, settings
from hypothesis import strategies as st
from mimic_iv_tables import write, write_admissions, write_notes

from clinical_peft.data.sections import SECTION_HEADERS
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iv.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iv.sections import known_at_admission, merged_sections

# The shape of a MIMIC-IV discharge summary: a blank line holds a space, and a marked section none.
SUMMARY = """Name:  ___                     Unit No:   ___
 
Admission Date:  ___              Discharge Date:   ___
 
Date of Birth:  ___             Sex:   F
 
Service: MEDICINE
 
Allergies: 
Sulfa drugs
 
Attending: ___.
 
Chief Complaint:
Dyspnea
 
Major Surgical or Invasive Procedure:
Bronchoscopy

 
History of Present Illness:
Short of breath for 
two days.

In the ED: vitals stable.
Review of systems: negative.
 
Past Medical History:
1. Asthma
 
Social History:
___
Family History:
Father with gout.
 
Physical Exam:
ADMISSION PHYSICAL EXAM:
VS: 97.0
Eyes: no discharge

DISCHARGE PHYSICAL EXAM:
VS: 98.6, going home
 
Pertinent Results:
WBC-9.0
 
Brief Hospital Course:
Given steroids.
 
Medications on Admission:
1. Albuterol
 
Discharge Medications:
1. Prednisone
 
Discharge Diagnosis:
Asthma flare
"""


def test_sections_of_a_summary():
    assert known_at_admission(SUMMARY) == {
        "CHIEF COMPLAINT": "Dyspnea",
        "PRESENT ILLNESS": "Short of breath for two days. In the ED: vitals stable. Review of systems: negative.",
        "MEDICAL HISTORY": "1. Asthma",
        "MEDICATION ON ADMISSION": "1. Albuterol",
        "ALLERGIES": "Sulfa drugs",
        "PHYSICAL EXAM": "ADMISSION PHYSICAL EXAM: VS: 97.0 Eyes: no discharge",
        "FAMILY HISTORY": "Father with gout.",
        "SOCIAL HISTORY": "",
    }


@pytest.mark.parametrize("line_break", ["\r\n", "\n"])
@pytest.mark.parametrize("write_header", [str.upper, str.title, str.lower])
def test_line_breaks_and_letter_case_of_headers_do_not_matter(line_break, write_header):
    text = "\n \n".join(f"{write_header(header)}:\nbody {title}" for title, header in SECTION_HEADERS.items())
    found = known_at_admission(text.replace("\n", line_break))
    assert found == {title: f"body {title}" for title in SECTION_HEADERS}


@pytest.mark.parametrize("heading", HEADINGS_AT_DISCHARGE)
def test_findings_at_discharge_do_not_leak(heading):
    text = f"Chief Complaint:\nfall\n\nPhysical Exam:\nadmitted\n{heading}\nleaving\n\nPertinent Results:\nnone\n"
    assert known_at_admission(text)["PHYSICAL EXAM"] == "admitted"
    text = f"Chief Complaint:\nfall\n\nPhysical Exam:\n{heading}\nleaving\n\nPertinent Results:\nnone\n"
    assert known_at_admission(text)["PHYSICAL EXAM"] == ""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("wound without discharge\nfoul discharge", "wound without discharge foul discharge"),
        ("Exam: see below\n\nPhysical Exam:\nleaving", "Exam: see below"),
        ("___\n\n[]", ""),
    ],
)
def test_what_ends_an_exam(body, expected):
    assert known_at_admission(f"Physical Exam:\n{body}\n \nPertinent Results:\nx\n")["PHYSICAL EXAM"] == expected


def test_medications_at_discharge_do_not_leak():
    text = "Medications on Admission:\n1. Aspirin\nDischarge Medications:\n2. Warfarin\n"
    assert known_at_admission(text)["MEDICATION ON ADMISSION"] == "1. Aspirin"
    assert known_at_admission("Discharge Medications:\n2. Warfarin\n")["MEDICATION ON ADMISSION"] == ""


def test_words_of_a_sentence_are_no_header():
    text = "Chief Complaint:\nfall\nallergies: as below\n\nAllergies:\nnone\n\nAllergies:\nsecond"
    assert known_at_admission(text)["CHIEF COMPLAINT"] == "fall allergies: as below"
    assert known_at_admission(text)["ALLERGIES"] == "none"


def test_a_header_may_begin_a_line_after_a_blank_one():
    text = "Chief Complaint: fall\n \nAllergies: none\nService: none\n"
    assert known_at_admission(text)["CHIEF COMPLAINT"] == "fall"
    assert known_at_admission(text)["ALLERGIES"] == "none Service: none"


BODIES = st.text(st.sampled_from("abc ,.-\n1"), max_size=40)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(list(SECTION_HEADERS)), BODIES), BODIES)
def test_every_section_is_found_and_what_follows_is_not(bodies, course):
    parts = [f"{SECTION_HEADERS[title].title()}:\n{body}\n" for title, body in bodies.items()]
    text = " \n".join([*parts, f"Brief Hospital Course:\n{course} SECRET\n", "Discharge Diagnosis:\nSECRET\n"])
    found = known_at_admission(text)
    for title, body in bodies.items():
        expected = " ".join(body.split())
        assert found[title] == (expected if any(c.isalnum() for c in body) else "")
    assert "SECRET" not in " ".join(found.values())


def test_addenda_fill_gaps_of_summaries_but_never_the_exam():
    empty = dict.fromkeys(SECTION_HEADERS, "")
    first = empty | {"CHIEF COMPLAINT": "fall"}
    second = empty | {"CHIEF COMPLAINT": "fall again", "FAMILY HISTORY": "gout"}
    addendum = empty | {"ALLERGIES": "sulfa", "PHYSICAL EXAM": "leaving", "FAMILY HISTORY": "other"}
    assert merged_sections([first, second], [addendum]) == first | {"FAMILY HISTORY": "gout", "ALLERGIES": "sulfa"}


def complaint(text: str, more: str = "") -> str:
    return f"Chief Complaint:\n{text}\n \nService: SURGERY\n{more}"


def build(tmp_path, *, addenda_searched=True):
    steps = build_admission_notes(tmp_path, tmp_path, tmp_path / "out.parquet", addenda_searched=addenda_searched)
    return {row["hadm_id"]: row for row in pq.read_table(tmp_path / "out.parquet").to_pylist()}, steps


def test_which_notes_count(tmp_path):
    write_admissions(tmp_path, {10: 1, 20: 2, 30: 3, 40: 4, 50: 5, 60: 6, 70: 7, 80: 8}, ages={5: 16, 8: 17})
    notes = [
        (1, 10, "DS", 2, complaint("fall")),
        (2, 20, "DS", 2, ""),
        (3, 30, "AD", 3, complaint("addendum alone")),
        (4, 40, "DS", 2, complaint("same text")),
        (5, 50, "DS", 2, complaint("seventeen")),  # 16 in 2149, so 17 at admission
        (6, 60, "DS", 2, complaint("same text")),
        (7, 70, "DS", 2, "No section."),
        (8, 80, "DS", 2, complaint("eighteen")),
        (9, 90, "DS", 2, complaint("not in the admissions")),
    ]
    write_notes(tmp_path, notes)
    rows, steps = build(tmp_path)
    assert {hadm_id: row["subject_id"] for hadm_id, row in rows.items()} == {10: 1, 60: 6, 80: 8}
    assert rows[10]["text"].startswith("CHIEF COMPLAINT: fall\n\nPRESENT ILLNESS: \n\n")
    assert [step["rows"] for step in steps] == [9, 8, 8, 6, 5, 4, 4, 3]
    assert [step["patients"] for step in steps] == [9, 8, 8, 6, 5, 4, 4, 3]
    assert b"attrition" in pq.read_schema(tmp_path / "out.parquet").metadata


def test_notes_of_an_admission_are_joined_wherever_they_stand(tmp_path):
    write_admissions(tmp_path, {10: 1, 20: 2})
    addendum = complaint("later", "\nAllergies:\nsulfa\n\nPhysical Exam:\nleaving\n")
    notes = [(1, 10, "AD", 3, addendum), (2, 20, "DS", 2, complaint("other")), (1, 10, "DS", 2, complaint("first"))]
    write_notes(tmp_path, notes)
    rows, _ = build(tmp_path)
    assert list(rows) == [20, 10]
    assert rows[10]["text"].startswith("CHIEF COMPLAINT: first\n\n")
    assert "ALLERGIES: sulfa\n\nPHYSICAL EXAM: \n\n" in rows[10]["text"]
    rows, steps = build(tmp_path, addenda_searched=False)
    assert "ALLERGIES: \n\nPHYSICAL EXAM: \n\n" in rows[10]["text"]
    assert [step["rows"] for step in steps] == [3, 3, 3, 3, 3, 3, 2, 2, 2]
    assert not [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name not in ("hosp", "note")]


def test_files_may_lie_flat_and_compressed_names_are_found(tmp_path):
    write_admissions(tmp_path, {10: 1})
    write_notes(tmp_path, [(1, 10, "DS", 2, complaint("fall"))])
    for path in [*(tmp_path / "hosp").iterdir(), *(tmp_path / "note").iterdir()]:
        path.rename(tmp_path / path.name)
    assert list(build(tmp_path)[0]) == [10]


def test_bad_tables_are_named(tmp_path):
    write_notes(tmp_path, [(1, 10, "DS", 2, complaint("fall"))])
    with pytest.raises(DataError, match=r"admissions\.csv"):
        build(tmp_path)
    write_admissions(tmp_path, {20: 2})
    with pytest.raises(DataError, match="no row is left by the step 'of an admission of an adult'"):
        build(tmp_path)
    write(tmp_path, "hosp/patients", "subject_id,gender", [[2, "F"]])
    with pytest.raises(DataError, match="expected column anchor_age, anchor_year"):
        build(tmp_path)
    write_admissions(tmp_path, {10: 1})
    write(tmp_path, "note/discharge", "note_id,subject_id,hadm_id,text", [["1", 1, 10, "x"]])
    with pytest.raises(DataError, match="expected column note_type, note_seq, charttime"):
        build(tmp_path)
    assert not (tmp_path / "out.parquet").exists()
