"""Trials of a search: which are run, by whom, what a kill costs, when one ends early."""

import math
import multiprocessing
import os
import signal
from dataclasses import asdict, replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.config.search_spaces import Choices, Interval, Search, from_record, grid
from clinical_peft.config.search_spaces import as_record as record_of
from clinical_peft.errors import StoppedError, TrainingError
from clinical_peft.search import trials
from clinical_peft.search.trials import FIRST_TRIALS, Outcome, run_trials

FINITE = Search(
    space="ranks",
    parameters={"settings.r": Choices(values=(2, 4, 8, 16)), "settings.dropout": Choices(values=(0.0, 0.1, None))},
    sampler="tpe",
    pruner="none",
    trials=10,
    seed=3,
    workers=1,
    metric="validation_auroc",
)
CONTINUOUS = replace(FINITE, parameters={"recipe.learning_rate": Interval(low=1e-5, high=1e-1, log=True)}, trials=25)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def figure(point) -> float:
    """What a trial finds: best at a rank of 8 and the smallest dropout, or at a rate of 1e-3."""
    if "recipe.learning_rate" in point:
        return 1 - abs(math.log10(point["recipe.learning_rate"]) + 3) / 10
    return 1 - abs(point["settings.r"] - 8) / 20 - (point["settings.dropout"] or 0.05)


def rising(number, point, report, *, epochs=3):
    """A trial whose figure rises epoch by epoch."""
    curve = [figure(point) * epoch / epochs for epoch in range(1, epochs + 1)]
    for epoch in range(1, epochs):
        report(curve[:epoch])
    return Outcome(curve[-1], curve, tokens=100, seconds=0.5)


def run(folder, search, objective=rising, *, worker=0, identity="one"):
    return run_trials(search, objective, worker=worker, journal=folder / "trials.journal", identity=identity)


def kill_at(calls, step=1):
    """An objective that dies in its n-th call, after reporting `step` epochs."""
    seen = []

    def objective(number, point, report):
        seen.append(number)
        if len(seen) == calls:
            for epoch in range(1, step + 1):
                report([figure(point) * done / 3 for done in range(1, epoch + 1)])
            raise Killed
        return rising(number, point, report)

    return objective


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_finite_space_is_searched_once_and_ends(sampler, tmp_path):
    records = run(tmp_path, replace(FINITE, sampler=sampler, trials=50))
    assert [record.number for record in records] == list(range(12))
    points = [tuple(record.values.items()) for record in records]
    assert len(set(points)) == 12
    assert {record.state for record in records} == {"complete"}
    assert all(type(record.values["settings.r"]) is int for record in records)


def test_a_cut_grid_leaves_out_no_corner():
    search = replace(FINITE, sampler="grid", trials=6)
    first = grid(search)[:6]
    assert len({point["settings.r"] for point in first}) > 2
    assert grid(search) == grid(search)
    assert grid(search) != grid(replace(search, seed=4))


def test_a_trial_depends_on_the_seed_and_earlier_trials(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert run(tmp_path / "a", CONTINUOUS) == run(tmp_path / "b", CONTINUOUS)
    other = run(tmp_path, replace(CONTINUOUS, seed=4))
    assert [record.values for record in other] != [record.values for record in run(tmp_path / "a", CONTINUOUS)]


def test_tpe_learns_where_to_look(tmp_path):
    records = run(tmp_path, CONTINUOUS)
    early = [record.value for record in records[:FIRST_TRIALS]]
    late = [record.value for record in records[-FIRST_TRIALS:]]
    assert sum(late) > sum(early)


@settings(deadline=None, max_examples=12)
@given(
    kills=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=3),
    sampler=st.sampled_from(["tpe", "grid"]),
    pruner=st.sampled_from(["median", "none"]),
)
def test_a_killed_search_goes_on_to_the_same_trials(kills, sampler, pruner, tmp_path_factory):
    search = replace(FINITE, sampler=sampler, pruner=pruner)
    whole = run(tmp_path_factory.mktemp("whole"), search)
    folder = tmp_path_factory.mktemp("broken")
    for calls, step in kills:
        try:
            run(folder, search, kill_at(calls, step))
        except Killed:
            continue
    assert run(folder, search) == whole


def test_a_search_survives_sigkill(tmp_path):
    def die(number, point, report):
        if number == 4:
            report([0.1])
            os.kill(os.getpid(), signal.SIGKILL)
        return rising(number, point, report)

    worker = multiprocessing.get_context("fork").Process(target=run, args=(tmp_path, FINITE, die))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    (tmp_path / "whole").mkdir()
    assert run(tmp_path, FINITE) == run(tmp_path / "whole", FINITE)


def test_a_finished_search_runs_only_added_trials(tmp_path):
    first = run(tmp_path, FINITE)
    called = []

    def counting(number, point, report):
        called.append(number)
        return rising(number, point, report)

    assert run(tmp_path, FINITE, counting) == first
    assert called == []
    longer = run(tmp_path, replace(FINITE, trials=12), counting)
    assert called == [10, 11]
    assert longer[:10] == first


def test_trials_of_another_identity_do_not_count(tmp_path):
    run(tmp_path, FINITE)
    called = []
    run(tmp_path, FINITE, lambda *given: called.append(given[0]) or rising(*given), identity="another")
    assert called == list(range(10))


