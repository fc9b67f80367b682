"""The time that a study has left."""

import pytest

from clinical_peft.progress.durations import about, duration
from clinical_peft.progress.study_clock import LIGHT, PlannedJob, StudyClock
from clinical_peft.progress.titles import job_title


def adapters(count: int, seconds: float = 95.0) -> list[PlannedJob]:
    return [PlannedJob("train_adapter", f"adapter{number}", seconds) for number in range(count)]


def clock_of(*jobs: PlannedJob) -> StudyClock:
    clock = StudyClock()
    clock.plan(jobs)
    return clock


def test_the_plan_decides_before_anything_is_done():
    assert clock_of(*adapters(3)).left(0, {}) == 3 * (95 + LIGHT)
    assert clock_of(PlannedJob("build_cohort", "cohort")).left(0, {}) == LIGHT


def test_finished_jobs_correct_the_plan():
    clock = clock_of(*adapters(3), PlannedJob("build_cohort", "a"), PlannedJob("build_cohort", "b"))
    clock.start("adapter0", "train_adapter", 0)
    assert clock.finish("adapter0", 200) == 200  # twice as long as planned
    clock.start("a", "build_cohort", 200)
    clock.finish("a", 220)
    assert clock.left(220, {}) == pytest.approx(2 * 200 + 20)


def test_jobs_of_another_rule_go_by_the_mean_of_all():
    clock = clock_of(*adapters(1), PlannedJob("finetune_model", "run", 45.0))
    clock.start("adapter0", "train_adapter", 0)
    clock.finish("adapter0", 300)
    assert clock.left(300, {}) == pytest.approx(3 * 50)


def test_jobs_that_ran_side_by_side_halve_the_time():
    clock = clock_of(*adapters(4))
    for name in ("adapter0", "adapter1"):
        clock.start(name, "train_adapter", 0)
    for name in ("adapter0", "adapter1"):
        clock.finish(name, 100)
    assert clock.left(100, {}) == pytest.approx(100)


def test_a_running_job_knows_best_what_it_has_left():
    clock = clock_of(*adapters(1))
    clock.start("adapter0", "train_adapter", 0)
    assert clock.left(40, {}) == pytest.approx(60)
    assert clock.left(40, {"adapter0": 360.0}) == pytest.approx(360)
    assert clock.left(500, {}) == 0


def test_a_slow_machine_is_seen_at_the_first_job():
    clock = clock_of(*adapters(2))
    clock.start("adapter0", "train_adapter", 0)
    assert clock.left(100, {"adapter0": 300.0}) == pytest.approx(300 + 400)


def test_a_failed_job_counts_only_if_it_starts_again():
    clock = clock_of(*adapters(1))
    clock.start("adapter0", "train_adapter", 0)
    assert clock.fail("adapter0", 10) == 10
    assert clock.left(10, {}) == 0
    clock.start("adapter0", "train_adapter", 10)
    assert clock.left(10, {}) == pytest.approx(100)


def test_durations_are_short():
    assert [duration(seconds) for seconds in (59.6, 3599, 86399)] == ["1 min 00 s", "59 min 59 s", "23 h 59 min"]
    assert [about(seconds) for seconds in (0.1, 58, 89, 3599)] == ["10 s", "1 min", "1 min", "1 h 00 min"]


def test_a_job_is_called_by_model_task_and_seed():
    outputs = ["results/demo/predictions/llama/los/seed2.parquet", "results/demo/models/llama/los/seed10"]
    assert job_title("finetune_model", {"model": "llama", "task": "los"}, outputs) == (
        "finetune model: llama, los, seeds 2, 10"
    )
    assert job_title("evaluate_model", {"model": "llama", "task": "los", "seed": "2"}, outputs[:1]) == (
        "evaluate model: llama, los, seed 2"
    )
    assert job_title("compare_models", {}, outputs) == "compare models"
