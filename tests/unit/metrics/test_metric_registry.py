"""A metric is one function: registering it puts it into metrics files, replicates and the order of the others."""

import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from simulated_study import CLASSES, simulate_predictions
from sklearn.metrics import balanced_accuracy_score

from clinical_peft.errors import ConfigError
from clinical_peft.metrics import definitions, registry
from clinical_peft.metrics import metric as module
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.metric import Metric, metric
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.registry import COMPARED, MAIN_METRICS, METRICS, find_metric, metrics_of, read_metrics
from clinical_peft.tasks import find_task


@pytest.fixture
def defined(monkeypatch):
    """Definitions that a test may add to."""
    monkeypatch.setattr(module, "DEFINED", list(module.DEFINED))
    monkeypatch.setattr(registry, "DEFINED", module.DEFINED)


def printed_metric():
    """The block of code of CONTRIBUTING.md that defines a metric."""
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python parse\n(.*?)```", text, re.DOTALL)
    return block


def test_a_new_function_is_a_metric_of_its_types(defined, monkeypatch, tmp_path):
    exec(printed_metric(), {})
    monkeypatch.setattr(registry, "METRICS", read_metrics())
    assert list(registry.METRICS)[-1] == "balanced_accuracy"
    for task, has_it in (("mortality", True), ("los", False)):
        path, classes = tmp_path / f"{task}.parquet", tmp_path / f"{task}.json"
        simulate_predictions(path, task, signal=1.0, seed=0)
        classes.write_text(str(CLASSES[task]).replace("'", '"'))
        result = evaluate(
            path,
            classes,
            task=find_task(task),
            job={"model": "m", "switches": {"multilabel_softmax": False}},
            protocol="corrected",
            cohort_sha256="c0",
            seed=0,
            resamples=20,
            bootstrap_seed=0,
            output=tmp_path / "m.json",
            replicates=tmp_path / "m.parquet",
            provenance={},
            threshold=0.5,
        )
        assert ("balanced_accuracy" in result.metrics["test"]) is has_it
        assert ("balanced_accuracy" in pq.read_schema(tmp_path / "m.parquet").names) is has_it
        if has_it:
            test = read_predictions(path, CLASSES[task], "binary")["test"]
            expected = balanced_accuracy_score(test.target[:, 1], test.log_odds[:, 1] >= 0)
            assert result.metrics["test"]["balanced_accuracy"] == pytest.approx(expected)
            assert result.intervals_bca["test"]["balanced_accuracy"] is not None


def test_two_metrics_of_one_name_are_refused(defined):
    metric(name="auroc", title="AUROC", direction="higher")(len)
    with pytest.raises(ConfigError, match="a second metric is called auroc; rename one"):
        read_metrics()


def test_a_metric_without_a_direction_is_refused():
    with pytest.raises(TypeError, match="direction"):
        metric(name="x", title="X")(len)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"direction": "up"}, "metric x: direction: expected one of higher, lower, nearer 0, nearer 1, found up"),
        ({"direction": "lower", "types": ("text",)}, "metric x: types: expected one of binary, .*, found text"),
    ],
)
def test_a_metric_with_an_unknown_value_is_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        metric(name="x", title="X", **facts)(len)


def test_a_module_that_registers_no_metric_is_refused(tmp_path, monkeypatch):
    (tmp_path / "forgotten.py").write_text("def forgotten(weighted): ...")
    monkeypatch.setattr(definitions, "__path__", [*definitions.__path__, str(tmp_path)])
    with pytest.raises(ConfigError, match=r"forgotten\.py: expected a function with the decorator `metric`"):
        read_metrics()
    sys.modules.pop("clinical_peft.metrics.definitions.forgotten")


def test_an_unknown_metric_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"expected one of auroc, auprc, .*, found AUC"):
        find_metric("AUC")


def test_metrics_keep_their_order_and_columns():
    assert [one.name for one in MAIN_METRICS] == ["auroc", "auprc", "f1_micro", "f1_macro", "brier", "log_loss"]
    assert [one.name for one in metrics_of("binary", 2)] == [
        *("auroc", "auprc", "f1_micro", "f1_macro", "brier", "log_loss"),
        *("ece", "calibration_slope", "calibration_intercept"),
    ]
    averages = {f"{area}_{average}" for area in ("auroc", "auprc") for average in ("micro", "weighted")}
    of_labels = {one.name for one in metrics_of("multilabel", 7)}
    assert of_labels == {one.name for one in metrics_of("binary", 2)} | averages | {"precision_at_1", "precision_at_5"}
    banded = {one.name for one in metrics_of("multilabel", 10, has_bands=True)}
    assert banded == {name for name, one in METRICS.items() if one.is_default}


def test_the_compared_metric_has_an_analytic_variance():
    assert COMPARED.name == "auroc"
    assert [one.name for one in METRICS.values() if one.placements is not None] == ["auroc"]


def test_a_metric_says_how_it_is_written():
    assert all(isinstance(one, Metric) and one.title for one in METRICS.values())
    assert {one.name for one in MAIN_METRICS if not one.percent} == {"brier", "log_loss"}
    assert {one.direction for one in MAIN_METRICS if one.judges_probabilities} == {"lower"}
