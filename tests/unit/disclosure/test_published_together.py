"""No hidden count follows from all that a study publishes of its sizes: statistics, metrics, attrition, run logs."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recovery import WHOLE as EVERYONE
from recovery import Published, Task, by_admissions

from clinical_peft.data.hidden_splits import WHOLE, hidden_splits
from clinical_peft.data.statistics import dataset_statistics, publishable
from clinical_peft.disclosure.ablations import HiddenCounts, hidden_counts
from clinical_peft.metrics.scored_run_log import published_events
from clinical_peft.tables.published_steps import published_attrition, untold_cohorts
from clinical_peft.tasks import TASKS

SPLITS = ("train", "validation", "test")


def write_cohort(folder, name, admissions, labels, splits):
    table = {"hadm_id": admissions, "subject_id": admissions, "split": splits, "label": labels}
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(table | {"text": ["a note"] * len(admissions)}), path)
    path.with_suffix("").with_suffix(".classes.json").write_text('["0", "1"]')
    return path


def sized(folder, sizes, deaths, dropped=(0, 0, 0)):
    """Cohorts of all admissions, of survivors, and under a switch that drops some of the dead."""
    splits = np.repeat(SPLITS, sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    dead = place < np.repeat(deaths, sizes)
    left = place >= np.repeat(dropped, sizes)
    ids = np.arange(sum(sizes))
    rows = {"mortality": np.ones(len(ids), bool), "los": ~dead, "mortality@kept": left}
    label = {"mortality": dead, "los": ids % 2, "mortality@kept": dead}
    return {
        name: write_cohort(folder, name, ids[kept], label[name][kept].astype(int), splits[kept])
        for name, kept in rows.items()
    }


def published(paths):
    """What statistics, metrics files and attrition say of the sizes of cohorts."""
    plain = [path for name, path in paths.items() if "@" not in name]
    hidden = hidden_splits(plain, TASKS)
    rows = {row["task"]: publishable(row, hidden[row["task"]]) for row in dataset_statistics(plain)}
    steps = {
        name: [{"step": "labelled", "unit": "admissions", "rows": count, "patients": count}]
        for name, count in ((path.stem, pq.read_metadata(path).num_rows) for path in plain)
    }
    attrition = published_attrition(steps, untold_cohorts(list(rows.values())))
    shown = {}
    for name, path in paths.items():
        table = pq.read_table(path)
        counts = Counter(zip(table["split"].to_pylist(), table["label"].to_pylist(), strict=True))
        is_binary = name != "los"
        mine = hidden_counts(path, plain, hidden)
        totals = rows.get(name, {}).get("admissions"), attrition.get(name, [{"rows": None}])[-1]["rows"]
        by_split = {}
        for split in SPLITS:
            positives, negatives = counts[split, 1], counts[split, 0]
            size = positives + negatives
            # The statistics have their own cover; metrics files show the two held-out splits.
            seen = [rows[name][split]] if name in rows else []
            if split != "train" and split not in mine.splits and size >= 10:
                seen.append(size)
            has_positives = is_binary and split != "train" and split not in mine.positives
            by_split[split] = Published(
                next((count for count in seen if count is not None), None),
                positives if has_positives and min(positives, negatives) >= 10 else None,
            )
        ids = table["hadm_id"].to_numpy()
        positive = frozenset(ids[table["label"].to_numpy() == 1].tolist()) if is_binary else None
        shown[name] = Task(
            frozenset(ids.tolist()),
            positive,
            by_split,
            is_total_shown=any(count is not None for count in totals),
            are_positives_shown=rows.get(name, {}).get("prevalence") is not None,
        )
    return shown


def pinned(paths):
    """Small counts that follow; one of ten or more that is hidden for another's sake may."""
    found = by_admissions(published(paths), with_totals=True)
    return {key for key, (low, high) in found.items() if low == high < 10}


