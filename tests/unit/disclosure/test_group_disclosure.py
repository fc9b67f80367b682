"""No hidden count of a group follows from what is published beside it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recovery import Published, Task, by_admissions, by_task

from clinical_peft.data.hidden_splits import WHOLE, hidden_splits
from clinical_peft.disclosure.groups import Counts, Members, decide
from clinical_peft.tasks import TASKS


def members(sizes, positives=None, first=0):
    """Rows of groups with these sizes; the first of each group are positive."""
    groups = np.repeat([f"g{place}" for place in range(len(sizes))], sizes)
    inside = np.concatenate([np.arange(size) for size in sizes]) if sizes else np.array([], int)
    positive = None if positives is None else inside < np.repeat(positives, sizes)
    ids = np.arange(len(groups)) + first
    return Members(ids, ids, groups, positive)


def published(tasks):
    """What the decision publishes, by task and group."""
    shown = {}
    for name, decision in decide(tasks).items():
        rows = tasks[name]
        counts = Counts.of(rows, decision.groups)
        by_group = {}
        for place, group in enumerate(decision.groups):
            positives = counts.outcomes[0][place] if counts.outcomes else None
            by_group[group] = Published(
                int(counts.admissions[place]) if group in decision.counts else None,
                int(positives) if counts.outcomes and group in decision.outcomes else None,
            )
        positive = None if rows.positive is None else rows.outcomes[0]
        shown[name] = Task(rows.everyone, positive, by_group)
    return shown


def pinned(tasks):
    """Hidden counts that an attacker knows."""
    shown = published(tasks)
    return {key for key, (low, high) in by_admissions(shown).items() if low == high}


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ([50, 1, 1], {"g0", "g1", "g2"}),
        ([50, 40, 5], {"g1", "g2"}),
        ([50, 12, 10], set()),
        ([9, 9, 60], {"g0", "g1"}),
    ],
)
def test_small_groups_and_their_cover_are_hidden(sizes, hidden):
    (decision,) = decide({"t": members(sizes)}).values()
    assert set(decision.groups) - decision.counts == hidden


def test_the_group_of_a_small_one_has_no_metric():
    """Emergency 49 of 54 admissions and 29 of 29 positives: its AUROC told both counts of the elective five."""
    rows = members([49, 5], [29, 0])
    (decision,) = decide({"pmv": rows}).values()
    assert not decision.counts
    assert not decision.outcomes
    # The metric in full leaves two pairs of counts, and no other count of positives, ties included.
    found = by_task([Published(None, None, aurocs=(0.756896551724138,), digits=15), Published(None, None)], 54, 29)
    assert found == [{(49, 29), (39, 29)}, {(5, 0), (15, 0)}]


def test_a_task_of_survivors_does_not_give_away_deaths():
    deaths = [4, 12, 3, 15]
    mortality = members([60, 50, 40, 45], deaths)
    alive = ~mortality.positive
    los = Members(mortality.admissions[alive], mortality.patients[alive], mortality.groups[alive])
    tasks = {"mortality": mortality, "los": los}
    found = decide(tasks)
    for group, count in zip(("g0", "g2"), (4, 3), strict=True):
        assert group not in found["mortality"].counts & found["los"].counts, count
    assert pinned(tasks) == set()


def test_tasks_of_the_same_admissions_hide_the_same_groups():
    tasks = {"a": members([60, 50, 5, 30], [30, 25, 2, 15]), "b": members([60, 50, 5, 30])}
    found = decide(tasks)
    assert found["a"].counts == found["b"].counts


def part(rows, kept):
    """Some of a task's rows, without labels."""
    return Members(rows.admissions[kept], rows.patients[kept], rows.groups[kept])


def test_a_task_of_hidden_size_shows_no_group():
    mortality = members([60, 50], [3, 2])
    tasks = {"mortality": mortality, "los": part(mortality, ~mortality.positive)}
    assert decide(tasks, {"los"})["los"].counts == set()
    assert decide(tasks, {"los"})["mortality"].counts == {"g0", "g1"}


