"""Study gaps as a workflow: what an ablation shares with the study, and what is printed."""

import csv
import json

import pyarrow.parquet as pq
import pytest
import yaml
from planned_counts import require_same_count
from shared_runs import successful
from workflow_run import REPOSITORY, Run, snakemake

from clinical_peft.disclosure.counts import SMALLEST_CELL

pytestmark = pytest.mark.workflow

MODEL = "llama+clinical-trainable+downstream"
ARMS = ("disjoint", "matched")
SWITCHES = ["truncate_and_pad", "death_phrases_original", "los_rounded", "task_adapter_inactive"]


def write_study(folder):
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content |= {"study": "switches", "gaps": {"model": MODEL, "switches": SWITCHES}}
    content["gaps"]["contamination"] = {"unadapted": "llama", "adapted": "llama+clinical-frozen"} | {
        arm: f"llama+{arm}" for arm in ARMS
    }
    content["adapters"] = {
        f"tiny-llama-{arm}": {"base": "tiny-llama", "method": "lora", "corpus": f"mimic-iii-{arm}"} for arm in ARMS
    }
    frozen = {"base": "tiny-llama", "clinical_mode": "frozen"}
    content["models"] = {f"llama+{arm}": {**frozen, "clinical": f"tiny-llama-{arm}", "label": arm} for arm in ARMS}
    models = [MODEL, *content["gaps"]["contamination"].values()]
    content["matrix"] |= {"models": models, "adapters": [], "tasks": ["mortality"]}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("gaps")
    return successful(snakemake(folder, config=write_study(folder)))


def test_the_plan_counts_every_ablation(tmp_path):
    require_same_count(write_study(tmp_path), tmp_path)


def test_an_ablation_reuses_what_its_switch_cannot_change(measured):
    root = measured.results / "switches"

    def found(folder, pattern="*"):
        return {path.name.partition(".")[0] for path in (root / folder).glob(pattern)}

    def switched(folder, pattern="*"):
        return {name for name in found(folder, pattern) if "@" in name}

    assert switched("notes", "*.parquet") == {"mimic-iv@paper", "admission@paper"}
    assert switched("tokens/tiny-llama") == {"mimic-iv@truncate_and_pad", "mimic-iv@paper"}
    adapter = "tiny-llama-lora"
    assert switched("adapters") == {f"{adapter}@truncate_and_pad", f"{adapter}@paper"}
    assert found("bases") == {"tiny-llama"}
    runs = {path.parts[-3:-1] for path in (root / "metrics").glob(f"{MODEL}*/*/*.json")}
    assert runs == {
        (MODEL, "mortality"),
        (MODEL, "mortality@death_phrases_original"),
        (f"{MODEL}@truncate_and_pad", "mortality"),
        (f"{MODEL}@task_adapter_inactive", "mortality"),
        (f"{MODEL}@paper", "mortality@paper"),
    }
    recipe = json.loads((root / f"recipes/{MODEL}@truncate_and_pad/mortality.json").read_text())
    assert recipe["clinical"] == f"{adapter}@truncate_and_pad"
    assert not any(recipe["switches"].values())  # fine-tuning itself does not look at the switch
    tokens = json.loads((root / "tokens/tiny-llama/mimic-iv@truncate_and_pad/tokens.json").read_text())
    assert tokens["truncate_and_pad"]
    inactive = json.loads((root / f"training/{MODEL}@task_adapter_inactive/mortality/seed0.json").read_text())
    both = json.loads((root / f"training/{MODEL}/mortality/seed0.json").read_text())
    assert inactive["trainable_parameters"] < both["trainable_parameters"]


def test_effects_are_those_of_the_runs(measured):
    root = measured.results / "switches"
    with (root / "tables" / "protocol_gaps.csv").open(newline="") as handle:
        rows = {row["switch"]: row for row in csv.DictReader(handle)}
    assert list(rows) == ["death_phrases_original", "truncate_and_pad", "task_adapter_inactive", "paper"]

    def auroc(model, cohort):
        return 100 * json.loads((root / f"metrics/{model}/{cohort}/seed0.json").read_text())["metrics"]["test"]["auroc"]

    corrected = auroc(MODEL, "mortality")
    expected = auroc(f"{MODEL}@paper", "mortality@paper") - corrected
    assert float(rows["paper"]["difference_percent"]) == pytest.approx(expected, abs=1e-3)
    cohorts = [
        pq.read_table(root / f"cohorts/{name}.parquet") for name in ("mortality", "mortality@death_phrases_original")
    ]
    ids = [set(cohort["hadm_id"].to_pylist()) for cohort in cohorts]
    left = len(ids[0] - ids[1])
    assert rows["death_phrases_original"]["admissions_left"] == (str(left) if left >= SMALLEST_CELL else "")
    assert int(rows["truncate_and_pad"]["texts_changed"]) == 0
    report = (root / "report.html").read_text()
    assert "What each choice of protocol is worth" in report
    assert "los_rounded (MOR)" in report


def test_paired_corpora_are_compared_on_the_same_patients(measured):
    root = measured.results / "switches"
    found = json.loads((root / "contamination.json").read_text())
    (row,) = found["disjoint"]
    assert (row["matched"], row["disjoint"]) == ("llama+matched", "llama+disjoint")
    assert found["membership"]["approximate"]
    leakage = json.loads((root / "cohorts" / "leakage.json").read_text())["corpora"]
    assert leakage["mimic-iii-disjoint"]["notes_of_held_out_patients"] == 0
    assert leakage["mimic-iii-matched"]["notes_of_held_out_patients"] > 0
    with (root / "tables" / "contamination_gaps.csv").open(newline="") as handle:
        comparisons = [record["comparison"] for record in csv.DictReader(handle)]
    assert comparisons == ["carevue_inside", "carevue_outside", "carevue", "disjoint"]
