"""Tasks of a study's own table, from cohort to comparison: string ids, all types, TF-IDF and a tiny network."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models_fixtures import make_job, write_base
from own_cohorts import OWN_TASKS, SERVICES, TABLE, own_task, write_own_cohort
from sklearn.metrics import f1_score, roc_auc_score

from clinical_peft.data.patients import source_of, with_source
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.metrics.aggregate import MACRO, aggregate
from clinical_peft.metrics.calibrate import calibrate
from clinical_peft.metrics.delong import compare_areas
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.registry import COMPARED, find_metric
from clinical_peft.metrics.resampling import patient_weights
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.metrics.subgroup_gaps import compare_subgroups
from clinical_peft.recipes.job_records import as_record
from clinical_peft.runtime.events import NullLog
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.task_data import TaskInputs, read_task

DRAW = {"resamples": 60, "bootstrap_seed": 0}
MODELS = ("tfidf", "head")


def trained(folder, task, model, seed, cohort, classes, base):
    """Train a model on an own task; returns its predictions file and its record."""
    job = replace(make_job("head", task.name, epochs=1), model=model, task_type=task.type)
    if model == "tfidf":
        job = replace(job, kind="tfidf", family=None)
    inputs = TaskInputs(cohort=cohort, classes=classes, base=None if model == "tfidf" else base)
    path = folder / f"{model}-{task.name}-{seed}.parquet"
    finetune(prepare_task(job, inputs), seed=seed, work=folder / "work", log=NullLog(), predictions=path)
    return path, as_record(job)


def score(folder, task, model, seed, cohort, classes, predictions, job, metric=COMPARED):
    """Evaluate a run; returns its metrics file and its replicates file."""
    stem = folder / f"{model}-{task.name}-{seed}-{metric.name}"
    output, replicates = stem.with_suffix(".json"), stem.with_suffix(".replicates.parquet")
    stated = {"protocol": "corrected", "cohort_sha256": task.name, "provenance": {}}
    files = {"cohort": cohort, "output": output, "replicates": replicates}
    evaluate(predictions, classes, task=task, job=job, seed=seed, metric=metric, **stated, **files, **DRAW)
    return output, replicates


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Runs of two models on own tasks of all types, two seeds each."""
    folder = tmp_path_factory.mktemp("own")
    base = write_base(folder / "base", "causal")
    found = {"folder": folder, "metrics": [], "replicates": [], "predictions": [], "classes": {}, "cohorts": {}}
    for task in OWN_TASKS.values():
        cohort, classes = write_own_cohort(folder / "cohorts", task)
        found["classes"][task.name], found["cohorts"][task.name] = classes, cohort
        for model in MODELS:
            for seed in (0, 1):
                predictions, job = trained(folder, task, model, seed, cohort, classes, base)
                metrics, replicates = score(folder, task, model, seed, cohort, classes, predictions, job)
                found["predictions"].append(predictions)
                found["metrics"].append(metrics)
                found["replicates"].append(replicates)
    return found


def compared(study, **changes):
    return aggregate(
        study["metrics"],
        study["replicates"],
        predictions=study["predictions"],
        classes=study["classes"],
        groups={"all": list(MODELS)},
        output=study["folder"] / "comparison.json",
        **{"tasks": OWN_TASKS, **changes},
    )


@pytest.mark.parametrize("task", OWN_TASKS.values(), ids=list(OWN_TASKS))
def test_predictions_keep_the_ids_and_the_table(study, task):
    for path in study["predictions"]:
        if f"-{task.name}-" not in path.name:
            continue
        table, cohort = pq.read_table(path), pq.read_table(study["cohorts"][task.name]).sort_by("hadm_id")
        assert source_of(table.schema) == TABLE
        rows = [row for row in cohort.drop("text").to_pylist() if row["split"] != "train"]
        assert table.select(["hadm_id", "subject_id", "split", "label"]).to_pylist() == rows
        assert table["subject_id"].type == pa.string()


