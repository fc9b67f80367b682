"""Study gaps: reading the notes of test patients in pretraining pays where they tell the outcome."""

import json

import pytest
from workflow_run import snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def effects(tmp_path_factory):
    """The record of the study's contamination effects."""
    folder = tmp_path_factory.mktemp("sign")
    target = "results/gaps/contamination.json"
    run = snakemake(folder, target, config="gaps.yaml")
    assert run.returncode == 0, run.output[-3000:]
    return json.loads((folder / target).read_text())


def of_los(effects, comparison):
    (found,) = [entry for entry in effects[comparison] if entry["task"] == "los"]
    return found


def test_reading_test_patients_notes_pays(effects):
    found = of_los(effects, "disjoint")
    assert found["difference"]["interval"][0] > 0
    # What the filtered arm has never read says nothing.
    assert found["auroc"]["disjoint"]["interval"][0] < 0.5 < found["auroc"]["matched"]["interval"][0]


def test_adaptation_gains_more_outside_the_carevue_subset(effects):
    found = of_los(effects, "carevue")
    assert found["difference"]["interval"][0] > 0
    assert found["groups"]["outside"]["gain"]["interval"][0] > 0
