"""Runs that may not stand in one table are refused by everything that makes one."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated_study import simulate_study

from clinical_peft.errors import DataError
from clinical_peft.metrics.aggregate import aggregate
from clinical_peft.metrics.calibrate import calibrate
from clinical_peft.metrics.contamination_gaps import ComparedModels, measure_contamination
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.metrics.runs import RunFiles, check_comparable, read_runs
from clinical_peft.metrics.subgroup_gaps import compare_subgroups
from clinical_peft.tasks import find_task

MODEL, TASK = "llama+lora", "mortality"
TASKS = {TASK: find_task(TASK)}
DRAW = {"resamples": 20, "bootstrap_seed": 0}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("finished")
    study = simulate_study(root, seeds=2, resamples=20, tasks=(TASK,))
    ids = np.arange(1_000, 1_300)
    sexes = np.where(ids % 2, "female", "male").tolist()
    pq.write_table(pa.table({"hadm_id": ids, "sex": sexes}), root / "attributes.parquet")
    subjects = np.arange(900_000_000, 900_000_300)
    pq.write_table(pa.table({"subject_id": subjects, "in_subset": subjects % 2 == 0}), root / "carevue.parquet")
    (root / "carevue.json").write_text(json.dumps({"source": "a list", "approximate": False}))
    return root, study


@pytest.fixture
def study(finished, tmp_path):
    """Files of every run, free to be spoiled."""
    root, simulated = finished
    shutil.copytree(root, tmp_path / "study")
    stems = [f"{run['model']}/{run['task']}/seed{run['seed']}" for run in simulated["metrics"]]
    return {
        "root": tmp_path / "study",
        "metrics": [tmp_path / f"study/metrics/{stem}.json" for stem in stems],
        "predictions": [tmp_path / f"study/predictions/{stem}.parquet" for stem in stems],
        "classes": {TASK: tmp_path / f"study/cohorts/{TASK}.classes.json"},
        "spoiled": stems.index(f"{MODEL}/{TASK}/seed1"),
    }


def compared(study):
    replicates = [path.with_suffix(".replicates.parquet") for path in study["metrics"]]
    return aggregate(
        study["metrics"], replicates, tasks=TASKS, groups={"all": [MODEL, "llama"]}, output=study["root"] / "a.json"
    )


def files_of(study):
    return RunFiles(study["metrics"], study["predictions"], study["classes"])


def calibrated(study):
    return calibrate(files_of(study), output=study["root"] / "c.json", **DRAW)


def grouped(study):
    attributes = [study["root"] / "attributes.parquet"]
    return compare_subgroups(files_of(study), attributes, tasks=TASKS, output=study["root"] / "s.json", **DRAW)


def contaminated(study):
    return measure_contamination(
        files_of(study),
        *(study["root"] / "carevue.parquet", study["root"] / "carevue.json"),
        models=ComparedModels("llama", MODEL, "llama+clinical-frozen", "llama+clinical-trainable"),
        output=study["root"] / "contamination.json",
        **DRAW,
    )


def edit(study, **changes):
    path = study["metrics"][study["spoiled"]]
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without_a_seed(study):
    for name in ("metrics", "predictions"):
        del study[name][study["spoiled"]]


def given_thrice(study):
    for name in ("metrics", "predictions"):
        study[name] += 2 * [study[name][study["spoiled"]]]


def on_another_cohort(study):
    edit(study, cohort_sha256="another")


def by_another_recipe(study):
    recipe = json.loads(study["metrics"][study["spoiled"]].read_text())["recipe"]
    edit(study, recipe=recipe | {"recipe": {"epochs": 3}})


def under_another_protocol(study):
    for path in study["metrics"]:
        run = json.loads(path.read_text())
        if run["model"] == MODEL:
            path.write_text(json.dumps(run | {"protocol": "corrected with los_rounded"}))


def under_another_switch(study):
    for path in study["metrics"]:
        run = json.loads(path.read_text())
        run["recipe"]["switches"] = {"unclipped": run["model"] == MODEL}
        path.write_text(json.dumps(run))


def drawn_otherwise(study):
    edit(study, bootstrap={"resamples": 20, "seed": 1, "cluster": "subject_id", "undefined": {}})


def without_a_protocol(study):
    path = study["metrics"][study["spoiled"]]
    run = json.loads(path.read_text())
    del run["protocol"]
    path.write_text(json.dumps(run))


@pytest.mark.parametrize("use", [compared, calibrated, grouped, contaminated])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_a_seed, r"seed0.json: expected llama\+lora on mortality with every seed .* missing: seed 1"),
        (given_thrice, r"seed1.json: the run .*'llama\+lora', 'mortality', 1.* was already read"),
        (on_another_cohort, "mortality was scored on another cohort than in"),
        (by_another_recipe, r"trained by another recipe than in .*seed0.json \(recipe\)"),
        (under_another_protocol, "found corrected with los_rounded"),
        (under_another_switch, "expected the switch unclipped of .*, False, found True"),
        (drawn_otherwise, "its bootstrap differs in resamples or seed"),
        (without_a_protocol, "expected a value of protocol, found none"),
    ],
)
def test_runs_that_differ_are_refused_by_every_table(study, use, spoil, message):
    spoil(study)
    with pytest.raises(DataError, match=message):
        use(study)


@pytest.mark.parametrize("use", [compared, calibrated, grouped, contaminated])
def test_the_runs_of_a_study_are_not_refused(study, use):
    assert use(study)


@pytest.mark.parametrize("use", [calibrated, grouped, contaminated])
def test_files_that_do_not_pair_up_are_refused(study, use):
    study["predictions"].pop()
    with pytest.raises(DataError, match="expected metrics and predictions of the same runs, found 16 and 15"):
        use(study)


def test_unpaired_predictions_are_refused(study):
    """A list cut short would otherwise leave DeLong's test to fewer runs."""
    replicates = [path.with_suffix(".replicates.parquet") for path in study["metrics"]]
    settings = {"tasks": TASKS, "groups": {}, "classes": study["classes"], "output": study["root"] / "x.json"}
    for predictions in (study["predictions"][:-1], []):
        with pytest.raises(DataError, match="expected metrics and predictions of the same runs, found 16 and"):
            aggregate(study["metrics"], replicates, predictions=predictions, **settings)
    with pytest.raises(DataError, match="expected metrics and replicates of the same runs, found 16 and 15"):
        aggregate(study["metrics"], replicates[1:], **settings)


def test_runs_come_by_task_model_and_seed_whatever_their_order(study):
    order = np.random.default_rng(0).permutation(len(study["metrics"]))
    shuffled = [[study[name][place] for place in order] for name in ("metrics", "predictions")]
    files = RunFiles(*shuffled, study["classes"])
    found = [(run.model, run.seed) for run, _ in read_runs(files, COMPARED)]
    assert found == sorted(found)
    wanted = [run.model for run, _ in read_runs(files, COMPARED, models=["tfidf"])]
    assert wanted == ["tfidf", "tfidf"]
    assert check_comparable([], []) is None
