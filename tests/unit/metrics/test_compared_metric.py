"""The metric that a study compares by: accuracy, decisions at a threshold, and means over classes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from simulated_study import CLASSES, compute_all, simulate_predictions
from sklearn.metrics import accuracy_score, f1_score

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.metrics.aggregate import aggregate
from clinical_peft.metrics.areas import mean_of_defined, mean_pair_area, pair_areas, weigh
from clinical_peft.metrics.calibrate import calibrate
from clinical_peft.metrics.contamination_gaps import NO_CLASS, compare_corpora, compare_gains
from clinical_peft.metrics.cutoffs import choose_cutoff, decide
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.predictions import Predictions, read_predictions
from clinical_peft.metrics.recalibration import isotonic_map
from clinical_peft.metrics.registry import MAIN_METRICS, compute_metrics, find_metric, main_metrics, metrics_of
from clinical_peft.metrics.resampling import patient_weights
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.metrics.weighted import WeightedPredictions
from clinical_peft.tasks import find_task

ACCURACY, F1 = find_metric("accuracy"), find_metric("f1_macro")
DRAW = {"resamples": 80, "bootstrap_seed": 0}


def multiclass(rows: int, classes: int, *, signal: float = 1.0, seed: int = 0, label: np.ndarray | None = None):
    """Predictions of a multiclass task."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, classes, rows) if label is None else label
    logits = generator.normal(size=(rows, classes)).astype(np.float32)
    logits[np.arange(rows), label] += signal
    return Predictions.of_logits(
        logits,
        link="softmax",
        type="multiclass",
        classes=tuple(range(classes)),
        hadm_id=np.arange(rows),
        subject_id=np.arange(rows) // 2,
        target=label[:, None] == np.arange(classes),
    )


def scored(folder, task, *, model="m", seed=0, signal=1.0, metric=ACCURACY, rows=300):
    """Simulate and evaluate a run; returns its metrics, replicates and predictions files."""
    stem = folder / f"{model}-{task}-{seed}"
    predictions, output = stem.with_suffix(".parquet"), stem.with_suffix(".json")
    simulate_predictions(predictions, task, signal=signal, seed=seed, rows=rows)
    classes = folder / f"{task}.classes.json"
    classes.write_text(json.dumps(CLASSES[task]))
    evaluate(
        predictions,
        classes,
        task=find_task(task),
        job={"model": model, "switches": {"multilabel_softmax": False}},
        metric=metric,
        protocol="corrected",
        cohort_sha256="ab",
        seed=seed,
        output=output,
        replicates=stem.with_suffix(".replicates.parquet"),
        provenance={},
        **DRAW,
    )
    return output, stem.with_suffix(".replicates.parquet"), predictions


@pytest.mark.parametrize("task", ["mortality", "los"])
def test_accuracy_is_scikit_learns_in_every_resample(task, tmp_path):
    simulate_predictions(tmp_path / "p.parquet", task, signal=1.0, seed=0)
    splits = read_predictions(tmp_path / "p.parquet", CLASSES[task], find_task(task).type)
    test, cutoff = splits["test"], choose_cutoff(splits["validation"])
    weights = patient_weights(test.subject_id, resamples=5, seed=0)
    found = compute_metrics([ACCURACY], test, weights, cutoff=cutoff)["accuracy"]
    predicted, label = decide(test, cutoff).argmax(axis=1), test.target.argmax(axis=1)
    for column, value in zip(weights.T, found, strict=True):
        assert value == pytest.approx(accuracy_score(label, predicted, sample_weight=column))


def test_accuracy_stands_only_where_it_is_compared():
    assert "accuracy" not in {metric.name for metric in metrics_of("binary", 2)}
    assert "accuracy" in {metric.name for metric in metrics_of("binary", 2, compared=ACCURACY)}
    assert "accuracy" not in {metric.name for metric in metrics_of("multilabel", 9, compared=ACCURACY)}
    assert ACCURACY not in MAIN_METRICS
    assert ACCURACY in main_metrics(ACCURACY)
    assert main_metrics(F1) == MAIN_METRICS


