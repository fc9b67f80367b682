"""Comparisons of models over a whole table: what is significant, what is bold, and what is refused."""

import json

import numpy as np
import pytest
from results_fixtures import built, built_from
from simulated_study import CLASSES, LABELS, simulate_predictions, simulate_study

from clinical_peft.errors import DataError
from clinical_peft.metrics.aggregate import MACRO, aggregate
from clinical_peft.metrics.comparison_records import Comparisons
from clinical_peft.metrics.comparisons import BEST, SIGNIFICANCE, TIED, best_and_tied
from clinical_peft.metrics.delong import compare_areas, contributions
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.registry import find_metric
from clinical_peft.metrics.resampling import holm
from clinical_peft.tables.render import to_latex, to_markdown
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import find_task

TASKS = ("mortality", "los")
GROUPS = {"one": ["llama", "llama+lora", "llama+clinical-frozen"], "other": ["tfidf", "bluebert+lora"]}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    return {"root": root, **simulate_study(root, tasks=TASKS)}


def compare(study, **changes):
    runs = study["metrics"]
    stems = [f"{run['model']}/{run['task']}/seed{run['seed']}" for run in runs]
    arguments = {
        "tasks": {task: find_task(task) for task in TASKS},
        "groups": GROUPS,
        "output": study["root"] / "again.json",
        "predictions": [study["root"] / f"predictions/{stem}.parquet" for stem in stems],
        "classes": study["classes"],
        **changes,
    }
    paths = [study["root"] / f"metrics/{stem}.json" for stem in stems]
    return aggregate(paths, [path.with_suffix(".replicates.parquet") for path in paths], **arguments).to_json()


@pytest.fixture(scope="module")
def compared(study):
    return compare(study)


def test_holm_runs_over_all_pairs_and_tasks_of_a_table(compared):
    for group, size in (("one", 3 * 3), ("other", 1 * 3)):
        rows = [row for row in compared["differences"] if row["group"] == group]
        assert len(rows) == size
        adjusted = holm({place: row["p_total"] for place, row in enumerate(rows)})
        assert [row["p_holm_table"] for row in rows] == [adjusted[place] for place in range(size)]
        for row in rows:
            assert row["significant"] == (row["p_holm_table"] <= SIGNIFICANCE)
            assert row["p_holm_table"] >= row["p_total"]


def test_binary_tasks_carry_delongs_test_of_the_mean_over_seeds(study, compared):
    for row in compared["differences"]:
        assert (row["delong"] is None) == (row["task"] != "mortality")
    row = next(row for row in compared["differences"] if row["task"] == "mortality")
    means = []
    for model in (row["first"], row["second"]):
        tests = [
            read_predictions(path, CLASSES["mortality"], "binary")["test"]
            for path in study["predictions"][model, "mortality"]
        ]
        positive = tests[0].target[:, 1]
        means.append(np.mean([contributions(test.scores[:, 1], positive) for test in tests], axis=0))
    expected = compare_areas(*means, positive, tests[0].subject_id, 0.95)
    assert row["delong"]["difference"] == pytest.approx(row["difference"])
    assert row["delong"]["p_value"] == pytest.approx(expected.p_value)
    # Resampling and the formula agree on how far patients move a difference.
    assert np.ptp(row["delong"]["interval"]) == pytest.approx(np.ptp(row["interval"]), rel=0.3)


def test_total_intervals_are_no_narrower_than_delongs(compared):
    for row in compared["differences"]:
        low, high = row["interval_total"]
        assert low < row["difference"] < high
        assert high - low > 0.9 * np.ptp(row["interval"])
        assert row["degrees_of_freedom"] is None or row["degrees_of_freedom"] > 1


def difference(first, second, significant, task="los"):
    return {"group": "g", "task": task, "first": first, "second": second, "significant": significant}


def made_up(values, pairs):
    known = {"level": 0.95, "resamples": 10, "macro_tasks": [], "cohorts": {}}
    return Comparisons.of({**known, "summaries": values, "differences": pairs})


def test_a_tie_is_never_bold():
    values = [
        {"model": name, "task": "los", "auroc": value, "seeds": 1}
        for name, value in (("a", 0.6), ("b", 0.7), ("c", 0.9))
    ]
    pairs = [difference("a", "b", False), difference("a", "c", True), difference("b", "c", True)]
    assert best_and_tied(made_up(values, pairs)) == {("c", "los"): BEST}
    pairs[2]["significant"] = False
    assert best_and_tied(made_up(values, pairs)) == {("c", "los"): TIED, ("b", "los"): TIED}
    assert best_and_tied(made_up(values, [])) == {}


def test_tables_print_the_lead_in_bold_in_every_form(study, compared):
    marks = best_and_tied(Comparisons.of(compared))
    assert {BEST, TIED} <= set(marks.values())
    names = ("uncertainty", "downstream_main", "downstream_lora_baselines")
    tables = built_from(StudyResults(comparison=compared, labels=LABELS), *names)
    table = tables["uncertainty"]
    leaders = sum(mark == BEST for mark in marks.values())
    # A row over patients alone, and one over patients and seeds.
    assert len(table.bold) == 2 * leaders == to_latex(table).count(r"\textbf{") == to_markdown(table).count(" **")
    tied = sum(mark == TIED for mark in marks.values())
    assert sum(cell.endswith(" =") for row in table.rows for cell in row) == 2 * tied
    assert sum(len(tables[name].bold) for name in names[1:]) == leaders


