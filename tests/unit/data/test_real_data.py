"""Labels of the MIMIC-III Clinical Database Demo v1.4 (real records of 100 patients, without notes).

The expected numbers were counted with the csv module and a few lines of plain Python, not with this library.
"""

import csv
import os
import re
from pathlib import Path

import pytest

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.labelling import label_table
from clinical_peft.data.prolonged_ventilation import EXCLUDED_ICD9
from clinical_peft.data.ventilation_table import read_intervals, write_intervals
from clinical_peft.recipes.switches import DATA_SWITCHES
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.sources.mimic_iii.prolonged_ventilation import ventilated_admissions
from clinical_peft.sources.mimic_iii.ventilation import find_episodes
from clinical_peft.tables.published import published_statistics

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
PAPER, CORRECTED = dict.fromkeys(DATA_SWITCHES, True), dict.fromkeys(DATA_SWITCHES, False)


@pytest.fixture
def demo():
    return Path(str(REAL_DATA)) / "mimic-iii-demo"


@pytest.mark.parametrize("switches", [PAPER, CORRECTED])
def test_length_of_stay(demo, switches):
    labels = label_table("los", MimicIII(demo), switches)
    assert labels["label"].value_counts().sort_index().tolist() == [15, 30, 35, 9]


def test_mortality(demo):
    labels = label_table("mortality", MimicIII(demo), CORRECTED)
    assert (len(labels), int(labels["label"].sum()), labels["subject_id"].nunique()) == (129, 40, 100)
    assert labels["hadm_id"].is_unique


def test_diagnoses(demo):
    codes = code_table("diagnoses", demo, CORRECTED)
    labels = label_table("diagnoses", MimicIII(demo), CORRECTED)
    assert (len(codes), codes["code"].nunique()) == (1761, 296)
    assert (len(labels), int(labels["label"].str.len().sum())) == (129, 1633)


@pytest.mark.parametrize(("switches", "classes", "assigned"), [(PAPER, 115, 452), (CORRECTED, 108, 448)])
def test_procedures(demo, switches, classes, assigned):
    codes = code_table("procedures", demo, switches)
    labels = label_table("procedures", MimicIII(demo), switches)
    assert (len(codes), codes["code"].nunique()) == (506, classes)
    assert (len(labels), int(labels["label"].str.len().sum())) == (113, assigned)


def test_ventilation_from_procedures(demo, tmp_path):
    counts = write_intervals(tmp_path / "ventilation.parquet", *find_episodes(demo))
    assert counts == {"source": "PROCEDUREEVENTS_MV 225792", "intervals": 26, "stays": 21}
    labels = ventilated_admissions(demo, read_intervals(tmp_path / "ventilation.parquet"), Attrition())
    assert labels["label"].value_counts().to_dict() == {1: 7, 0: 6}


def dictionary(demo: Path, task: str, folder: Path) -> Path:
    """A table with one row per code of the dictionary, so that the rules apply to every code that exists."""
    name = {"diagnoses": "DIAGNOSES", "procedures": "PROCEDURES"}[task]
    with (demo / f"D_ICD_{name}.csv").open(newline="") as handle:
        codes = [row["icd9_code"] for row in csv.DictReader(handle)]
    with (folder / f"{name}_ICD.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["SUBJECT_ID", "HADM_ID", "ICD9_CODE"], *([1, 1, code] for code in codes)])
    return folder


@pytest.mark.parametrize(
    ("task", "switches", "bound"),
    [
        ("diagnoses", PAPER, 1778),
        ("diagnoses", CORRECTED, 1778),
        ("procedures", PAPER, 899),
        ("procedures", CORRECTED, 890),
    ],
)
def test_a_label_space_is_no_larger_than_the_dictionary_allows(demo, tmp_path, task, switches, bound):
    """The published spaces (1,266 diagnosis and 711 procedure groups) fit; so does the demo's, in form and in size."""
    possible = set(code_table(task, dictionary(demo, task, tmp_path), switches)["code"])
    assert len(possible) == bound
    assert published_statistics(task)["classes"] <= bound
    found = set(code_table(task, demo, switches)["code"])
    forms = r"[0-9]{3}|[VE][0-9]{2,3}" if task == "diagnoses" else r"[0-9]{1,3}" if switches is PAPER else r"[0-9]{2,3}"
    assert all(re.fullmatch(forms, code) for code in possible | found)
    assert found <= possible  # some of the demo's codes stand in no dictionary, but none makes a group of its own


def test_the_excluded_codes_are_those_of_donors(demo):
    """The source excludes titles with the word; the code's prefix finds the same without the dictionary."""
    with (demo / "D_ICD_DIAGNOSES.csv").open(newline="") as handle:
        titles = {row["icd9_code"]: row["long_title"].lower() for row in csv.DictReader(handle)}
    donors = {code for code, title in titles.items() if "donor" in title}
    assert {code for code in titles if code.startswith("V59")} == donors
    assert all(re.match(EXCLUDED_ICD9, code) for code in donors)


def test_integers_make_groups_of_two_digits_and_mix_procedures(demo, tmp_path):
    folder = dictionary(demo, "procedures", tmp_path)
    codes = code_table("procedures", folder, CORRECTED)["code"]
    groups = code_table("procedures", folder, PAPER)["code"]
    assert (groups.str.len() <= 2).groupby(groups).any().sum() == 82
    assert codes.groupby(groups).nunique().gt(1).sum() == 269


def test_every_code_of_the_demo_has_the_form_of_icd9(demo):
    for task in ("diagnoses", "procedures"):
        attrition = Attrition()
        code_table(task, demo, CORRECTED, attrition)
        rows = {step["step"]: step["rows"] for step in attrition.steps}
        assert rows["with a code"] == rows["of the form of ICD-9-CM"]
