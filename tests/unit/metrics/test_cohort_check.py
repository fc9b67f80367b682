"""Predictions that are not the cohort's are refused; bands come from its training split."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from evaluation_fixtures import rewrite, run_evaluation
from simulated_study import CLASSES, simulate_predictions

from clinical_peft.disclosure.counts import shown_margin
from clinical_peft.errors import DataError
from clinical_peft.metrics.cohort_check import read_cohort, train_positives
from clinical_peft.metrics.registry import metrics_of


def write_cohort(folder, task, rows=200):
    """The cohort of `simulate_predictions`, with a training split that repeats the test split's labels."""
    path = folder / f"{task}.cohort.parquet"
    simulate_predictions(folder / "source.parquet", task, signal=1.0, seed=0, rows=rows)
    table = pq.read_table(folder / "source.parquet", columns=["hadm_id", "subject_id", "split", "label"])
    test = table.filter(pc.equal(table["split"], "test"))
    train = pa.table(
        {
            "hadm_id": pc.add(test["hadm_id"], 50_000),
            "subject_id": pc.add(test["subject_id"], 50_000),
            "split": pa.array(["train"] * len(test)),
            "label": test["label"],
        }
    ).cast(table.schema)
    pq.write_table(pa.concat_tables([train, table]), path)
    return path


@pytest.mark.parametrize("task", ["mortality", "los", "diagnoses"])
def test_predictions_of_the_cohort_pass(tmp_path, task):
    result, _, _ = run_evaluation(tmp_path, task, cohort=write_cohort(tmp_path, task))
    assert result["n"]["test"] > 0


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("hadm_id", lambda values: [*values[:-1], 1_000_000], "missing"),
        ("subject_id", lambda values: values[::-1], "expected the cohort's subject_id"),
        ("label", lambda values: [1 - v for v in values], "expected the cohort's labels, found others for"),
        ("split", lambda values: ["validation" if i % 2 else "test" for i, _ in enumerate(values)], "missing"),
    ],
)
def test_predictions_of_another_cohort_are_refused(tmp_path, column, change, message):
    cohort = write_cohort(tmp_path, "mortality")
    rewrite(cohort, column, change)
    with pytest.raises(DataError, match=message):
        run_evaluation(tmp_path, "mortality", cohort=cohort)
    assert not (tmp_path / "m-mortality-0.json").exists()


def test_a_missing_prediction_shrinks_no_denominator(tmp_path):
    cohort = write_cohort(tmp_path, "mortality")
    table = pq.read_table(cohort)
    extra = table.slice(len(table) - 1).to_pylist()[0] | {"hadm_id": 7, "split": "test"}
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist([extra], schema=table.schema)]), cohort)
    with pytest.raises(DataError, match=r"split test: expected the \d+ admissions of the cohort.*1 missing, 0 of no"):
        run_evaluation(tmp_path, "mortality", cohort=cohort)


def test_a_cohort_with_repeated_admissions_is_refused(tmp_path):
    cohort = write_cohort(tmp_path, "mortality")
    table = pq.read_table(cohort)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), cohort)
    with pytest.raises(DataError, match="every admission once, found 1"):
        read_cohort(cohort)
    cohort.write_bytes(b"nothing")
    with pytest.raises(DataError, match="expected a cohort"):
        read_cohort(cohort)


def test_bands_and_labels_stand_in_the_metrics_file(tmp_path):
    cohort = write_cohort(tmp_path, "diagnoses")
    result, _, _ = run_evaluation(tmp_path, "diagnoses", cohort=cohort)
    classes = CLASSES["diagnoses"]
    counted = train_positives(read_cohort(cohort), classes, "cohort")
    shown = shown_margin(counted.tolist())
    assert None in shown
    assert result["labels"]["train_positives"] == shown == result["labels"]["positives"]
    bands = result["bands"]
    assert bands["tail"]["classes"] == int((counted < 20).sum())
    assert sum(bands[name]["classes"] for name in ("head", "middle", "tail")) == len(classes)
    assert sum(bands[name]["scored"] for name in ("head", "middle", "tail")) == result["classes_scored"]["test"]
    assert set(result["metrics"]["test"]) == {metric.name for metric in metrics_of("multilabel", 20, has_bands=True)}
    assert [value is None for value in result["labels"]["auroc"]] == [count is None for count in shown]
    without, _, _ = run_evaluation(tmp_path, "diagnoses")
    assert (without["bands"], without["labels"]["train_positives"]) == (None, None)
    assert set(without["metrics"]["test"]) == {metric.name for metric in metrics_of("multilabel", 20)}


def test_either_protocol_is_scored_whatever_the_runs_own(tmp_path):
    result, _, _ = run_evaluation(tmp_path, "diagnoses")
    paper, corrected = (result["variants"][name]["test"] for name in ("paper", "corrected"))
    assert set(paper) == set(corrected) == {"auroc", "auprc", "f1_micro", "f1_macro"}
    # The simulated scores are sigmoids.
    assert corrected["auroc"] == pytest.approx(result["metrics"]["test"]["auroc"], abs=1e-3)
    assert paper["auroc"] != pytest.approx(corrected["auroc"], abs=1e-3)
    single, _, _ = run_evaluation(tmp_path, "mortality")
    assert single["variants"]["paper"]["test"]["auroc"] == single["metrics"]["test"]["auroc"]