@pytest.mark.parametrize("task", ["mortality", "los", "procedures"])
@pytest.mark.parametrize("name", ["auroc", "auprc", "f1_macro", "accuracy"])
def test_a_metric_is_the_mean_of_its_classes(task, name, tmp_path):
    metric, kind = find_metric(name), find_task(task).type
    if kind not in metric.types:
        return
    simulate_predictions(tmp_path / "p.parquet", task, signal=1.0, seed=0)
    data = read_predictions(tmp_path / "p.parquet", CLASSES[task], kind)["test"]
    weighting = weigh(data, patient_weights(data.subject_id, resamples=9, seed=0))
    weighted = WeightedPredictions(data, weighting, None if kind == "multiclass" else 0.3)
    parts = metric.by_classes(weighted, np.ones(len(data.classes), bool))
    np.testing.assert_allclose(mean_of_defined(np.array(list(parts.values()))), metric.compute(weighted))
    few = metric.by_classes(weighted, np.arange(len(data.classes)) > 0)
    assert all(0 not in columns for columns in few)
    assert (few == {}) == (name == "accuracy")


@pytest.mark.parametrize("classes", [5, 13, 60])
def test_pairs_of_many_classes_are_summed_as_they_are_listed(classes, monkeypatch):
    data = multiclass(240, classes)
    weighting = weigh(data, patient_weights(data.subject_id, resamples=20, seed=0))
    expected = mean_of_defined(np.array(list(pair_areas(data, weighting).values())))
    monkeypatch.setattr("clinical_peft.metrics.areas.MOST_PAIRED", 0)
    np.testing.assert_allclose(mean_pair_area(data, weighting), expected, rtol=1e-12)
    alone = multiclass(6, 3, label=np.zeros(6, int))
    assert np.isnan(mean_pair_area(alone, weigh(alone))).all()


def test_many_classes_hold_no_pair_in_memory():
    import tracemalloc

    data = multiclass(1000, 400)
    weights = patient_weights(data.subject_id, resamples=100, seed=0)
    weighting = weigh(data, weights)
    tracemalloc.start()
    found = mean_pair_area(data, weighting)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(found).all()
    assert peak < 400 * 399 / 2 * 100 * 8 / 4


def test_models_are_compared_by_accuracy(tmp_path):
    runs = [
        scored(tmp_path, task, model=model, seed=seed, signal=signal)
        for model, signal in (("weak", 0.1), ("strong", 1.5))
        for task in ("mortality", "los")
        for seed in (0, 1)
    ]
    classes = {task: tmp_path / f"{task}.classes.json" for task in ("mortality", "los")}
    found = aggregate(
        [run[0] for run in runs],
        [run[1] for run in runs],
        tasks={task: find_task(task) for task in classes},
        groups={"all": ["weak", "strong"]},
        output=tmp_path / "comparison.json",
        predictions=[run[2] for run in runs],
        classes=classes,
        metric=ACCURACY,
    )
    values = {(row.model, row.task): row.value for row in found.summaries}
    stored = [json.loads(run[0].read_text()) for run in runs]
    for model in ("weak", "strong"):
        of_model = [run for run in stored if (run["model"], run["task"]) == (model, "los")]
        assert values[model, "los"] == pytest.approx(np.mean([run["metrics"]["test"]["accuracy"] for run in of_model]))
        assert all(run["intervals"]["test"]["accuracy"] for run in of_model)
    assert all(row.delong is None for row in found.differences)
    assert all(row.interval is not None and row.difference > 0 for row in found.differences)
    assert "accuracy" in json.loads((tmp_path / "comparison.json").read_text())["summaries"][0]


def test_recalibrated_scores_get_a_threshold_of_their_own(tmp_path):
    metrics, _, predictions = scored(tmp_path, "mortality", metric=F1)
    files = RunFiles([metrics], [predictions], {"mortality": tmp_path / "mortality.classes.json"})
    (found,) = calibrate(files, metric=F1, output=tmp_path / "calibration.json", **DRAW).runs
    stored = json.loads(metrics.read_text())["metrics"]["test"]["f1_macro"]
    assert found.figures["raw"]["f1_macro"].value == pytest.approx(stored)
    splits = read_predictions(predictions, CLASSES["mortality"], "binary")
    recalibrate = isotonic_map(splits["validation"])
    cutoff = choose_cutoff(recalibrate(splits["validation"]))
    decided = decide(recalibrate(splits["test"]), cutoff)[:, 1]
    expected = f1_score(splits["test"].target[:, 1], decided, average="macro")
    assert found.figures["isotonic"]["f1_macro"].value == pytest.approx(expected)
    # At one temperature the ranking, and so every decision, stays as it was.
    assert found.figures["temperature"]["f1_macro"].value == pytest.approx(stored)


