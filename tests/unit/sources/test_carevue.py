"""Test patients inside and outside the CareVue subset."""

import json

import pyarrow.parquet as pq
import pytest
from leakage_fixtures import cohort_rows, write_cohort

from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.carevue import mark_carevue_patients

TEST = [row["subject_id"] for row in cohort_rows() if row["split"] == "test"]  # 4, 9, 14, 19


@pytest.fixture
def mark(tmp_path):
    """Mark the test patients of two cohorts; return the table, its metadata and the summary."""
    cohorts = [
        write_cohort(tmp_path / "los.parquet", cohort_rows()),
        write_cohort(tmp_path / "pmv.parquet", [row for row in cohort_rows() if row["subject_id"] != TEST[0]]),
    ]

    def run(**given):
        paths = [tmp_path / "carevue.parquet", tmp_path / "carevue.json"]
        record = mark_carevue_patients(cohorts, *paths, **{"carevue_patients": None, "mimic_iii": None} | given)
        assert json.loads(paths[1].read_text()) == record
        return pq.read_table(paths[0]), record

    return run


def test_membership_comes_from_the_list(mark, tmp_path):
    path = tmp_path / "PATIENTS.csv"
    path.write_text(f"ROW_ID,SUBJECT_ID,GENDER\n1,{TEST[0]},F\n2,{TEST[1]},M\n3,99999,M\n")
    table, record = mark(carevue_patients=path)
    assert table.to_pylist() == [{"subject_id": subject_id, "in_subset": subject_id in TEST[:2]} for subject_id in TEST]
    assert table.schema.metadata[b"source"] == b"patient list"
    assert record == {
        "source": "patient list",
        "approximate": False,
        "patients": 4,
        "patients_in_subset": 2,
        "tasks": {
            "los": {"admissions": 4, "admissions_in_subset": 2, "patients": 4, "patients_in_subset": 2},
            "pmv": {"admissions": 3, "admissions_in_subset": 1, "patients": 3, "patients_in_subset": 1},
        },
    }


def test_without_a_list_every_stay_must_be_of_carevue(mark, tmp_path):
    stays = [
        (TEST[0], "carevue"),
        (TEST[0], "carevue"),
        (TEST[1], "carevue"),
        (TEST[1], "metavision"),
        (TEST[2], "both"),
    ]
    lines = [f"{number},{subject},{source}" for number, (subject, source) in enumerate(stays)]
    (tmp_path / "ICUSTAYS.csv").write_text("\n".join(["ROW_ID,SUBJECT_ID,DBSOURCE", *lines, ""]))
    table, record = mark(mimic_iii=tmp_path)
    assert [row["subject_id"] for row in table.to_pylist() if row["in_subset"]] == TEST[:1]
    assert (record["source"], record["approximate"]) == ("ICUSTAYS.DBSOURCE", True)


@pytest.mark.parametrize(("listed", "found"), [([99999], "0 of 4"), (TEST, "4 of 4")])
def test_a_list_of_all_or_no_patients_is_an_error(mark, tmp_path, listed, found):
    path = tmp_path / "PATIENTS.csv"
    path.write_text("\n".join(["SUBJECT_ID", *map(str, listed), ""]))
    with pytest.raises(DataError, match=rf"PATIENTS.csv: expected test patients inside and outside .*found {found}"):
        mark(carevue_patients=path)
    assert not (tmp_path / "carevue.json").exists()


def test_a_missing_table_is_named(mark, tmp_path):
    with pytest.raises(DataError, match=r"ICUSTAYS"):
        mark(mimic_iii=tmp_path)
