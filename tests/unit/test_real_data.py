"""Labels of the MIMIC-III Clinical Database Demo v1.4 (real records of 100 patients, without notes).

The expected numbers were counted with the csv module and a few lines of plain Python, not with this library.
"""

import os
from pathlib import Path

import pytest

from clinical_peft.config.switches import DATA_SWITCHES
from clinical_peft.data.labels import code_table, label_table
from clinical_peft.data.ventilation import ventilation_episodes

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
PAPER, CORRECTED = dict.fromkeys(DATA_SWITCHES, True), dict.fromkeys(DATA_SWITCHES, False)


@pytest.fixture
def demo():
    return Path(str(REAL_DATA)) / "mimic-iii-demo"


@pytest.mark.parametrize("switches", [PAPER, CORRECTED])
def test_length_of_stay(demo, switches):
    labels = label_table("los", demo, switches)
    assert labels["label"].value_counts().sort_index().tolist() == [15, 30, 35, 9]


def test_mortality(demo):
    labels = label_table("mortality", demo, CORRECTED)
    assert (len(labels), int(labels["label"].sum()), labels["subject_id"].nunique()) == (129, 40, 100)
    assert labels["hadm_id"].is_unique


def test_diagnoses(demo):
    codes = code_table("diagnoses", demo, CORRECTED)
    labels = label_table("diagnoses", demo, CORRECTED)
    assert (len(codes), codes["code"].nunique()) == (1761, 296)
    assert (len(labels), int(labels["label"].str.len().sum())) == (129, 1633)


@pytest.mark.parametrize(("switches", "classes", "assigned"), [(PAPER, 115, 452), (CORRECTED, 108, 448)])
def test_procedures(demo, switches, classes, assigned):
    codes = code_table("procedures", demo, switches)
    labels = label_table("procedures", demo, switches)
    assert (len(codes), codes["code"].nunique()) == (506, classes)
    assert (len(labels), int(labels["label"].str.len().sum())) == (113, assigned)


def test_ventilation_from_procedures(demo, tmp_path):
    counts = ventilation_episodes(demo, tmp_path / "ventilation.parquet")
    assert counts == {"source": "PROCEDUREEVENTS_MV 225792", "episodes": 26, "stays": 21}
    labels = label_table("pmv", demo, CORRECTED, ventilation=tmp_path / "ventilation.parquet")
    assert labels["label"].value_counts().to_dict() == {1: 7, 0: 6}
