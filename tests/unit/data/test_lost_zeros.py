"""Codes that lost their leading zeros: a warning that names the file, on the terminal and in the job's log."""

import csv
import os
from pathlib import Path

import pandas as pd
import pytest
from tables_fixtures import write_csv

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.runtime.jobs import job
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iii.prolonged_ventilation import ventilated_admissions
from clinical_peft.sources.mimic_iv.codes import IcdCoding, code_groups
from clinical_peft.tasks import find_codes

SWITCHES = {"malformed_codes_kept": False, "procedure_codes_as_integers": False}
REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")


@pytest.mark.parametrize("kind", ["diagnoses", "procedures"])
def test_tables_of_some_codes_are_looked_at(tmp_path, capsys, kind):
    least = find_codes(kind).enough_for_zeros
    for number, (codes, warned) in enumerate(
        [
            (["331"] * least, True),
            (["331"] * (least - 1) + ["V08", "E885"] * 50, False),
            (["331"] * least + ["0331"], False),
            (["331"] * least + [" 0331"], False),
            (["331"] * least + ["V0481", None], True),
            ([], False),
        ]
    ):
        warn_of_lost_zeros(pd.Series(codes, dtype="str"), find_codes(kind), tmp_path / f"{number}.csv", "ICD9_CODE")
        text = capsys.readouterr().err
        assert (f"warning: {tmp_path}/{number}.csv: column ICD9_CODE: none of {least} codes" in text) == warned
        assert ("dtype={'ICD9_CODE': str}" in text) == warned


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
@pytest.mark.parametrize(("task", "groups", "without"), [("procedures", 108, 115), ("diagnoses", 296, 304)])
def test_the_public_demo_without_its_zeros_is_warned_of(tmp_path, capsys, task, groups, without):
    name = f"{task.upper()}_ICD.csv"
    source = Path(REAL_DATA) / "mimic-iii-demo" / name
    assert code_table(task, source.parent, SWITCHES)["code"].nunique() == groups
    assert capsys.readouterr().err == ""
    with source.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    stripped = [list((row | {"icd9_code": row["icd9_code"].lstrip("0")}).values()) for row in rows]
    write_csv(tmp_path / name, ",".join(rows[0]), stripped)
    with job(tmp_path / "job.log"):
        for _ in range(2):
            assert code_table(task, tmp_path, SWITCHES)["code"].nunique() == without
    text = capsys.readouterr().err
    assert text.count("warning: ") == 1
    assert f"{tmp_path / name}: column ICD9_CODE: none of" in text
    assert "begins with 0" in (tmp_path / "job.log").read_text()


def test_diagnoses_that_exclude_from_pmv_are_looked_at(tmp_path, capsys):
    write_csv(tmp_path / "DIAGNOSES_ICD.csv", "HADM_ID,ICD9_CODE", [[1, "140"]] * 200)
    write_csv(tmp_path / "ICUSTAYS.csv", "ICUSTAY_ID,SUBJECT_ID,HADM_ID,INTIME", [[1, 1, 2, "2150-01-01 00:00:00"]])
    write_csv(tmp_path / "ADMISSIONS.csv", "HADM_ID,ADMITTIME", [[2, "2150-01-01 00:00:00"]])
    write_csv(tmp_path / "PATIENTS.csv", "SUBJECT_ID,DOB", [[1, "2100-01-01 00:00:00"]])
    times = pd.Series(["2150-01-01", "2150-01-09"]).astype("datetime64[s]")
    episodes = pd.DataFrame({"icustay_id": [1], "starttime": times[:1], "endtime": times[1:].to_list()})
    assert len(ventilated_admissions(tmp_path, episodes, Attrition())) == 1
    assert "DIAGNOSES_ICD.csv: column ICD9_CODE: none of 200 codes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("codes", "warned"),
    [
        ({9: "331", 10: "0BH17EZ"}, "codes of ICD-9"),
        ({9: "0331", 10: "16070"}, "codes of ICD-10"),
        ({9: "0331", 10: "0BH17EZ"}, ""),
    ],
)
def test_both_versions_in_mimic_iv(tmp_path, capsys, codes, warned):
    rows = [[1, 1, number, code, version] for version, code in codes.items() for number in range(100)]
    write_csv(tmp_path / "hosp/procedures_icd.csv", "subject_id,hadm_id,seq_num,icd_code,icd_version", rows)
    code_groups(tmp_path, "procedures", IcdCoding(), SWITCHES, Attrition())
    text = capsys.readouterr().err
    assert (f"none of 100 {warned} begins with 0" in text) == bool(warned)
    assert text.count("warning") == bool(warned)


def test_a_map_of_codes_is_looked_at(tmp_path, capsys):
    header = "subject_id,hadm_id,seq_num,icd_code,icd_version"
    write_csv(tmp_path / "hosp/diagnoses_icd.csv", header, [[1, 1, 1, "A419", 10]])
    write_csv(tmp_path / "map.csv", "icd10_code,icd9_code", [["A419", "389"]] + [["B00", f"5{n}"] for n in range(200)])
    coding = IcdCoding("map-to-9", tmp_path / "map.csv")
    assert code_groups(tmp_path, "diagnoses", coding, SWITCHES, Attrition())["code"].tolist() == ["389"]
    assert "map.csv: column icd9_code: none of 201 codes" in capsys.readouterr().err