def test_own_tasks_stand_in_the_macro_average_in_their_order(study):
    found = compared(study)
    assert found.macro_tasks == list(OWN_TASKS)
    values = {(row.model, row.task): row.value for row in found.summaries}
    for model in MODELS:
        mean = np.mean([values[model, task] for task in OWN_TASKS])
        assert values[model, MACRO] == pytest.approx(mean)
    backwards = compared(study, tasks=dict(reversed(OWN_TASKS.items())))
    assert backwards.macro_tasks == list(OWN_TASKS)[::-1]
    control = own_task("readmitted", "binary", is_control=True)
    assert compared(study, tasks=OWN_TASKS | {"readmitted": control}).macro_tasks == ["service", "problems"]


def test_delongs_test_pairs_string_patients(study):
    found = compared(study)
    (row,) = [row for row in found.differences if row.task == "readmitted"]
    scores = {}
    for model in MODELS:
        paths = [study["folder"] / f"{model}-readmitted-{seed}.parquet" for seed in (0, 1)]
        tests = [read_predictions(path, ["0", "1"], "binary")["test"] for path in paths]
        parts = [COMPARED.placements(data) for data in tests]
        scores[model] = np.mean([part.values for part in parts], axis=0)
    patients = np.unique(tests[0].subject_id, return_inverse=True)[1]
    expected = compare_areas(scores["tfidf"], scores["head"], parts[0].positive, patients, 0.95)
    assert row.delong.p_value == pytest.approx(expected.p_value)
    assert row.delong.standard_error == pytest.approx(expected.standard_error)
    assert all(row.delong is None for row in found.differences if row.task != "readmitted")


def test_every_run_is_calibrated(study):
    files = RunFiles(study["metrics"], study["predictions"], study["classes"])
    found = calibrate(files, output=study["folder"] / "calibration.json", **DRAW)
    assert {run.task for run in found.runs} == {*OWN_TASKS}
    for run in found.runs:
        stored = json.loads((study["folder"] / f"{run.model}-{run.task}-{run.seed}-auroc.json").read_text())
        assert run.figures["raw"]["auroc"].value == pytest.approx(stored["metrics"]["test"]["auroc"])


def attributes_of(study, path, source):
    """Sites by admission: every admission of the study's cohorts, in an order of its own."""
    ids = sorted({one for cohort in study["cohorts"].values() for one in pq.read_table(cohort)["hadm_id"].to_pylist()})
    sites = ["north" if int(one) % 3 else "south" for one in ids]
    table = pa.table({"hadm_id": ids[::-1], "site": sites[::-1]})
    pq.write_table(table.replace_schema_metadata(with_source(table.schema, source).metadata), path)
    return path


@pytest.mark.parametrize("name", ["auroc", "f1_macro", "auprc", "accuracy"])
def test_subgroups_are_joined_by_string_ids(study, name, tmp_path):
    metric = find_metric(name)
    kept = [place for place, path in enumerate(study["metrics"]) if "-readmitted-" in path.name]
    files = RunFiles(
        [study["metrics"][place] for place in kept], [study["predictions"][place] for place in kept], study["classes"]
    )
    attributes = attributes_of(study, tmp_path / "ours.subgroups.parquet", TABLE)
    found = compare_subgroups(
        files, [attributes], tasks=OWN_TASKS, metric=metric, output=tmp_path / "subgroups.json", **DRAW
    )
    assert {cell.group for cell in found.cells} == {"north", "south"}
    (row,) = [row for row in found.gaps if row.model == "tfidf" and row.gaps]
    values = {}
    for seed in (0, 1):
        splits = read_predictions(study["folder"] / f"tfidf-readmitted-{seed}.parquet", ["0", "1"], "binary")
        test, cutoff = splits["test"], best_threshold(splits["validation"])
        for group in ("north", "south"):
            rows = np.array([int(one) % 3 > 0 for one in test.hadm_id]) == (group == "north")
            values.setdefault(group, []).append(value_of(name, test.of_rows(rows), cutoff))
    expected = {group: np.mean(by_seed) for group, by_seed in values.items()}
    assert row.figures[name].value == pytest.approx(expected[row.group], abs=0.000501)
    assert row.gaps[name].value == pytest.approx(expected[row.group] - expected[row.reference], abs=0.001001)


