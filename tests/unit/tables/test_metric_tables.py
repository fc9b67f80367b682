"""Tables of the figures beside AUROC: every figure of the metrics files is shown, with its interval or a reason."""

import copy

import numpy as np
import pytest
from results_fixtures import built_from, records
from simulated_study import LABELS, simulate_study

from clinical_peft.disclosure.counts import coarse_figures
from clinical_peft.errors import DataError
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import find_metric
from clinical_peft.metrics.replicates import read_replicates, run_key
from clinical_peft.tables.render import to_latex, to_markdown
from clinical_peft.tables.study_results import StudyResults

TASKS = ("mortality", "los", "procedures")


NAMES = ("metrics", "multilabel_metrics", "scoring_variants")


def tables_of(runs, replicates):
    return built_from(StudyResults(metrics=runs, replicates=replicates, labels=LABELS), *NAMES)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulate_study(tmp_path_factory.mktemp("study"), resamples=50, tasks=TASKS)


@pytest.fixture(scope="module")
def metrics(study):
    return study["metrics"]


@pytest.fixture(scope="module")
def build(study):
    """The tables of some runs, found with their replicates."""
    paths = {run_key(RunMetrics.of(run)): path for run, path in zip(study["metrics"], study["replicates"], strict=True)}
    return lambda runs: tables_of(runs, [paths[run_key(RunMetrics.of(run))] for run in runs])


@pytest.fixture(scope="module")
def tables(metrics, build):
    return build(metrics)


def runs(metrics, model, task):
    return [run for run in metrics if (run["model"], run["task"]) == (model, task)]


def row_of(table, model, task):
    return next(row for row in records(table) if (row["model"], row["task"]) == (model, task))


def test_every_table_has_a_row_per_model_and_task(tables):
    assert len(tables["metrics"].rows) == len(tables["scoring_variants"].rows) == 8 * len(TASKS)
    assert {row["task"] for row in records(tables["multilabel_metrics"])} == {"procedures"}
    for table in tables.values():
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_rows_name_protocol_and_cohort_and_refuse_others(tables, metrics, build):
    for table in tables.values():
        assert {(record["protocol"], record["cohort_sha256"]) for record in table.records} == {("corrected", "c0" * 32)}
    other = [run | {"protocol": "paper"} if run["model"] == "llama" else run for run in metrics]
    with pytest.raises(DataError, match="a table holds runs of one protocol"):
        build(other)


def test_metrics_are_means_over_seeds_with_their_intervals(tables, metrics, study):
    found = row_of(tables["metrics"], "llama+lora", "mortality")
    seeds = runs(metrics, "llama+lora", "mortality")
    assert len(seeds) == 2
    for figure, name, scale in (("auprc", "auprc{}_percent", 100), ("f1_macro", "f1_macro{}_percent", 100),
                                ("brier", "brier{}", 1), ("log_loss", "log_loss{}", 1)):  # fmt: skip
        mean = sum(run["metrics"]["test"][figure] for run in seeds) / 2
        resamples = [
            read_replicates(path, RunMetrics.of(run), find_metric(figure))
            for run, path in zip(metrics, study["replicates"], strict=True)
            if (run["model"], run["task"]) == ("llama+lora", "mortality")
        ]
        low, high = np.quantile(np.mean(resamples, axis=0), [0.025, 0.975])
        shown = [float(found[name.format(end)]) for end in ("", "_low", "_high")]
        assert shown == pytest.approx([scale * mean, scale * low, scale * high], abs=1e-4)
        assert low <= mean <= high
    assert float(found["threshold"]) == pytest.approx(sum(run["threshold"]["value"] for run in seeds) / 2, abs=1e-4)
    printed = dict(zip(tables["metrics"].header, tables["metrics"].rows[1], strict=True))
    assert "[" in printed["AUPRC (%)"]
    assert "[" in printed["Brier"]


def test_intervals_of_small_splits_are_coarse_too(metrics, build):
    changed = [copy.deepcopy(run) for run in runs(metrics, "llama+lora", "mortality")]
    for run in changed:
        run["positives"]["test"] = None
        for found in (run["metrics"]["test"], *(run["variants"][version]["test"] for version in run["variants"])):
            found |= coarse_figures(found, run["n"]["test"])
            found["f1_macro"] = None
        run["intervals"]["test"] = coarse_figures(run["intervals"]["test"], run["n"]["test"])
    tables = build(changed)
    found = row_of(tables["metrics"], "llama+lora", "mortality")
    for end in ("low", "high"):
        assert float(found[f"auroc_{end}_percent"]) == round(float(found[f"auroc_{end}_percent"]))
        assert found[f"brier_{end}"] == found[f"log_loss_{end}"] == found["brier"] == ""
    assert "it would give away a count below 10" in found["undefined"]
    assert found["f1_macro_percent"] == row_of(tables["scoring_variants"], "llama+lora", "mortality")[
        "f1_macro_paper_percent"
    ] == ""  # fmt: skip


def test_the_auroc_has_the_interval_of_the_main_table(tables, study):
    row = next(
        row for row in study["aggregate"]["summaries"] if (row["model"], row["task"]) == ("llama+lora", "procedures")
    )
    found = row_of(tables["metrics"], "llama+lora", "procedures")
    shown = [float(found[f"auroc{end}_percent"]) for end in ("", "_low", "_high")]
    assert shown == pytest.approx([100 * value for value in (row["auroc"], *row["interval"])], abs=1e-4)


