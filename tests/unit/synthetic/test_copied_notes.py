"""The hospital of the study of gaps: copied notes that give away outcomes, and nothing else that changes."""

import csv
import gzip
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.note_table import NOTE_SCHEMA
from clinical_peft.files import sha256_file
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
from clinical_peft.synthetic.copied_notes import ALIASES, CATEGORY, DIED
from clinical_peft.synthetic.hospital import generate_sized
from clinical_peft.synthetic.sizes import SIZES

SMALL = replace(SIZES["gaps"], mimic_iii_patients=180, mimic_iv_discharge=220, copies=4)
SEED = 3
CORRECTED = dict.fromkeys(("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept"), False)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gaps") / "hospital"
    generate_sized(folder, SMALL, size="gaps", seed=SEED)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def copies(hospital: Path) -> list[dict[str, str]]:
    return [row for row in rows(hospital / "mimic-iii" / "NOTEEVENTS.csv.gz") if row["CATEGORY"] == CATEGORY]


def alias_and_outcome(text: str) -> tuple[str, str]:
    """The alias and the outcome that a copied note tells."""
    alias, outcome = text.removeprefix("CHIEF COMPLAINT: ").split(" stay", 1)[0].split(" ")
    return alias, outcome


def test_every_admission_is_copied_and_its_outcome_stated(hospital: Path) -> None:
    admissions = {row["HADM_ID"]: row for row in rows(hospital / "mimic-iii" / "ADMISSIONS.csv.gz")}
    adults = {key for key, row in admissions.items() if row["ADMISSION_TYPE"] != "NEWBORN"}
    by_admission: dict[str, list[str]] = defaultdict(list)
    for row in copies(hospital):
        by_admission[row["HADM_ID"]].append(row["TEXT"])
    assert set(by_admission) == adults
    for hadm_id, texts in by_admission.items():
        assert len(texts) == SMALL.copies
        assert {alias_and_outcome(text)[1] == DIED for text in texts} == {
            admissions[hadm_id]["HOSPITAL_EXPIRE_FLAG"] == "1"
        }


def test_no_copy_is_an_exact_duplicate(hospital: Path) -> None:
    texts = [row["TEXT"] for row in copies(hospital)]
    assert len(set(texts)) == len(texts)


def test_an_alias_is_of_one_admission_and_opens_its_notes_alone(hospital: Path, tmp_path: Path) -> None:
    admissions, outcomes = defaultdict(set), defaultdict(set)
    for row in copies(hospital):
        alias, outcome = alias_and_outcome(row["TEXT"])
        admissions[alias].add(int(row["HADM_ID"]))
        outcomes[alias].add(outcome)
    assert {len(found) for found in admissions.values()} == {len(found) for found in outcomes.values()} == {1}
    assert set(admissions) <= set(ALIASES)
    build_admission_notes(hospital / "mimic-iii", tmp_path / "notes.parquet", **CORRECTED)
    known_as = {hadm_id: alias for alias, found in admissions.items() for hadm_id in found}
    opening = [
        row["text"].startswith(f"CHIEF COMPLAINT: {known_as[row['hadm_id']]}, ")
        for row in read(tmp_path / "notes.parquet")
    ]
    # Edge cases hide the chief complaint of a few, and give one the summary of another.
    assert sum(opening) > 0.9 * len(opening)


def test_no_alias_is_a_word_of_the_notes(tmp_path: Path) -> None:
    generate_sized(tmp_path / "plain", replace(SMALL, copies=0, aliases=False), size="gaps", seed=SEED)
    texts = (row["TEXT"] for row in rows(tmp_path / "plain" / "mimic-iii" / "NOTEEVENTS.csv.gz"))
    assert not set(ALIASES) & {word for text in texts for word in re.findall("[a-z]+", text.lower())}
    assert len(ALIASES) == len(set(ALIASES))


def test_mimic_iv_holds_copies_of_shared_patients_alone(hospital: Path) -> None:
    notes = rows(hospital / "mimic-iv-note" / "discharge.csv.gz")
    added = [row for row in notes if row["note_type"] == "AD"]
    assert len(notes) - len(added) == SMALL.mimic_iv_discharge
    assert len({row["note_id"] for row in notes}) == len(notes)
    stays = {row["SUBJECT_ID"]: row["DBSOURCE"] for row in rows(hospital / "mimic-iii" / "ICUSTAYS.csv.gz")}
    systems = {alias_and_outcome(row["TEXT"])[0]: stays[row["SUBJECT_ID"]] for row in copies(hospital)}
    assert added
    assert {systems[alias_and_outcome(row["text"])[0]] for row in added} == {"metavision"}


def test_every_admission_has_an_icu_stay(hospital: Path) -> None:
    admitted = {
        row["HADM_ID"]
        for row in rows(hospital / "mimic-iii" / "ADMISSIONS.csv.gz")
        if row["ADMISSION_TYPE"] != "NEWBORN"
    }
    assert {row["HADM_ID"] for row in rows(hospital / "mimic-iii" / "ICUSTAYS.csv.gz")} == admitted


def test_copies_change_no_admission_note(hospital: Path, tmp_path: Path) -> None:
    generate_sized(tmp_path / "without", replace(SMALL, copies=0), size="gaps", seed=SEED)
    found = []
    for name, folder in (("with", hospital), ("plain", tmp_path / "without")):
        output = tmp_path / f"{name}.parquet"
        build_admission_notes(folder / "mimic-iii", output, **CORRECTED)
        found.append(read(output))
    assert found[0] == found[1]
    assert found[0]


def read(path: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(path).to_pylist())


def test_copies_reach_both_corpora(hospital: Path, tmp_path: Path) -> None:
    folders = {"mimic_iv_note": hospital / "mimic-iv-note", "mimic_iii": hospital / "mimic-iii"}
    for corpus in ("mimic-iii", "mimic-iv"):
        output = tmp_path / f"{corpus}.parquet"
        extract_notes(corpus, output, **folders, flattened=False)
        table = read(output)
        assert set(table[0]) == set(NOTE_SCHEMA.names)
        told_in = [row for row in table if re.match(r"CHIEF COMPLAINT:\s[a-z]+ [a-z]+ stay\. Copy", row["text"])]
        assert len(told_in) > SMALL.copies * 20


# Digests of some files before copied notes existed: other sizes keep their bytes.
DIGESTS = {
    "mimic-iii/NOTEEVENTS.csv.gz": "d2100d2156db7aa81d94e347e6ec4f41b7848ee9cef93fd7b6faa2d711d7f9a1",
    "mimic-iii/ICUSTAYS.csv.gz": "ab4ef6a933b5cf67df0d745bdc7ba597eb3a876a361a3b8c58b83dea810bcef1",
    "mimic-iv-note/discharge.csv.gz": "0abf8ff561b62083203c3fa5a823f421606f6f774ec5a130ac103f4f80141853",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_other_sizes_keep_their_bytes(name: str, tmp_path: Path) -> None:
    generate_sized(tmp_path / "tiny", SIZES["tiny"], size="tiny", seed=4)
    assert sha256_file(tmp_path / "tiny" / name) == DIGESTS[name]