def test_every_model_has_all_its_intervals_everywhere(compared):
    table = built("uncertainty", comparison=compared, labels=LABELS)
    kinds = [record["kind"] for record in table.records]
    assert kinds == ["model"] * len(compared["summaries"]) + ["difference"] * len(compared["differences"])
    summaries = {(row["model"], row["task"]): row for row in compared["summaries"]}
    wider = 0
    for record in table.records[: len(summaries)]:
        row = summaries[record["first"], record["task"]]
        for kind, prefix in (("interval", ""), ("interval_bca", "bca_"), ("interval_total", "total_")):
            printed = [record[f"{prefix}low_percent"], record[f"{prefix}high_percent"]]
            assert printed == pytest.approx([100 * end for end in row[kind]], abs=1e-4)
        wider += np.ptp(row["interval_total"]) > np.ptp(row["interval"])
    assert wider > len(summaries) / 2
    row = summaries["llama", "los"]
    lines = [line for line in table.rows if line[1] == "tiny LLaMA"]
    assert [line[2] for line in lines] == ["patients", "patients and seeds"]
    column = table.header.index("LOS")
    for line, kind in zip(lines, ("interval", "interval_total"), strict=True):
        low, high = (100 * end for end in row[kind])
        assert f"{100 * row['auroc']:.1f} [{low:.1f}, {high:.1f}]" in line[column]
    # A model that is compared with no other has its intervals too.
    alone = next(line for line in table.rows if line[1] == LABELS["llama+clinical-trainable"]["label"])
    assert alone[0] == "–"
    assert "[" in alone[column]


def test_one_seed_has_no_interval_over_seeds(compared):
    single = [row | {"seeds": 1, "seed_sd": None} for row in compared["summaries"]]
    table = built("uncertainty", comparison=compared | {"summaries": single}, labels=LABELS)
    assert {line[2] for line in table.rows} == {"patients"}
    assert "over seeds" not in table.caption
    assert "patients and seeds with ±" in built("uncertainty", comparison=compared, labels=LABELS).caption


def test_a_seed_missing_from_a_comparison_is_named(study):
    kept = [run for run in study["metrics"] if (run["model"], run["task"], run["seed"]) != ("llama", "los", 1)]
    with pytest.raises(DataError, match="llama on los with every seed of the study; missing: seed 1"):
        compare({**study, "metrics": kept})


def test_predictions_other_than_those_scored_are_refused(study, tmp_path):
    path = study["predictions"]["tfidf", "mortality"][0]
    content = path.read_bytes()
    try:
        simulate_predictions(path, "mortality", signal=0.0, seed=7)
        with pytest.raises(DataError, match="found others; evaluate it again"):
            compare(study)
    finally:
        path.write_bytes(content)


def test_macro_average_adds_the_variance_of_its_tasks_seeds(compared):
    rows = [row for row in compared["differences"] if row["task"] == MACRO]
    for row in rows:
        parts = [
            part for part in compared["differences"]
            if (part["first"], part["second"]) == (row["first"], row["second"]) and part["task"] in TASKS
        ]  # fmt: skip
        assert row["standard_error"] < max(part["standard_error"] for part in parts)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_models_are_compared_by_the_metric_asked_for(study):
    """Of a loss the lowest leads; it has no test by DeLong and no interval that ends at 1."""
    stems = [f"{run['model']}/{run['task']}/seed{run['seed']}" for run in study["metrics"]]
    paths = [study["root"] / f"metrics/{stem}.json" for stem in stems]
    found = aggregate(
        paths,
        [path.with_suffix(".replicates.parquet") for path in paths],
        tasks={task: find_task(task) for task in TASKS},
        groups=GROUPS,
        output=study["root"] / "by_loss.json",
        predictions=[study["root"] / f"predictions/{stem}.parquet" for stem in stems],
        classes=study["classes"],
        metric=find_metric("log_loss"),
    )
    content = json.loads((study["root"] / "by_loss.json").read_text())
    assert Comparisons.of(content, metric="log_loss") == found
    assert "auroc" not in content["summaries"][0]
    assert all(row.delong is None for row in found.differences)
    values = {row.model: row.value for row in found.summaries if row.task == "los"}
    runs = [
        run["metrics"]["test"]["log_loss"]
        for run in study["metrics"]
        if (run["model"], run["task"]) == ("llama", "los")
    ]
    assert values["llama"] == pytest.approx(np.mean(runs))
    marks = best_and_tied(found)
    for models in GROUPS.values():
        leader = min((model for model in models if model in values), key=values.get)
        assert marks[leader, "los"] in (BEST, TIED)


def test_delongs_test_is_named_only_where_there_is_one(compared):
    without = [row | {"delong": None} for row in compared["differences"]]
    notes = [
        built("uncertainty", comparison=compared | {"differences": rows}, labels=LABELS).notes[0]
        for rows in (compared["differences"], without)
    ]
    assert ["DeLong" in one for one in notes] == [True, False]
    assert all(one.endswith(".") for one in notes)
