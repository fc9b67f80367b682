"""Gaps between groups of patients, small cells suppressed."""

import json
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recovery import recovered
from results_fixtures import built
from simulated_study import CLASSES, LABELS, simulate_study
from sklearn.metrics import roc_auc_score

from clinical_peft.disclosure.counts import HIDDEN, publishable_classes
from clinical_peft.errors import DataError
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.metrics.subgroup_gaps import NOT_RECORDED, TOO_FEW_IN_EVERY_CLASS, Scored, _gap, compare_subgroups
from clinical_peft.tables.render import to_markdown
from clinical_peft.tasks import TASKS


def write_attributes(path, ids, values):
    columns = {"hadm_id": pa.array(ids, pa.int64()), **{name: pa.array(found) for name, found in values.items()}}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("subgroups")
    study = simulate_study(root, seeds=2, resamples=100, tasks=("mortality", "procedures"))
    runs = [f"{run['model']}/{run['task']}/seed{run['seed']}" for run in study["metrics"]]
    ids = np.arange(1_000, 1_300)
    values = {
        "sex": np.where(ids % 2, "female", "male").tolist(),
        "rare": ["few" if i < 1_010 else None if i % 3 == 0 else "many" for i in ids],
    }
    return {
        **study,
        "root": root,
        "metrics": [root / f"metrics/{run}.json" for run in runs],
        "paths": [root / f"predictions/{run}.parquet" for run in runs],
        "attributes": write_attributes(root / "subgroups.parquet", ids, values),
    }


def gaps_of(study, **changes):
    arguments = {"resamples": 150, "bootstrap_seed": 0, "output": study["root"] / "subgroups.json", **changes}
    attributes = arguments.pop("attributes", study["attributes"])
    files = RunFiles(study["metrics"], study["paths"], study["classes"])
    return compare_subgroups(files, [attributes], tasks=TASKS, **arguments).to_json()


def subgroup_table(result):
    return built("subgroups", subgroups=result, labels=LABELS)


def test_gaps_are_metric_differences_over_shared_classes(study):
    result = gaps_of(study)
    assert json.loads((study["root"] / "subgroups.json").read_text()) == result
    rows = {(row["model"], row["task"], row["group"]): row for row in result["gaps"]}
    reference = rows["llama+lora", "mortality", rows["llama+lora", "mortality", "male"]["reference"]]
    row = rows["llama+lora", "mortality", "male" if reference["group"] == "female" else "female"]
    assert (reference["gaps"], row["reference"]) == (None, reference["group"])
    expected = {}
    for group, odd in (("female", 1), ("male", 0)):
        areas = []
        for path in study["predictions"]["llama+lora", "mortality"]:
            test = read_predictions(path, [0, 1], "binary")["test"]
            inside = test.hadm_id % 2 == odd
            areas.append(roc_auc_score(test.target[inside, 1], test.scores[inside, 1]))
        expected[group] = np.mean(areas)
    value = round(expected[row["group"]], 3)
    assert row["figures"]["auroc"]["value"] == value
    assert row["gaps"]["auroc"]["value"] == pytest.approx(value - round(expected[reference["group"]], 3))
    low, high = row["gaps"]["auroc"]["interval"]
    assert low < row["gaps"]["auroc"]["value"] < high
    several = rows["llama+lora", "procedures", "female"]
    assert 0 < several["classes"] <= 12
    assert several["seeds"] == 2


def one_versus_one(data, classes):
    """Mean over pairs of these classes, each pair in both directions, by scikit-learn."""
    label, areas = data.target.argmax(axis=1), []
    for first, second in combinations(classes, 2):
        pair = np.isin(label, (first, second))
        areas += [roc_auc_score(label[pair] == one, data.scores[pair, one]) for one in (first, second)]
    return np.mean(areas)


def test_gaps_of_classes_are_over_pairs_that_both_groups_show(tmp_path):
    """One group has no stay of the longest class: its gap must not come from the pairs that the other one has more."""
    study = simulate_study(tmp_path, seeds=1, resamples=20, tasks=("los",))
    paths = [study["predictions"][run["model"], "los"][0] for run in study["metrics"]]
    metrics = [tmp_path / f"metrics/{run['model']}/los/seed0.json" for run in study["metrics"]]
    found = pq.read_table(paths[0])
    sex = ["male" if label == 3 or hadm % 2 else "female" for hadm, label in zip(
        found["hadm_id"].to_pylist(), found["label"].to_pylist(), strict=True)]  # fmt: skip
    attributes = write_attributes(tmp_path / "sex.parquet", found["hadm_id"].to_pylist(), {"sex": sex})
    result = compare_subgroups(
        RunFiles(metrics, paths, study["classes"]),
        [attributes],
        tasks=TASKS,
        resamples=50,
        bootstrap_seed=0,
        output=tmp_path / "x.json",
    ).to_json()
    for path, run in zip(paths, study["metrics"], strict=True):
        test = read_predictions(path, range(4), "multiclass")["test"]
        inside = np.array([sex[hadm - 1_000] == "female" for hadm in test.hadm_id])
        parts = {"female": test.of_rows(inside), "male": test.of_rows(~inside)}
        assert not parts["female"].target[:, 3].any()
        (row,) = [row for row in result["gaps"] if row["model"] == run["model"] and row["gaps"]]
        assert publishable_classes(parts["female"].target, exclusive=False).tolist() == [True, True, True, False]
        expected = {name: one_versus_one(part, range(3)) for name, part in parts.items()}
        assert (row["group"], row["reference"], row["classes"], row["classes_with_few"]) == ("female", "male", 3, 0)
        assert row["figures"]["auroc"]["value"] == pytest.approx(expected["female"], abs=0.000501)
        assert row["gaps"]["auroc"]["value"] == pytest.approx(expected["female"] - expected["male"], abs=0.001001)
        assert row["figures"]["brier"]["value"] is None


