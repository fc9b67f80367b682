"""Attributes of patients, from the tables of both databases."""

import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mimic_iv_tables import write

from clinical_peft.data.subgroups import ATTRIBUTES, build_subgroups
from clinical_peft.errors import DataError

ADMISSIONS = "HADM_ID,SUBJECT_ID,ADMITTIME,INSURANCE,ADMISSION_TYPE,ETHNICITY"
REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")


def attributes(path):
    return {row.pop("hadm_id"): row for row in pq.read_table(path).to_pylist()}


def mimic_iii(folder):
    write(
        folder,
        "ADMISSIONS",
        ADMISSIONS,
        [
            [3, 1, "2150-06-01 12:00:00", "Medicare", "EMERGENCY", "WHITE - RUSSIAN"],
            [1, 2, "2150-06-01 12:00:00", "Self Pay", "ELECTIVE", "HISPANIC/LATINO - PUERTO RICAN"],
            [2, 3, "2150-06-01 12:00:00", "", "URGENT", "UNABLE TO OBTAIN"],
            [4, 4, "2150-06-01 12:00:00", "Private", "NEWBORN", "PORTUGUESE"],
        ],
    )
    return folder


def test_attributes_of_mimic_iii(tmp_path):
    folder = mimic_iii(tmp_path)
    people = [[1, "F", "1850-01-01 00:00:00"], [2, "M", "2110-06-02 00:00:00"], [3, "F", "2110-05-31 00:00:00"]]
    write(folder, "PATIENTS", "SUBJECT_ID,GENDER,DOB", people)
    stays = [[3, "carevue"], [3, "metavision"], [1, "carevue"], [2, "metavision"]]
    write(folder, "ICUSTAYS", "HADM_ID,DBSOURCE", stays)
    output = tmp_path / "out" / "subgroups.parquet"
    assert build_subgroups("mimic-iii", folder, output) == 4
    assert pq.read_table(output)["hadm_id"].to_pylist() == [1, 2, 3, 4]
    assert output.parent.stat().st_mode & 0o077 == 0
    found = attributes(output)
    assert list(found[1]) == list(ATTRIBUTES)
    assert list(found[3].values()) == [
        "female", "80 and over", "white", "Medicare", "emergency", "carevue and metavision"]  # fmt: skip
    assert list(found[1].values()) == ["male", "18 to 39", "hispanic", "Self pay", "elective", "CareVue"]
    assert list(found[2].values()) == ["female", "40 to 59", None, None, "urgent", "MetaVision"]
    assert list(found[4].values()) == [None, None, "other", "Private", "newborn", None]


def test_attributes_of_tables_that_are_not_there_are_null(tmp_path):
    build_subgroups("mimic-iii", mimic_iii(tmp_path), tmp_path / "subgroups.parquet")
    for row in attributes(tmp_path / "subgroups.parquet").values():
        assert (row["sex"], row["age_band"], row["era"]) == (None, None, None)
        assert row["admission_type"]


def test_attributes_of_mimic_iv(tmp_path):
    header = "subject_id,hadm_id,admittime,insurance,admission_type,race"
    rows = [
        [1, 10, "2155-01-01 00:00:00", "Medicare", "DIRECT EMER.", "BLACK/CAPE VERDEAN"],
        [1, 11, "2181-01-01 00:00:00", "Other", "SURGICAL SAME DAY ADMISSION", "ASIAN - CHINESE"],
        [2, 12, "2150-01-01 00:00:00", "Medicaid", "AMBULATORY OBSERVATION", ""],
    ]
    write(tmp_path, "hosp/admissions", header, rows)
    people = [[1, "M", 55, 2150, "2011 - 2013"]]
    write(tmp_path, "hosp/patients", "subject_id,gender,anchor_age,anchor_year,anchor_year_group", people)
    build_subgroups("mimic-iv", tmp_path, tmp_path / "subgroups.parquet")
    found = attributes(tmp_path / "subgroups.parquet")
    assert list(found[10].values()) == ["male", "60 to 79", "black", "Medicare", "emergency", "2011 - 2013"]
    assert list(found[11].values()) == ["male", "80 and over", "asian", "other", "elective", "2011 - 2013"]
    assert list(found[12].values()) == [None, None, None, "Medicaid", "observation", None]