def test_intervals_without_resamples_average_their_bounds(tables, metrics):
    found = row_of(tables["multilabel_metrics"], "llama", "procedures")
    seeds = runs(metrics, "llama", "procedures")
    for end, name in enumerate(("low", "high")):
        mean = sum(run["intervals"]["test"]["auroc_micro"][end] for run in seeds) / 2
        assert float(found[f"auroc_micro_{name}_percent"]) == pytest.approx(100 * mean, abs=1e-4)


def test_a_multiclass_task_has_no_threshold_and_says_why(tables):
    assert row_of(tables["metrics"], "llama", "los")["threshold"] == ""
    assert row_of(tables["metrics"], "llama", "los")["threshold_chosen_on"] == "highest score"
    assert "highest score is predicted" in to_markdown(tables["metrics"])


def test_multilabel_metrics_stand_beside_each_other(tables, metrics):
    found = row_of(tables["multilabel_metrics"], "llama", "procedures")
    seeds = runs(metrics, "llama", "procedures")
    for figure in ("auroc_micro", "auprc_weighted", "precision_at_5"):
        mean = sum(run["metrics"]["test"][figure] for run in seeds) / 2
        assert float(found[f"{figure}_percent"]) == pytest.approx(100 * mean, abs=1e-4)
    # The simulated runs have no cohort, so that bands are unknown: dashes with the reason.
    assert found["auroc_head_percent"] == ""
    assert "auroc_head: labels in training were not counted" in found["undefined"]
    assert "PROC, auroc head: labels in training were not counted" in " ".join(tables["multilabel_metrics"].notes)


def test_bands_are_described_and_empty_ones_dashed(metrics, build):
    changed = [copy.deepcopy(run) for run in runs(metrics, "llama", "procedures")]
    bands = {"head_above": 100, "tail_below": 20, "head": {"classes": 4, "scored": 4}}
    bands |= {"middle": {"classes": 6, "scored": 5}, "tail": {"classes": 2, "scored": 0}}
    for run in changed:
        run["bands"] = bands
        for part, value in (("metrics", 0.75), ("intervals", [0.7, 0.8])):
            run[part]["test"] |= {"auroc_head": value, "auroc_middle": value}
            run[part]["test"] |= {"auprc_head": value, "auprc_middle": value}
        run["metrics"]["test"] |= {"auroc_tail": None, "auprc_tail": None}
        run["intervals"]["test"] |= {"auroc_tail": None, "auprc_tail": None}
    table = build(changed)["multilabel_metrics"]
    (row,) = table.rows
    printed = dict(zip(table.header, row, strict=True))
    # Every label of the band is scored, which is not so of the next.
    assert printed["Head"].startswith("75.0 [")
    assert printed["Middle"].startswith("75.0† [")
    assert printed["Tail"] == "–"
    notes = " ".join(table.notes)
    assert "PROC head 4 of 4, middle 5 of 6, tail 0 of 2" in notes
    assert "none of 2 labels of the band has positives and negatives in test" in notes


def test_a_figure_that_a_seed_lacks_is_a_dash_with_its_reason(metrics, build):
    changed = [copy.deepcopy(run) for run in runs(metrics, "llama", "mortality")]
    changed[0]["metrics"]["test"]["log_loss"] = None
    changed[0]["intervals"]["test"]["log_loss"] = None
    table = build(changed)["metrics"]
    assert dict(zip(table.header, table.rows[0], strict=True))["Log-loss"] == "–"
    assert "MOR, log loss: undefined in 1 of 2 seeds" in " ".join(table.notes)


def test_the_originals_scoring_stands_beside_the_corrected_one(tables, metrics):
    found = row_of(tables["scoring_variants"], "llama+lora", "procedures")
    seeds = runs(metrics, "llama+lora", "procedures")
    values = {
        version: 100 * sum(run["variants"][version]["test"]["auroc"] for run in seeds) / 2
        for version in ("paper", "corrected")
    }
    assert values["paper"] != values["corrected"]
    assert float(found["auroc_paper_percent"]) == pytest.approx(values["paper"], abs=1e-4)
    assert float(found["auroc_difference_percent"]) == pytest.approx(values["paper"] - values["corrected"], abs=2e-4)
    assert not any("−0.0" in cell for row in tables["scoring_variants"].rows for cell in row)
    los = row_of(tables["scoring_variants"], "llama", "los")
    assert float(los["auroc_difference_percent"]) == 0


def test_a_mean_over_fewer_classes_is_marked_in_every_form(metrics, build):
    changed = [copy.deepcopy(run) for run in runs(metrics, "llama", "los")]
    for run in changed:
        run["classes_scored"]["test"] = 3
    table = build(changed)["metrics"]
    printed = dict(zip(table.header, table.rows[0], strict=True))
    assert "† [" in printed["AUROC (%)"]
    assert "†" not in printed["Brier"]
    assert "LOS 3 of 4" in to_markdown(table)
    assert r"$^\dagger$" in to_latex(table)


def test_an_interval_that_does_not_hold_its_figure_is_marked(metrics, tables, build):
    changed = [copy.deepcopy(run) for run in runs(metrics, "llama", "procedures")]
    for run in changed:
        run["intervals"]["test"]["auroc_micro"] = [0.98, 0.99]
    table = build(changed)["multilabel_metrics"]
    assert "‡ [98.0, 99.0]" in dict(zip(table.header, table.rows[0], strict=True))["Micro"]
    assert any(note.startswith("‡") for note in table.notes)
    assert not any(note.startswith("‡") for note in tables["multilabel_metrics"].notes)


def test_a_study_without_models_has_tables_that_say_so():
    for table in tables_of([], []).values():
        assert table.rows == ()
        assert "no such row" in to_markdown(table)