def test_a_random_label_costs_other_tasks_nothing():
    sizes = [60, 50, 40, 45]
    whole = members(sizes, [30, 25, 20, 22])
    few_left_out = np.ones(len(whole.admissions), bool)
    few_left_out[::40] = False
    tasks = {
        "diagnoses": part(whole, few_left_out),
        "los": part(whole, np.arange(len(few_left_out)) % 3 > 0),
    }
    beside = tasks | {"control": replace(whole, is_random=True)}
    found = decide(beside)
    assert {name: found[name] for name in tasks} == decide(tasks)
    assert found["control"].counts == set()
    assert decide(tasks | {"whole": whole}) != decide(tasks)


@pytest.mark.parametrize("unpublished", ["large", "small"])
def test_a_task_that_is_not_the_papers_hides_first(unpublished):
    large = members([60, 50, 40, 45])
    tasks = {"large": large, "small": part(large, np.arange(len(large.admissions)) % 40 > 0)}
    (kept,) = tasks.keys() - {unpublished}
    tasks[unpublished] = replace(tasks[unpublished], is_published=False)
    found = decide(tasks)
    assert (len(found[kept].counts), len(found[unpublished].counts)) == (4, 0)


def test_as_many_groups_as_possible_can_be_compared():
    """Two tasks, neither within the other, against the one task that both are within."""
    whole = members([40, 45], [20, 20])
    places = np.arange(len(whole.admissions))
    tasks = {"a": part(whole, places % 9 > 0), "b": part(whole, places % 10 > 1), "whole": whole}
    found = decide(tasks)
    assert [len(found[name].counts) for name in ("a", "b", "whole")] == [2, 2, 0]
    assert pinned(tasks) == set()


def write_cohorts(folder, **cohorts):
    """Cohorts by task: labels of admissions with these numbers, in splits by number."""
    paths = []
    for task, (admissions, labels) in cohorts.items():
        split = np.array(["train", "validation", "test"])[np.array([0, 0, 0, 1, 2, 2])[admissions % 6]]
        table = {"hadm_id": admissions, "subject_id": admissions, "split": split, "label": labels}
        paths.append(folder / f"{task}.parquet")
        pq.write_table(pa.table(table), paths[-1])
    return paths


def test_split_sizes_hide_few_deaths(tmp_path):
    """Deaths: 40 in all, of 70 admissions of the validation split 4, of 140 of the test split 36."""
    admissions = np.arange(420)
    dead = np.isin(admissions, [*admissions[admissions % 6 == 3][:4], *admissions[admissions % 6 > 3][:36]])
    alive = admissions[~dead]
    paths = write_cohorts(
        tmp_path, mortality=(admissions, dead.astype(int)), los=(alive, alive % 4), control=(admissions, admissions % 2)
    )
    hidden = hidden_splits(paths, TASKS)
    # Nobody dies in training, which is a count, too; one task hides what three would have to. The 36 of the test split
    # are shown, so that all deaths would tell the others.
    assert hidden == {"mortality": set(), "control": set(), "los": {"train", "validation", "test", WHOLE}}
    splits = [pq.read_table(path)["split"].to_numpy(zero_copy_only=False) for path in paths]
    tasks = {
        path.stem: Members(ids, ids, split)
        for path, ids, split in zip(paths, (admissions, alive, admissions), splits, strict=True)
    }
    assert pinned(tasks) == set()


def test_cohorts_that_differ_by_few_keep_their_sizes(tmp_path):
    """Three notes state the death and are dropped for mortality alone; each split has at least ten deaths."""
    admissions = np.arange(420)
    dead = admissions % 5 == 0
    kept = ~np.isin(admissions, admissions[dead & (admissions % 6 == 4)][:3])
    paths = write_cohorts(
        tmp_path,
        mortality=(admissions[kept], dead[kept].astype(int)),
        los=(admissions[~dead], admissions[~dead] % 3),
        diagnoses=(admissions, [["a"], ["b", "c"]] * 210),
        control=(admissions, admissions % 2),
    )
    assert hidden_splits(paths, TASKS) == dict.fromkeys(("mortality", "los", "diagnoses", "control"), frozenset())