def best_threshold(data):
    """The threshold of highest macro F1, by trying all."""
    margins, positive = data.log_odds[:, 1], data.target[:, 1]
    tried = {cut: f1_score(positive, margins >= cut, average="macro") for cut in np.unique(margins)}
    best = max(tried.values())
    return max(cut for cut, value in tried.items() if value == pytest.approx(best))


def value_of(name, data, cutoff):
    margins, positive = data.log_odds[:, 1], data.target[:, 1]
    if name == "auroc":
        return roc_auc_score(positive, margins)
    if name == "auprc":
        from sklearn.metrics import average_precision_score

        return average_precision_score(positive, margins)
    decided = margins >= cutoff
    return (decided == positive).mean() if name == "accuracy" else f1_score(positive, decided, average="macro")


def test_attributes_of_another_hospital_are_not_taken(study, tmp_path):
    files = RunFiles(study["metrics"], study["predictions"], study["classes"])
    theirs = attributes_of(study, tmp_path / "theirs.subgroups.parquet", "theirs")
    found = compare_subgroups(files, [theirs], tasks=OWN_TASKS, output=tmp_path / "subgroups.json", **DRAW)
    assert (found.cells, found.gaps) == ([], [])


def test_equal_numbers_of_two_hospitals_are_drawn_apart(tmp_path):
    task = OWN_TASKS["readmitted"]
    drawn = {}
    for source in (TABLE, "theirs", None):
        cohort, classes = write_own_cohort(tmp_path / str(source), task, source=source, integer_ids=True)
        data = read_task(cohort, classes, task.name, task.type)
        patients = np.asarray(data.table["subject_id"].to_pylist())
        drawn[source] = patient_weights(patients, resamples=30, seed=0, source=source_of(data.table.schema))
    assert (drawn[TABLE] != drawn["theirs"]).any()
    assert (drawn[TABLE] != drawn[None]).any()
    generator = np.random.Generator(np.random.Philox(key=np.array([0, patients[0]], dtype=np.uint64)))
    assert (drawn[None][0] == generator.poisson(1.0, 30)).all()


def test_string_ids_without_a_table_are_refused(tmp_path):
    task = OWN_TASKS["readmitted"]
    cohort, classes = write_own_cohort(tmp_path, task, source=None)
    with pytest.raises(DataError, match="column hadm_id: expected whole numbers, found string"):
        read_task(cohort, classes, task.name, task.type)


def test_a_multilabel_task_has_no_accuracy(study):
    task, place = OWN_TASKS["problems"], study["metrics"][0]
    with pytest.raises(ConfigError, match="multilabel task problems has no accuracy; choose auroc, auprc or f1_macro"):
        evaluate(
            study["predictions"][-1],
            study["classes"]["problems"],
            task=task,
            job={"model": "m", "switches": {}},
            metric=find_metric("accuracy"),
            protocol="corrected",
            cohort_sha256="0",
            seed=0,
            output=place.with_name("none.json"),
            replicates=place.with_name("none.parquet"),
            provenance={},
            **DRAW,
        )


def test_two_classes_of_a_multiclass_task_are_scored(tmp_path):
    task = own_task("service", "multiclass")
    cohort, classes = write_own_cohort(tmp_path, task, rows=200)
    table = pq.read_table(cohort)
    label = pa.array([min(one, 1) for one in table["label"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", label), cohort)
    classes.write_text(json.dumps(SERVICES[:2]))
    predictions, job = trained(tmp_path, task, "tfidf", 0, cohort, classes, None)
    metrics, _ = score(tmp_path, task, "tfidf", 0, cohort, classes, predictions, job, find_metric("accuracy"))
    found = json.loads(metrics.read_text())["metrics"]["test"]
    test = read_predictions(predictions, SERVICES[:2], "multiclass")["test"]
    assert found["auroc"] == pytest.approx(roc_auc_score(test.target[:, 1], test.log_odds[:, 1]), abs=5e-4)
    assert found["accuracy"] == pytest.approx((test.log_odds.argmax(1) == test.target.argmax(1)).mean(), abs=5e-4)