def test_an_abandoned_trial_fails_and_is_repeated(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, FINITE, kill_at(3))
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "trials.journal"))
    )
    before = optuna.load_study(study_name="one", storage=storage).trials[-1]
    assert before.state.name == "RUNNING"
    repeated = run(tmp_path, FINITE)[2]
    after = optuna.load_study(study_name="one", storage=storage).trials
    assert after[before.number].state.name == "FAIL"
    assert repeated.values == before.params
    assert repeated.state == "complete"


@pytest.mark.parametrize("cut", [b'{"op_code":4,"work', b"\x00\x00"])
def test_a_record_cut_short_is_dropped(cut, tmp_path):
    run(tmp_path, replace(FINITE, trials=4))
    with (tmp_path / "trials.journal").open("ab") as journal:
        journal.write(cut)
    (tmp_path / "whole").mkdir()
    assert run(tmp_path, FINITE) == run(tmp_path / "whole", FINITE)


def test_a_lock_that_a_kill_left_behind_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "LOCK_SECONDS", 3)
    (tmp_path / "trials.journal.lock").touch()
    assert len(run(tmp_path, FINITE)) == 10
    assert not (tmp_path / "trials.journal.lock").exists()


def test_workers_may_run_at_once(tmp_path):
    search = replace(FINITE, workers=3, trials=12)
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=run, args=(tmp_path, search), kwargs={"worker": worker}) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    shares = [run(tmp_path, search, kill_at(1), worker=worker) for worker in range(3)]  # nothing is left to run
    assert sorted(record.number for share in shares for record in share) == list(range(12))


def test_workers_share_the_trials(tmp_path):
    search = replace(FINITE, workers=3)
    shares = [run(tmp_path, search, worker=worker) for worker in range(3)]
    assert sorted(record.number for share in shares for record in share) == list(range(10))
    assert [record.number for record in shares[1]] == [1, 4, 7]
    points = [tuple(record.values.items()) for share in shares for record in share]
    assert len(set(points)) == 10


def test_a_worker_leaves_the_running_trials_of_others_alone(tmp_path):
    search = replace(FINITE, workers=2)
    with pytest.raises(Killed):
        run(tmp_path, search, kill_at(1), worker=1)
    first = run(tmp_path, search, worker=0)
    assert [record.number for record in first] == [0, 2, 4, 6, 8]
    assert [record.number for record in run(tmp_path, search, worker=1)] == [1, 3, 5, 7, 9]


def test_there_are_no_more_workers_than_trials():
    assert replace(FINITE, trials=2, workers=8).planned_workers == 2
    assert list(replace(FINITE, trials=3, workers=2).trials_of_worker(1)) == [1]


@pytest.mark.parametrize("metric", ["validation_auroc", "validation_perplexity"])
def test_a_trial_behind_half_of_the_others_ends_early(metric, tmp_path):
    search = replace(FINITE, pruner="median", metric=metric)
    sign = 1 if search.maximises else -1

    def objective(number, point, report):
        bad = number >= FIRST_TRIALS and number % 2
        curve = [sign * (0.1 if bad else 0.5 + number / 100) * epoch for epoch in (1, 2, 3)]
        for epoch in (1, 2):
            report(curve[:epoch])
        return Outcome(curve[-1], curve, tokens=100, seconds=0.5)

    records = run(tmp_path, search, objective)
    pruned = [record for record in records if record.state == "pruned"]
    assert [record.number for record in pruned] == [5, 7, 9]
    assert {len(record.curve) for record in pruned} == {1}
    assert {len(record.curve) for record in records if record.state == "complete"} == {3}


def test_diverging_training_is_a_failed_trial(tmp_path):
    def objective(number, point, report):
        if number == 1:
            raise TrainingError("training loss at optimizer step 4: expected a finite number, found nan")
        return rising(number, point, report)

    records = run(tmp_path, FINITE, objective)
    assert [record.state for record in records] == ["complete", "failed", *["complete"] * 8]
    assert "optimizer step 4" in records[1].reason
    assert run(tmp_path, FINITE, kill_at(1)) == records  # it is not tried again


def test_a_stopped_job_leaves_its_trial_to_the_next(tmp_path):
    def objective(number, point, report):
        if number == 2:
            raise StoppedError("training, as a signal asked; a checkpoint is saved")
        return rising(number, point, report)

    with pytest.raises(StoppedError):
        run(tmp_path, FINITE, objective)
    (tmp_path / "whole").mkdir()
    assert run(tmp_path, FINITE) == run(tmp_path / "whole", FINITE)


def test_an_error_that_no_point_causes_ends_the_search(tmp_path):
    def objective(number, point, report):
        raise MemoryError

    with pytest.raises(MemoryError):
        run(tmp_path, FINITE, objective)


def test_a_search_survives_its_record():
    for search in (FINITE, CONTINUOUS):
        assert from_record(record_of(search)) == search


@pytest.mark.parametrize("ends", [(1, 9), (1e-4, 1e-1)])
@pytest.mark.parametrize("log", [True, False])
def test_an_interval_keeps_its_ends_and_kind(ends, log, tmp_path):
    search = replace(FINITE, parameters={"recipe.x": Interval(low=ends[0], high=ends[1], log=log)}, trials=8)

    def objective(number, point, report):
        return Outcome(float(point["recipe.x"]), [], tokens=1, seconds=0.1)

    for record in run(tmp_path, search, objective):
        assert ends[0] <= record.values["recipe.x"] <= ends[1]
        assert type(record.values["recipe.x"]) is type(ends[0])
    assert asdict(search)["parameters"]