def test_sizes_and_groups_together_hide_deaths(tmp_path):
    """What is published of splits, and of groups of the test split, is attacked at once."""
    admissions = np.arange(600)
    test = admissions % 6 > 3
    dead = np.isin(admissions, [*admissions[test][:7], *admissions[~test][:50]])
    alive = admissions[~dead]
    hidden = hidden_splits(
        write_cohorts(tmp_path, mortality=(admissions, dead.astype(int)), los=(alive, alive % 4)), TASKS
    )
    assert "test" in hidden["los"]
    sex = np.array(["f", "m"])[admissions % 2]
    rows = {
        "mortality": Members(admissions[test], admissions[test], sex[test], dead[test]),
        "los": Members(alive[test[alive]], alive[test[alive]], sex[alive[test[alive]]]),
    }
    shown = {}
    for task, decision in decide(rows, {"los"}).items():
        counts = Counts.of(rows[task], ("f", "m"))
        groups = {
            name: Published(int(counts.admissions[place]) if name in decision.counts else None, None)
            for place, name in enumerate(("f", "m"))
        }
        everyone = admissions if task == "mortality" else alive
        places = {"train": everyone % 6 < 3, "validation": everyone % 6 == 3, "test": everyone % 6 > 3}
        sizes = {
            split: Published(None if split in hidden[task] else int(inside.sum()), None)
            for split, inside in places.items()
        }
        groups |= {split: sizes[split] for split in ("train", "validation")}
        positive = frozenset(admissions[dead].tolist()) if task == "mortality" else None
        shown[task] = Task(frozenset(everyone.tolist()), positive, groups, [(("f", "m"), sizes["test"])])
    found = by_admissions(shown)
    assert ("los", "f+m", "admissions") in found
    assert ("mortality", "f+m", "positives") in found
    assert {key for key, (low, high) in found.items() if low == high} == set()


@st.composite
def studies(draw):
    """Tasks over groups: the same admissions, a part of them, those without an outcome, and others."""
    sizes = draw(st.lists(st.integers(1, 45), min_size=2, max_size=5))
    shares = draw(st.lists(st.sampled_from([0, 0.1, 0.3, 0.5, 0.9, 1]), min_size=len(sizes), max_size=len(sizes)))
    whole = members(sizes, [round(size * share) for size, share in zip(sizes, shares, strict=True)])
    patients = whole.admissions // draw(st.integers(1, 2))
    whole = Members(whole.admissions, patients, whole.groups, whole.positive)
    tasks = {"whole": whole}
    random = np.random.default_rng(draw(st.integers(0, 10)))
    for kind in draw(st.lists(st.sampled_from(["same", "part", "negatives", "positives", "most"]), max_size=3)):
        keep = {
            "same": np.ones(len(sizes) and len(whole.admissions), bool),
            "part": random.random(len(whole.admissions)) < 0.5,
            "most": random.random(len(whole.admissions)) < 0.95,
            "negatives": ~whole.positive,
            "positives": whole.positive,
        }[kind]
        label = random.random(int(keep.sum())) < 0.4 if draw(st.booleans()) else None
        if draw(st.booleans()):
            label = whole.positive[keep]
        tasks[f"{kind}{len(tasks)}"] = Members(whole.admissions[keep], whole.patients[keep], whole.groups[keep], label)
    return tasks


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(studies())
def test_no_hidden_count_can_be_recovered(tasks):
    # Of no admission at all there is nothing to hide.
    assert {key for key in pinned(tasks) if len(tasks[key[0]].admissions)} == set()