def test_few_deaths_in_a_whole_study_hide_a_total(tmp_path):
    paths = sized(tmp_path, (210, 70, 140), (3, 1, 3), (1, 0, 0))
    hidden = hidden_splits([paths["mortality"], paths["los"]], TASKS)
    assert hidden == {"mortality": frozenset(), "los": {*SPLITS, WHOLE}}
    (row,) = dataset_statistics([paths["los"]])
    found = publishable(row, hidden["los"])
    assert all(found[name] is None for name in (*SPLITS, "admissions", "patients", "class_shares", "prevalence"))
    steps = [{"step": "labelled", "unit": "admissions", "rows": 413, "patients": 413}]
    (step,) = published_attrition({"los": steps}, untold_cohorts([found]))["los"]
    assert (step["rows"], step["patients"]) == (None, None)
    assert EVERYONE in {group for _, group, _ in by_admissions(published(paths), with_totals=True)}
    assert pinned(paths) == set()


@pytest.mark.parametrize(
    ("dropped", "splits", "positives"),
    [
        ((0, 0, 0), set(), set()),
        ((3, 0, 0), {"train"}, {"train"}),
        ((12, 9, 15), {"validation"}, {"validation"}),
    ],
)
def test_a_run_under_a_switch_hides_near_sizes(tmp_path, dropped, splits, positives):
    paths = sized(tmp_path, (210, 70, 140), (40, 20, 30), dropped)
    plain = [paths["mortality"], paths["los"]]
    hidden = hidden_counts(paths["mortality@kept"], plain, hidden_splits(plain, TASKS))
    assert hidden == HiddenCounts(frozenset(splits), frozenset(positives))
    assert hidden_counts(plain[0], plain, hidden_splits(plain, TASKS)) == HiddenCounts(frozenset(), frozenset())


def test_labels_that_few_change_hide_how_many(tmp_path):
    ids = np.arange(100)
    before = write_cohort(tmp_path, "los", ids, ids % 2, ["test"] * 100)
    after = write_cohort(tmp_path, "los@los_rounded", ids, (ids % 2) * (ids > 5), ["test"] * 100)
    assert hidden_counts(after, [before], {"los": ()}) == HiddenCounts(frozenset({"test"}), frozenset({"test"}))


def test_shares_do_not_say_what_splits_hide(tmp_path):
    """Fifteen deaths in all, less twelve in the test split."""
    paths = sized(tmp_path, (60, 40, 50), (3, 0, 12))
    (row,) = dataset_statistics([paths["mortality"]])
    assert row["prevalence"] == 0.1
    assert publishable(row)["prevalence"] is None
    (row,) = dataset_statistics([sized(tmp_path, (60, 40, 50), (20, 0, 12))["mortality"]])
    assert publishable(row)["prevalence"] == 32 / 150


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_hidden_size_follows_from_what_is_published(tmp_path_factory, data):
    sizes = [data.draw(st.integers(30, 90)) for _ in SPLITS]
    # The attacker knows which kinds of admissions there are: with and without the outcome, dropped or not.
    deaths = [data.draw(st.sampled_from(counts)) for counts in ((3, 8, 12, 25), (0, 1, 8, 12), (0, 1, 8, 12))]
    dropped = [data.draw(st.integers(int(place == 0), max(0, count - 1))) for place, count in enumerate(deaths)]
    assert pinned(sized(tmp_path_factory.mktemp("study"), sizes, deaths, dropped)) == set()


EVENTS = [
    {"run": {"kind": "models"}},
    {"params": {"batch": 4}},
    {"metrics": {"train_loss": 0.51234, "tokens": 8811.0}, "step": 1, "time": 0.0},
    {"metrics": {"validation_auroc": 0.712345, "validation_loss": 0.4567891, "epoch": 1.0}, "step": 53, "time": 0.0},
    {"metrics": {"seconds": 12.0, "tokens_per_second": 103.25}, "step": None, "time": 0.0},
]


def test_a_run_log_does_not_say_how_many_rows_are_trained():
    found = list(published_events(EVENTS, {"train"}))
    assert [event["metrics"] for event in found[2:]] == [EVENTS[3]["metrics"], {"seconds": 12.0}]
    assert [event["step"] for event in found[2:]] == [1, None]
    assert not any(part in json.dumps(found) for part in ("8811", "53", "103.25"))


def test_a_run_log_rounds_metrics_of_an_unsized_split():
    found = list(published_events(EVENTS, {"validation"}))
    assert found[3]["metrics"] == {"validation_auroc": 0.712, "validation_loss": 0.457, "epoch": 1.0}
    assert found[2] == EVENTS[2]
    assert list(published_events(EVENTS, ())) == EVENTS
