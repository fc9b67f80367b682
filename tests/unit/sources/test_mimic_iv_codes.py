"""Code groups of MIMIC-IV in two versions of the ICD."""

from pathlib import Path

import pytest
from mimic_iv_tables import write

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.labelling import label_table
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.mimic_iv.codes import MODES, IcdCoding, code_groups
from clinical_peft.sources.mimic_iv.outcomes import MimicIV

CORRECTED = {"malformed_codes_kept": False}
# hadm_id, code, version
DIAGNOSES = [
    (10, "4280", 9),
    (10, "V1582", 9),
    (10, "E8859", 9),
    (20, "I509", 10),
    (20, "E1165", 10),
    (20, "V0001XA", 10),
]
PROCEDURES = [(10, "0331", 9), (10, "3310", 9), (10, "66", 9), (20, "5A1955Z", 10), (20, "0BH17EZ", 10)]


def tables(folder: Path, diagnoses=DIAGNOSES, procedures=PROCEDURES) -> Path:
    rows = [[1, hadm_id, place, code, version] for place, (hadm_id, code, version) in enumerate(diagnoses)]
    write(folder, "hosp/diagnoses_icd", "subject_id,hadm_id,seq_num,icd_code,icd_version", rows)
    rows = [
        [1, hadm_id, place, "2150-01-01", code, version] for place, (hadm_id, code, version) in enumerate(procedures)
    ]
    write(folder, "hosp/procedures_icd", "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version", rows)
    return folder


def groups(folder: Path, task: str, coding: IcdCoding) -> list[str]:
    return code_groups(folder, task, coding, CORRECTED, Attrition())["code"].tolist()


def counted_groups(folder: Path, task: str, coding: IcdCoding, **switches: bool) -> tuple[list[str], dict[str, int]]:
    """The groups, and the rows of each step."""
    attrition = Attrition()
    found = MimicIV(folder, coding=coding).codes(task, CORRECTED | switches, attrition)["code"].tolist()
    return found, {str(step["step"]): int(str(step["rows"])) for step in attrition.steps}


@pytest.mark.parametrize(
    ("mode", "diagnoses", "procedures"),
    [
        ("separate", ["9:428", "9:V158", "9:E885", "10:I50", "10:E11", "10:V00"],
         ["9:033", "9:331", "9:66", "10:5A1", "10:0BH"]),
        ("only-9", ["428", "V158", "E885"], ["033", "331", "66"]),
        ("only-10", ["I50", "E11", "V00"], ["5A1", "0BH"]),
    ],
)  # fmt: skip
def test_groups(tmp_path, mode, diagnoses, procedures):
    tables(tmp_path)
    assert groups(tmp_path, "diagnoses", IcdCoding(mode)) == diagnoses
    assert groups(tmp_path, "procedures", IcdCoding(mode)) == procedures