def test_accuracy_is_of_the_most_accurate_threshold_on_validation(tmp_path):
    metrics, _, predictions = scored(tmp_path, "mortality", metric=ACCURACY, signal=0.3, seed=4)
    stored = json.loads(metrics.read_text())["metrics"]
    validation = read_predictions(predictions, CLASSES["mortality"], "binary")["validation"]
    cutoffs = [*np.unique(validation.log_odds[:, 1]).tolist(), np.inf]
    best = max(compute_metrics([ACCURACY], validation, cutoff=one)["accuracy"][0] for one in cutoffs)
    assert stored["validation"]["accuracy"] == pytest.approx(best)
    by_f1 = compute_metrics([ACCURACY], validation, cutoff=choose_cutoff(validation))["accuracy"][0]
    assert by_f1 < best
    files = RunFiles([metrics], [predictions], {"mortality": tmp_path / "mortality.classes.json"})
    (found,) = calibrate(files, metric=ACCURACY, output=tmp_path / "calibration.json", **DRAW).runs
    for version in ("raw", "temperature"):
        assert found.figures[version]["accuracy"].value == pytest.approx(stored["test"]["accuracy"])


@pytest.mark.parametrize("metric", [ACCURACY, F1], ids=["accuracy", "f1_macro"])
def test_contamination_is_measured_by_the_compared_metric(metric):
    label = np.random.default_rng(9).integers(0, 3, 400)
    plain, adapted = (multiclass(400, 3, signal=one, seed=seed, label=label) for one, seed in ((0.3, 1), (1.5, 2)))
    inside = np.arange(400) % 4 < 2
    draw = {**DRAW, "metric": metric}

    def value(data, rows):
        predicted = data.log_odds[rows].argmax(axis=1)
        if metric is ACCURACY:
            return accuracy_score(label[rows], predicted)
        return f1_score(label[rows], predicted, average="macro")

    gains = compare_gains([plain], [adapted], inside, **draw)
    for group, rows in (("inside", inside), ("outside", ~inside)):
        assert gains.groups[group].unadapted.value == pytest.approx(value(plain, rows))
        assert gains.groups[group].gain.value == pytest.approx(value(adapted, rows) - value(plain, rows))
    everyone = np.ones(400, bool)
    effect = compare_corpora([plain], [adapted], **draw)
    assert effect.difference.value == pytest.approx(value(adapted, everyone) - value(plain, everyone))
    rare = replace(plain, target=np.where(label < 2, label, 0)[:, None] == np.arange(3))
    rare.target[:3] = [False, False, True]
    assert compare_gains([rare], [rare], inside, **draw).undefined == NO_CLASS


def rare_classes(rows: int, classes: int = 12) -> np.ndarray:
    """Labels of which all but three classes have fewer rows than may be counted in public."""
    few = np.repeat(np.arange(3, classes), 4)
    return np.concatenate([few, np.arange(rows - len(few)) % 3])


@pytest.mark.parametrize("is_constant", [False, True])
def test_accuracy_among_rare_classes_reveals_none_of_them(is_constant, tmp_path):
    """Right decisions of many classes add up; those of one class alone are its count."""
    from clinical_peft.metrics.published_run import has_spread_hits, publish
    from clinical_peft.metrics.records import RunMetrics

    label = rare_classes(200)
    data = multiclass(200, 12, signal=2.0, label=label)
    if is_constant:
        data = Predictions.of_logits(
            np.eye(12, dtype=np.float32)[np.full(200, 5)],
            link="softmax",
            **{name: getattr(data, name) for name in ("type", "classes", "hadm_id", "subject_id", "target")},
        )
    assert has_spread_hits(data) is not is_constant
    value = float(compute_all(data)["f1_micro"][0])
    path = tmp_path / "m.json"
    content = json.loads(scored(tmp_path, "los")[0].read_text())
    shared = {"metrics": {"accuracy": value}, "intervals": {"accuracy": [value - 0.061234, value + 0.061234]}}
    parts = {name: dict.fromkeys(("validation", "test"), part) for name, part in shared.items()}
    counts = [count if count >= SMALLEST_CELL else None for count in np.bincount(label).tolist()]
    path.write_text(json.dumps(content | parts | {"positives": {"validation": counts, "test": counts}}))
    shown = publish(RunMetrics.read(path), {"validation": data, "test": data})
    if is_constant:
        assert shown.metrics["test"]["accuracy"] != pytest.approx(4 / 200, abs=1e-6)
        assert shown.intervals["test"]["accuracy"] is None
    else:
        assert shown.metrics["test"]["accuracy"] == pytest.approx(value, abs=5e-4)
        assert shown.intervals["test"]["accuracy"] == pytest.approx([value - 0.0612, value + 0.0612], abs=6e-4)