SECRET = "Aunt Smith"
KNOWN_GROUPS = {
    "other",
    *("female", "male", "white", "black", "hispanic", "asian", "native"),
    *("Medicare", "Medicaid", "Private", "Government", "Self pay", "No charge"),
    *("observation", "emergency", "urgent", "elective", "newborn"),
    *("CareVue", "MetaVision", "carevue and metavision"),
    *("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022"),
    *("under 18", "18 to 39", "40 to 59", "60 to 79", "80 and over"),
}


def test_unknown_values_of_mimic_iii_are_other(tmp_path):
    rows = [[number, number, "2150-06-01 12:00:00", *[SECRET] * 3] for number in range(1, 5)]
    write(tmp_path, "ADMISSIONS", ADMISSIONS, [*rows, [5, 5, "2150-06-01 12:00:00", "SELF  PAY ", "URGENT", "ASIAN"]])
    people = [[number, SECRET, "2100-01-01 00:00:00"] for number in range(1, 5)] + [[5, " f", "2100-01-01 00:00:00"]]
    write(tmp_path, "PATIENTS", "SUBJECT_ID,GENDER,DOB", people)
    stays = [[1, SECRET], [2, SECRET], [2, "carevue"], [3, "both"], [4, "metavision"], [4, "both"], [5, "CareVue"]]
    write(tmp_path, "ICUSTAYS", "HADM_ID,DBSOURCE", stays)
    build_subgroups("mimic-iii", tmp_path, tmp_path / "subgroups.parquet")
    found = attributes(tmp_path / "subgroups.parquet")
    assert [list(found[number].values()) for number in (1, 5)] == [
        ["other", "40 to 59", "other", "other", "other", "other"],
        ["female", "40 to 59", "asian", "Self pay", "urgent", "CareVue"],
    ]
    assert [found[number]["era"] for number in (2, 3, 4)] == ["other", *["carevue and metavision"] * 2]
    assert {name for row in found.values() for name in row.values()} <= KNOWN_GROUPS


def test_unknown_values_of_mimic_iv_are_other(tmp_path):
    header = "subject_id,hadm_id,admittime,insurance,admission_type,race"
    rows = [
        [1, 10, "2155-01-01 00:00:00", *[SECRET] * 3],
        [2, 11, "2155-01-01 00:00:00", "No charge", "EU OBSERVATION", ""],
    ]
    write(tmp_path, "hosp/admissions", header, rows)
    people = [[1, SECRET, 55, 2150, SECRET], [2, "F", 55, 2150, "2020-2022"]]
    write(tmp_path, "hosp/patients", "subject_id,gender,anchor_age,anchor_year,anchor_year_group", people)
    build_subgroups("mimic-iv", tmp_path, tmp_path / "subgroups.parquet")
    found = attributes(tmp_path / "subgroups.parquet")
    assert list(found[10].values()) == ["other", "60 to 79", "other", "other", "other", "other"]
    assert list(found[11].values()) == ["female", "60 to 79", None, "No charge", "observation", "2020 - 2022"]


def test_an_admission_in_two_rows_is_refused(tmp_path):
    write(tmp_path, "ADMISSIONS", ADMISSIONS, [[1, 1, "2150-06-01 12:00:00", "", "", ""]] * 2)
    with pytest.raises(DataError, match="expected each value in one row"):
        build_subgroups("mimic-iii", tmp_path, tmp_path / "subgroups.parquet")


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
def test_attributes_of_the_public_demo(tmp_path):
    folder = Path(str(REAL_DATA)) / "mimic-iii-demo"
    assert build_subgroups("mimic-iii", folder, tmp_path / "subgroups.parquet") == 129
    found = attributes(tmp_path / "subgroups.parquet").values()
    # Counted with the csv module.
    assert Counter(row["sex"] for row in found) == {"male": 70, "female": 59}
    assert Counter(row["era"] for row in found) == {"MetaVision": 72, "CareVue": 57}
    assert Counter(row["ethnicity"] for row in found)["white"] == 86