def test_icd10_is_replaced_by_every_counterpart(tmp_path):
    tables(tmp_path)
    icd_map = tmp_path / "gem.csv"
    pairs = ["I50.9,428.0", "I509,4289", "I509,4280", "E1165,25000", "E1165,NoDx", "5A1955Z,9672", "4280,0010"]
    icd_map.write_text("\n".join(["icd10_code,icd9_code", *pairs]))
    coding = IcdCoding("map-to-9", icd_map)
    assert groups(tmp_path, "diagnoses", coding) == ["428", "V158", "E885", "428", "428", "250"]
    assert groups(tmp_path, "procedures", coding) == ["033", "331", "66", "967"]
    labels = label_table("diagnoses", MimicIV(tmp_path, coding=coding), CORRECTED)
    assert labels.to_dict("list") == {
        "hadm_id": [10, 20], "subject_id": [1, 1], "label": [["428", "V158", "E885"], ["428", "250"]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("icd10,icd9_code\n", "expected column icd10_code"),
        ("icd10_code,icd9_code\nI509,I50\n", "icd9_code: expected ICD-9 codes, found another value in 1 rows"),
        ("icd10_code,icd9_code\nZ000,V700\n", "found none of them"),
        ("icd10_code,icd9_code\nI509,NoDx\n", "found none of them"),
        (None, "expected a CSV file, found none"),
    ],
)
def test_a_wrong_map_is_named(tmp_path, content, expected):
    tables(tmp_path)
    icd_map = tmp_path / "gem.csv"
    if content is not None:
        icd_map.write_text(content)
    with pytest.raises(DataError, match=r"gem\.csv") as caught:
        groups(tmp_path, "diagnoses", IcdCoding("map-to-9", icd_map))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("diagnoses", "expected"),
    [
        ([(1, "4280", 9), (1, "I50", 11)], "icd_version: expected 9 or 10, found another number in 1 rows"),
        ([(1, "4280", 9)], "cohorts.icd only-10: no code is left"),
        ([], "no code is left"),
    ],
)
def test_wrong_codes_are_an_error(tmp_path, diagnoses, expected):
    tables(tmp_path, diagnoses)
    with pytest.raises(DataError, match=r"diagnoses_icd\.csv") as caught:
        groups(tmp_path, "diagnoses", IcdCoding("only-10"))
    assert expected in str(caught.value)


def test_an_admission_of_two_patients_is_an_error(tmp_path):
    rows = [[1, 10, 1, "4280", 9], [2, 10, 2, "4019", 9]]
    write(tmp_path, "hosp/diagnoses_icd", "subject_id,hadm_id,seq_num,icd_code,icd_version", rows)
    with pytest.raises(DataError, match="1 admissions with rows of several patients"):
        groups(tmp_path, "diagnoses", IcdCoding())


def test_dropped_rows_are_counted(tmp_path):
    diagnoses = [
        (10, "", 9), (10, "4280   ", 9), (10, "i509", 10), ("", "4019", 9), (10, "I50-9", 10), (10, "I509", 9),
        (10, "4280", 10), (10, "E8859", 9), (10, "Z000", 10),
    ]  # fmt: skip
    tables(tmp_path, diagnoses, [(10, "5A1955O", 10), (10, "5A1955Z", 10), (10, "967", 10), (10, "3", 9)])
    malformed = "of the form of their version of the ICD"
    found, steps = counted_groups(tmp_path, "diagnoses", IcdCoding())
    assert found == ["9:428", "10:I50", "9:E885", "10:Z00"]
    assert steps == {
        "rows of diagnoses_icd": 9,
        "with a code": 8,
        "with an admission": 7,
        "with a patient": 7,
        "with a version of the ICD": 7,
        malformed: 4,
    }
    found, steps = counted_groups(tmp_path, "procedures", IcdCoding())
    assert (found, steps["with a version of the ICD"], steps[malformed]) == (["10:5A1"], 4, 1)
    found, steps = counted_groups(tmp_path, "procedures", IcdCoding(), malformed_codes_kept=True)
    assert (found, malformed in steps) == (["10:5A1", "10:5A1", "10:967", "9:3"], False)
    assert counted_groups(tmp_path, "diagnoses", IcdCoding("only-9"))[1]["of ICD-9"] == 2
    icd_map = tmp_path / "gem.csv"
    icd_map.write_text("icd10_code,icd9_code\nI509,4280\nI509,4281\n")
    found, steps = counted_groups(tmp_path, "diagnoses", IcdCoding("map-to-9", icd_map))
    assert (found, steps["of ICD-9 or with a counterpart in it"]) == (["428", "428", "428", "E885"], 3)


@pytest.mark.parametrize("mode", MODES)
def test_the_map_goes_with_its_mode_alone(tmp_path, mode):
    with pytest.raises(ConfigError, match="icd_map"):
        IcdCoding(mode, None if mode == "map-to-9" else tmp_path)
    with pytest.raises(ConfigError, match=r"cohorts\.icd: expected one of"):
        IcdCoding("both")