def test_small_groups_and_their_complements_show_nothing(study):
    result = gaps_of(study)
    cells = {(cell["task"], cell["group"]): cell for cell in result["cells"]}
    for task in ("mortality", "procedures"):
        for group in ("few", NOT_RECORDED):
            cell = cells[task, group]
            assert (cell["admissions"], cell["patients"], cell["positives"]) == (None, None, None)
            assert cell["suppressed"] == HIDDEN
    assert cells["mortality", "many"]["admissions"] > 10
    for row in result["gaps"]:
        if row["group"] in ("few", NOT_RECORDED):
            assert row["suppressed"] == HIDDEN
            assert row["figures"] is row["gaps"] is row["p_value"] is None
            assert row["significant"] is False


def test_an_empty_group_of_a_task_is_hidden_there(study, tmp_path):
    """A group without a row would be a group of none."""
    ids = np.arange(1_000, 1_300)
    test = read_predictions(study["predictions"]["llama", "mortality"][0], [0, 1], "binary")["test"]
    other = read_predictions(study["predictions"]["llama", "procedures"][0], CLASSES["procedures"], "multilabel")[
        "test"
    ]
    inside = np.isin(ids, np.setdiff1d(test.hadm_id, other.hadm_id))
    only = {"a": np.where(inside, "some", "others").tolist()}
    attributes = write_attributes(tmp_path / "a.parquet", ids, only)
    cells = {(cell["task"], cell["group"]) for cell in gaps_of(study, attributes=attributes)["cells"]}
    assert cells == {(task, group) for task in ("mortality", "procedures") for group in ("some", "others")}


def test_the_order_of_hidden_groups_is_that_of_their_names(study, tmp_path):
    ids = np.arange(1_000, 1_300)
    names = np.select([ids < 1_008, ids < 1_030], ["a", "b"], "c").tolist()
    attributes = write_attributes(tmp_path / "order.parquet", ids, {"x": names})
    found = [cell for cell in gaps_of(study, attributes=attributes)["cells"] if cell["task"] == "mortality"]
    assert [(cell["group"], cell["admissions"] is None) for cell in found] == [("c", False), ("a", True), ("b", True)]


def test_classes_with_few_cases_are_dropped_and_counted(study):
    result = gaps_of(study)
    rows = {(row["model"], row["task"], row["group"]): row for row in result["gaps"]}
    test = read_predictions(study["predictions"]["llama", "procedures"][0], CLASSES["procedures"], "multilabel")["test"]
    female = test.hadm_id % 2 == 1
    smallest = [
        np.minimum(target.sum(axis=0), (~target).sum(axis=0)) for target in (test.target[female], test.target[~female])
    ]
    both = (smallest[0] > 0) & (smallest[1] > 0)
    few = both & ((smallest[0] < 10) | (smallest[1] < 10))
    shared = both & ~few
    row = next(rows["llama", "procedures", g] for g in ("female", "male") if rows["llama", "procedures", g]["gaps"])
    assert (row["classes"], row["classes_with_few"]) == (shared.sum(), few.sum())
    assert row["classes_with_few"] > 0
    assert rows["llama", "mortality", "female"]["classes_with_few"] == 0
    table = subgroup_table(result)
    marked = {(line[0], line[2]) for line in table.rows if "†" in line[6]}
    assert {("PROC", "female"), ("PROC", "male")} <= marked
    assert all(task == "PROC" for task, _ in marked)
    assert any(note.startswith("†") for note in table.notes)


def scored(areas, few):
    others = {name: np.full(3, 0.2) for name in ("brier", "calibration_intercept")}
    return Scored({columns: np.full(3, 0.7) for columns in areas}, others, frozenset(few))


def test_a_figure_of_few_cases_in_every_class_is_not_shown():
    base = scored(((0,), (1,)), ())
    found = _gap(scored((), (0, 1)), base, 0.95, COMPARED, own=False)
    assert found["suppressed"] == TOO_FEW_IN_EVERY_CLASS
    assert not {"figures", "gaps", "p_value"} & set(found)
    rough = _gap(scored(((0,),), (1,)), base, 0.95, COMPARED, own=False)
    assert (rough.get("suppressed"), rough["classes"], rough["classes_with_few"]) == (None, 1, 1)


