"""Ranges of time in a plan: by finished jobs of this machine, or by the budget."""

import json
from pathlib import Path

import pytest
from study_fixtures import LORA, TWO, study_of, study_with

from clinical_peft.runtime.provenance import machine
from clinical_peft.workflow.measured_speeds import Speed, measured_speeds
from clinical_peft.workflow.plan import base_parameters, plan, run_tokens
from clinical_peft.workflow.plan_times import STARTUP, PlannedTime, in_words, plan_times, render_times

RUN = f"{TWO} on mortality"
PASSES = {"trained_tokens": 9_000, "forward_tokens": 2_000, "original_trained_tokens": 0, "original_forward_tokens": 0}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def finished(results: Path, model: str, *, where: dict | None = None, wall: float = 30.0, **record) -> None:
    """A finished training of one seed, as the workflow leaves it."""
    study, run = results / "done", {"kind": "models"}
    write(study / f"training/{model}/los/seed0.json", {"model": model, "task": "los", **record})
    log = {"run": run, "system": {"machine": machine() if where is None else where}}
    write(study / f"runs/finetune/{model}/los/seed0.jsonl", json.dumps(log) + "\n")
    write(study / f"benchmarks/finetune/{model}/los.tsv", f"s\th:m:s\n{wall}\t0:00:30\n")


def found(study, results: Path, part: str = RUN) -> PlannedTime:
    return next(each for each in plan_times(study, results) if each.part == part)


def test_speed_is_that_of_finished_jobs(tmp_path):
    study = study_with()
    parameters = base_parameters(study, "tiny-llama")
    finished(tmp_path, "llama", seconds=5.0, total_parameters=parameters, passes=PASSES)
    measured = measured_speeds(tmp_path, machine())
    assert measured.speeds == [Speed(parameters, 2_000)]
    assert measured.startups == [25.0]
    time, tokens = found(study, tmp_path), run_tokens(study, TWO, "mortality")
    assert time.is_measured
    assert (time.low, time.high) == pytest.approx((25 + tokens / 4_000, 25 + tokens / 2_000))


def test_jobs_of_another_machine_do_not_count(tmp_path):
    finished(tmp_path, "llama", where={"cores": 64}, seconds=5.0, total_parameters=10, passes=PASSES)
    assert measured_speeds(tmp_path, machine()).speeds == []
    assert not found(study_with(), tmp_path).is_measured


def test_without_finished_jobs_the_budget_counts(tmp_path):
    study = study_with(budget={"tokens_per_second": 100})
    time, tokens = found(study, tmp_path), run_tokens(study, TWO, "mortality")
    assert time.high == pytest.approx(STARTUP[1] + tokens / 50)
    assert time.low == pytest.approx(STARTUP[0] + tokens / 400)
    assert "by budget, 100 tokens/s" in render_times(study, [time])


def test_a_larger_network_is_slower_and_less_certain(tmp_path):
    study = study_with()
    parameters = base_parameters(study, "tiny-llama")
    finished(tmp_path, "llama", seconds=5.0, total_parameters=parameters // 5, passes=PASSES)
    time, tokens = found(study, tmp_path), run_tokens(study, TWO, "mortality")
    speed = 2_000 * (parameters // 5) / parameters
    assert time.high == pytest.approx(25 + tokens / (speed / 3))
    assert time.high - 25 == pytest.approx(18 * (time.low - 25))  # half of the tokens, three times as fast


def test_a_cpu_says_nothing_of_a_gpu_or_of_a_far_larger_network(tmp_path):
    finished(tmp_path, "llama", seconds=5.0, total_parameters=600_000, passes=PASSES)
    paper = study_of("paper.yaml")
    assert not any(each.is_measured for each in plan_times(paper, tmp_path) if each.part.startswith("adapter"))
    far = study_of("smollm2.yaml")
    assert not found(far, tmp_path, "adapter smollm2-lora").is_measured


def test_a_model_without_a_network_is_timed_by_its_rows(tmp_path):
    finished(tmp_path, "tfidf", seconds=2.0, wall=9.0)
    write(tmp_path / "done/statistics.json", [{"task": "los", "admissions": 100}])
    measured = measured_speeds(tmp_path, machine())
    assert measured.classical == [0.02]
    assert measured.plain_startups == [7.0]
    assert found(study_with(), tmp_path, "tfidf on mortality").is_measured


def test_records_that_are_just_written_are_passed_over(tmp_path):
    finished(tmp_path, "llama", seconds=5.0, total_parameters=10, passes=PASSES)
    write(tmp_path / "done/training/other/los/seed0.json", '{"seco')
    write(tmp_path / "done/runs/finetune/other/los/seed0.jsonl", "")
    assert len(measured_speeds(tmp_path, machine()).speeds) == 1


def test_an_adapters_file_tells_a_speed_too(tmp_path):
    record = {"seconds": 8.0, "evaluation_seconds": 2.0, "total_parameters": 77, "forward_tokens": 2_000}
    write(tmp_path / "done/perplexity/a.json", record | {"tokens": {"trained_on": 19_000}})
    write(tmp_path / "done/runs/adapters/a.jsonl", json.dumps({"system": {"machine": machine()}}) + "\n")
    assert measured_speeds(tmp_path, machine()).speeds == [Speed(77, 2_000)]


def test_every_base_adapter_and_run_has_a_time(tmp_path):
    study = study_with()
    parts = [each.part for each in plan_times(study, tmp_path)]
    runs = [f"{model} on {task}" for model in study.matrix.models for task in study.matrix.tasks]
    assert {*runs, f"adapter {LORA}", "base tiny-llama", "base tiny-bert", "data", "evaluation"} <= {*parts}
    assert len(parts) == len({*parts})


def test_tokens_of_runs_add_up_to_the_plan():
    study = study_of("config.yaml")
    tokens = next(stage.tokens for stage in plan(study) if stage.name == "fine-tuning")
    runs = sum(
        run_tokens(study, model, task)
        for model in study.matrix.models
        for task in study.tasks
        if study.tasks[task].models is None or model in study.tasks[task].models
    )
    assert 0 < runs < tokens  # and the pooled notes


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(1, 90, "1.0 to 90 s"), (30, 150, "0.5 to 2.5 min"), (3600, 36_000, "1.0 to 10 h"), (0, 0, "0.0 to 0.0 s")],
)
def test_a_range_has_one_unit(low, high, words):
    assert in_words(low, high) == words


def test_more_cores_shorten_the_whole_and_no_part():
    times = [PlannedTime("a", 60, 600, True), PlannedTime("b", 60, 600, True)]
    two, eight = (render_times(study_with(), times, cores=cores).splitlines() for cores in (2, 8))
    assert two[1:3] == eight[1:3]
    assert two[3].endswith("1.0 to 20 min")
    assert eight[3].endswith("0.2 to 5.0 min")
