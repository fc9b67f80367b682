"""The synthetic hospital: its bytes, tables, edge cases and labels."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic_reading import DETECTORS, Hospital

from clinical_peft.errors import ConfigError
from clinical_peft.files import sha256_file
from clinical_peft.synthetic.hospital import generate_hospital
from clinical_peft.synthetic.sizes import SIZES, predicted_note_counts

FIRST_ID = 900_000_000
SEED = 5


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("tiny") / "hospital"
    generate_hospital(folder, size="tiny", seed=SEED)
    return Hospital(folder)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("demo") / "hospital"
    generate_hospital(folder, size="demo", seed=SEED)
    return Hospital(folder)


def provenance(hospital: Hospital) -> dict[str, Any]:
    return json.loads((hospital.folder / "PROVENANCE.json").read_text())


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_gives_the_same_bytes(tiny: Hospital, tmp_path: Path) -> None:
    again = generate_hospital(tmp_path / "again", size="tiny", seed=SEED)
    assert digests(tmp_path / "again") == digests(tiny.folder)
    assert again == provenance(tiny)


def test_another_seed_gives_other_patients(tiny: Hospital, tmp_path: Path) -> None:
    generate_hospital(tmp_path / "other", size="tiny", seed=SEED + 1)
    other = digests(tmp_path / "other")
    same = {name for name, digest in digests(tiny.folder).items() if other[name] == digest}
    assert same == {f"mimic-iii/D_{name}.csv.gz" for name in ("ICD_DIAGNOSES", "ICD_PROCEDURES", "ITEMS")}


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            "NOTEEVENTS",
            "ROW_ID SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT",
        ),
        ("PATIENTS", "ROW_ID SUBJECT_ID GENDER DOB DOD DOD_HOSP DOD_SSN EXPIRE_FLAG"),
        ("DIAGNOSES_ICD", "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE"),
        ("PROCEDURES_ICD", "ROW_ID SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE"),
        (
            "ADMISSIONS",
            "ROW_ID SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE ADMISSION_LOCATION "
            "DISCHARGE_LOCATION INSURANCE LANGUAGE RELIGION MARITAL_STATUS ETHNICITY EDREGTIME EDOUTTIME DIAGNOSIS "
            "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
        ),
        (
            "ICUSTAYS",
            "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID LAST_WARDID "
            "INTIME OUTTIME LOS",
        ),
        (
            "CHARTEVENTS",
            "ROW_ID SUBJECT_ID HADM_ID ICUSTAY_ID ITEMID CHARTTIME STORETIME CGID VALUE VALUENUM VALUEUOM WARNING "
            "ERROR RESULTSTATUS STOPPED",
        ),
    ],
)
def test_columns_are_those_of_the_release(tiny: Hospital, table: str, columns: str) -> None:
    assert list(tiny.table(table).columns) == columns.split()


def test_columns_are_those_of_the_public_demo(tiny: Hospital, real_data: Path) -> None:
    for path in sorted((real_data / "mimic-iii-demo").glob("*.csv")):
        with path.open() as file:
            assert list(tiny.table(path.stem).columns) == file.readline().strip().upper().split(",")


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("CLINICAL_PEFT_REAL_DATA")
    if not folder:
        pytest.skip("CLINICAL_PEFT_REAL_DATA is not set")
    return Path(folder)


def test_note_columns_and_ids_of_the_mimic_iv_part(tiny: Hospital) -> None:
    for name in ("discharge", "radiology"):
        notes = tiny.iv(name)
        assert " ".join(notes.columns) == "note_id subject_id hadm_id note_type note_seq charttime storetime text"
        assert notes.note_id.is_unique
        assert (notes.note_id == notes.subject_id + "-" + notes.note_type + "-" + notes.note_seq).all()
    assert (tiny.iv("discharge").hadm_id != "").all()
    assert (tiny.iv("radiology").hadm_id == "").any()
    assert not tiny.iv("discharge").text.str.contains("[**", regex=False).any()


def test_ids_are_outside_the_ranges_of_real_databases(tiny: Hospital) -> None:
    for name in ("ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "NOTEEVENTS", "PATIENTS", "PROCEDUREEVENTS_MV"):
        table = tiny.table(name)
        for column in {"SUBJECT_ID", "HADM_ID", "ICUSTAY_ID", "CGID", "ORDERID"} & set(table.columns):
            values = table[column][table[column] != ""].astype("int64")
            assert values.min() > FIRST_ID, (name, column)
    for name in ("discharge", "radiology"):
        assert tiny.iv(name).subject_id.astype("int64").min() > FIRST_ID
    assert not set(tiny.iv("discharge").subject_id) & set(tiny.patients.SUBJECT_ID)


def test_tables_refer_to_each_other(tiny: Hospital) -> None:
    assert tiny.admissions.HADM_ID.is_unique
    assert tiny.patients.SUBJECT_ID.is_unique
    assert set(tiny.admissions.SUBJECT_ID) == set(tiny.patients.SUBJECT_ID)
    for name in ("DIAGNOSES_ICD", "PROCEDURES_ICD", "ICUSTAYS", "CHARTEVENTS"):
        assert set(tiny.table(name).HADM_ID) <= set(tiny.admissions.HADM_ID)
    died = set(tiny.admissions.loc[tiny.admissions.HOSPITAL_EXPIRE_FLAG == "1", "SUBJECT_ID"])
    assert died == set(tiny.patients.loc[tiny.patients.EXPIRE_FLAG == "1", "SUBJECT_ID"])
    last = tiny.admissions.groupby("SUBJECT_ID").HOSPITAL_EXPIRE_FLAG.apply(list)
    assert not any("1" in flags[:-1] for flags in last)


@pytest.mark.parametrize("size", ["tiny", "demo"])
def test_every_planted_case_is_found_again(size: str, request: pytest.FixtureRequest) -> None:
    hospital: Hospital = request.getfixturevalue(size)
    planted = provenance(hospital)["planted"]
    assert {case: detect(hospital) for case, detect in DETECTORS.items()} == planted
    assert min(planted.values()) > 0


def test_row_counts_are_recorded(tiny: Hospital) -> None:
    rows = provenance(tiny)["rows"]
    assert rows["mimic-iii"] == {name: len(tiny.table(name)) for name in rows["mimic-iii"]}
    assert rows["mimic-iv-note"] == {name: len(tiny.iv(name)) for name in ("discharge", "radiology")}


def test_some_codes_have_no_dictionary_row(tiny: Hospital) -> None:
    assert set(tiny.procedures.ICD9_CODE) - set(tiny.table("D_ICD_PROCEDURES").ICD9_CODE) == {"3310"}
    assert tiny.split_of_code("0340") == {"train"}
    assert tiny.split_of_code("0529") == {"test"}


@pytest.mark.parametrize("size", ["tiny", "demo"])
def test_split_lists_hold_one_row_per_admission_note(size: str, request: pytest.FixtureRequest) -> None:
    hospital: Hospital = request.getfixturevalue(size)
    listed = [subject for rows in hospital.split_lists.values() for subject in rows]
    assert Counter(listed) == Counter(hospital.admission_note_subjects())
    subjects = [set(rows) for rows in hospital.split_lists.values()]
    assert sum(map(len, subjects)) == len(set().union(*subjects))


@pytest.mark.parametrize("size", ["tiny", "demo"])
def test_every_split_has_both_classes(size: str, request: pytest.FixtureRequest) -> None:
    hospital: Hospital = request.getfixturevalue(size)
    days = hospital.vent_seconds() / 86_400
    stays = hospital.table("ICUSTAYS").set_index("ICUSTAY_ID").SUBJECT_ID
    longest = days.groupby(days.index.map(stays)).max()
    for rows in hospital.split_lists.values():
        admissions = hospital.admissions[hospital.admissions.SUBJECT_ID.isin(rows)]
        assert set(admissions.HOSPITAL_EXPIRE_FLAG) == {"0", "1"}
        spans = longest[longest.index.isin(rows)]
        assert (spans >= 6.75).any()
        assert spans.between(1.75, 6.75, inclusive="left").any()


def test_prevalences(demo: Hospital) -> None:
    adults = demo.admissions[demo.admissions.ADMISSION_TYPE != "NEWBORN"]
    died = adults.HOSPITAL_EXPIRE_FLAG == "1"
    assert 0.09 < died.mean() < 0.15
    days = adults.SECONDS[~died] / 86_400
    bins = pd.cut(days, [-9, 3, 7, 14, 999], labels=False).value_counts(normalize=True)
    assert bins.min() > 0.085
    assert len(bins) == 4
    spans = demo.vent_seconds() / 86_400
    assert 0.35 < len(spans) / len(adults) < 0.46
    eligible = spans[spans >= 1.75]
    assert 0.37 < (eligible >= 6.75).mean() < 0.52
    codes = demo.diagnoses.ICD9_CODE
    groups = codes.where(~codes.str.startswith(("V", "E")), codes.str[:4]).where(
        codes.str.startswith(("V", "E")), codes.str[:3]
    )
    counts = groups.groupby(groups).size()
    assert 80 < len(counts) < 130
    assert counts.max() > 40 * counts.median() / 10


def test_bayes_aurocs(demo: Hospital) -> None:
    auroc = provenance(demo)["bayes_auroc"]
    assert 0.89 < auroc["mortality"] < 0.96
    assert 0.85 < auroc["pmv"] < 0.93
    assert 0.84 < auroc["los"] < 0.93
    assert auroc["diagnoses"] > 0.95
    assert auroc["procedures"] > 0.95
    assert auroc["control"] == 0.5


def test_charting_is_thin_and_without_long_gaps(demo: Hospital) -> None:
    rows = demo.chart.groupby("ICUSTAY_ID").size()
    assert rows.max() < 800
    gaps = demo.first_gap_hours().drop("")
    assert (gaps[gaps.sub(8.1).abs() > 0.01] < 8).all()
    categories = set(demo.notes.CATEGORY)
    assert {"Respiratory ", "Nursing", "Nursing/other", "Physician "} <= categories


def test_shared_patients_have_the_same_summaries(demo: Hospital) -> None:
    marked = {re.sub(r"\[\*\*[^\]]*\*\*\]", "___", text) for text in demo.reports.TEXT}
    copies = demo.iv("discharge").text.map(lambda text: text.split("\n\n", 1)[-1] in marked)
    overlap = provenance(demo)["overlap"]
    # A few of the copies are broken by the line breaks that are planted in the MIMIC-IV notes.
    assert overlap["admissions"] - 4 <= copies.sum() <= overlap["admissions"] + 4
    assert overlap["patients"] == round(0.15 * SIZES["demo"].mimic_iii_patients)


def test_no_two_notes_are_near_duplicates(demo: Hospital) -> None:
    samples = [
        demo.reports.TEXT.drop_duplicates().head(500),
        demo.iv("discharge").text.drop_duplicates().head(500),
        demo.iv("radiology").text.head(500),
        demo.notes.TEXT[demo.notes.CATEGORY.str.startswith(("Nursing", "Resp"))].head(500),
    ]
    for texts in samples:
        assert most_alike([text for text in texts if text]) < 0.5


def most_alike(texts: list[str]) -> float:
    """Largest Jaccard similarity of the five-word shingles of two texts."""
    shingles = []
    for text in texts:
        words = text.split()
        shingles.append({tuple(words[place : place + 5]) for place in range(len(words) - 4)})
    shared: Counter[tuple[int, int]] = Counter()
    holders: dict[tuple[str, ...], list[int]] = {}
    for place, found in enumerate(shingles):
        for shingle in found:
            shared.update((other, place) for other in holders.get(shingle, ()))
            holders.setdefault(shingle, []).append(place)
    return max(count / (len(shingles[one]) + len(shingles[other]) - count) for (one, other), count in shared.items())


def test_lengths_of_notes(demo: Hospital) -> None:
    words = demo.reports.TEXT.str.split().str.len()
    assert 200 < words.mean() < 350
    assert 55 < demo.iv("radiology").text.str.split().str.len().mean() < 120


def test_predicted_counts() -> None:
    for size, numbers in SIZES.items():
        predicted = predicted_note_counts(size)
        assert predicted["mimic-iv-discharge"] == numbers.mimic_iv_discharge
    large = predicted_note_counts("large")
    assert large["mimic-iv-discharge"] + large["mimic-iv-radiology"] >= 300_000


@pytest.mark.parametrize("size", ["tiny", "demo"])
def test_predicted_counts_hold(size: str, request: pytest.FixtureRequest) -> None:
    hospital: Hospital = request.getfixturevalue(size)
    predicted = predicted_note_counts(size)
    assert len(hospital.iv("discharge")) == predicted["mimic-iv-discharge"]
    assert len(hospital.iv("radiology")) == predicted["mimic-iv-radiology"]
    summaries = (hospital.notes.CATEGORY == "Discharge summary").sum()
    assert summaries == pytest.approx(predicted["mimic-iii-discharge"], rel=0.06)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tiny, demo, planted, gaps, large"):
        generate_hospital(tmp_path / "a", size="huge", seed=1)
    with pytest.raises(ConfigError, match="seed"):
        generate_hospital(tmp_path / "b", size="tiny", seed=-1)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "file").touch()
    with pytest.raises(ConfigError, match="empty folder"):
        generate_hospital(tmp_path / "c", size="tiny", seed=1)