def test_a_class_missing_in_one_of_two_groups_is_dropped():
    base, group = scored(combinations(range(4), 2), ()), scored(combinations(range(3), 2), ())
    found = _gap(group, base, 0.95, COMPARED, own=False)
    assert (found["classes"], found["classes_with_few"]) == (3, 0)
    # A single pair of classes has too few possible AUROCs.
    assert _gap(scored([(0, 1)], ()), base, 0.95, COMPARED, own=False)["suppressed"] == TOO_FEW_IN_EVERY_CLASS


def test_every_gap_has_its_interval_in_the_table(study):
    found = [record for record in subgroup_table(gaps_of(study)).records if record["gap_percent"] is not None]
    assert found
    for record in found:
        for name in ("brier", "brier_gap", "calibration_intercept", "calibration_intercept_gap"):
            if record["task"] == "procedures":  # over all labels, of which some are rare
                assert record[name] is None
                continue
            assert record[f"{name}_low"] <= record[name] <= record[f"{name}_high"]


def test_few_positives_hide_the_metrics_not_the_admissions(study, tmp_path):
    test = read_predictions(study["predictions"]["llama", "mortality"][0], [0, 1], "binary")["test"]
    positive = test.hadm_id[test.target[:, 1]]
    negative = test.hadm_id[~test.target[:, 1]]
    nine = np.concatenate([positive[:9], negative[30:]])
    ids = np.arange(1_000, 1_300)
    attributes = write_attributes(
        tmp_path / "a.parquet", ids, {"a": np.where(np.isin(ids, nine), "nine", "all but nine").tolist()}
    )
    cells = [cell for cell in gaps_of(study, attributes=attributes)["cells"] if cell["task"] == "mortality"]
    assert len(cells) == 2
    for cell in cells:
        assert cell["admissions"] >= 10
        assert cell["positives"] is None
        assert cell["suppressed"] == HIDDEN


def test_both_kinds_of_ranking_give_the_same_gaps(study, monkeypatch):
    dense = gaps_of(study)
    monkeypatch.setattr("clinical_peft.metrics.subgroup_gaps.kernel_pays", lambda *_: True)
    assert gaps_of(study) == dense


def test_admissions_without_attributes_are_refused(study, tmp_path):
    partial = write_attributes(tmp_path / "partial.parquet", np.arange(1_000, 1_200), {"sex": ["male"] * 200})
    with pytest.raises(DataError, match=r"found \d+ without"):
        gaps_of(study, attributes=partial)
    with pytest.raises(DataError, match="found none"):
        gaps_of(study, attributes=tmp_path / "absent.parquet")


def test_a_study_without_runs_has_no_gaps(tmp_path):
    result = compare_subgroups(
        RunFiles([], [], {}), [], tasks={}, resamples=100, bootstrap_seed=0, output=tmp_path / "x.json"
    )
    assert (result.cells, result.gaps) == ([], [])


def test_the_table_shows_no_count_below_ten(study):
    result = gaps_of(study)
    table = subgroup_table(result)
    assert len(table.records) == len(result["gaps"])
    assert {(record["protocol"], record["cohort_sha256"]) for record in table.records} == {("corrected", "c0" * 32)}
    assert len(table.rows) == len(result["cells"])
    counts = [record[name] for record in table.records for name in ("admissions", "patients", "positives")]
    assert all(count is None or count >= 10 for count in counts)
    assert "| few | many | – | – |" in to_markdown(table)
    for record in table.records:
        if record["auroc_percent"] is not None:
            assert record["auroc_percent"] == pytest.approx(round(record["auroc_percent"], 1))


def _with_label(task, study, label):
    """Test admissions of a binary task with one label."""
    test = read_predictions(study["predictions"]["llama", task][0], [0, 1], "binary")["test"]
    return test.hadm_id[test.target[:, label]]


def test_no_hidden_count_follows_from_a_whole_file(study, tmp_path):
    """Counts, sums, other tasks and AUROCs together leave every hidden count at least two values."""
    random = np.random.default_rng(5)
    ids = np.arange(1_000, 1_300)
    values = {
        "two": random.choice(["a", "b"], 300, p=[0.04, 0.96]).tolist(),
        "few": np.where(np.isin(ids, _with_label("mortality", study, 0)[:5]), "five", "others").tolist(),
        "five": random.choice(list("abcde"), 300, p=[0.4, 0.3, 0.2, 0.05, 0.05]).tolist(),
    }
    attributes = write_attributes(tmp_path / "a.parquet", ids, values)
    result = gaps_of(study, attributes=attributes, resamples=20)
    tasks = {}
    for task, kind in (("mortality", "binary"), ("procedures", "multilabel")):
        test = read_predictions(study["predictions"]["llama", task][0], CLASSES[task], kind)["test"]
        positive = frozenset(test.hadm_id[test.target[:, 1]].tolist()) if kind == "binary" else None
        tasks[task] = (frozenset(test.hadm_id.tolist()), positive)
    assert any(cell["admissions"] is None for cell in result["cells"])
    assert recovered(result, tasks) == set()
    for row in result["gaps"]:
        if row["figures"]:
            value = row["figures"]["auroc"]["value"]
            assert value == round(value, 3)
