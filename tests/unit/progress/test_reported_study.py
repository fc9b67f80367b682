"""What a study's command shows, from Snakemake's own records to lines on a stream."""

import logging
import os
import re
from pathlib import Path

import pytest
from snakemake.settings.enums import Quietness
from snakemake_records import ended_with_errors, failed, finished, planned, reporting, say, started, write

from clinical_peft.runtime.terminal import REPORTER

ADAPTER = "results/demo/adapters/lora"
PREDICTIONS = "results/demo/predictions/llama/los/seed{}.parquet"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "job.log"
    path.write_text("--- before\nerror: of an earlier attempt\n")
    return path


def lines(text: str) -> list[str]:
    """Lines without their times."""
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in text.splitlines()]


def test_a_line_for_each_start_and_end(capsys, log):
    with reporting():
        say("Building DAG of jobs...")
        planned(("train_adapter", ADAPTER, 60.0), ("evaluate_model", PREDICTIONS.format(0), 0.0))
        started(63, "train_adapter", ADAPTER, log, adapter="lora")
        finished(63, "train_adapter", 1, 2)
        started(64, "evaluate_model", PREDICTIONS.format(0), log, model="llama", task="los", seed="0")
        finished(64, "evaluate_model", 2, 2)
        say("Elapsed time: 0:00:12.5")
    output = capsys.readouterr()
    assert output.out == ""
    assert lines(output.err) == [
        "2 jobs to run, 1 min on the device by the plan",
        "start   train adapter: lora",
        "done    train adapter: lora, 0 s (1 of 2, about 10 s left)",
        "start   evaluate model: llama, los, seed 0",
        "done    evaluate model: llama, los, seed 0, 0 s (2 of 2)",
        "All 2 jobs done in 0 s",
    ]


def test_the_error_and_the_log_come_last(capsys, log):
    with reporting() as manager:
        planned(("train_adapter", ADAPTER, 0.0), ("build_cohort", "cohort", 0.0))
        started(1, "train_adapter", ADAPTER, log, adapter="lora")
        started(2, "build_cohort", "cohort", task="los")
        write(manager, log, "adapter lora | step 1/2 | 0:00:00 left", "error: a.csv: expected column text, found none")
        failed(1, "train_adapter", log)
        finished(2, "build_cohort", 1, 2)
        ended_with_errors()
    error = ["error: a.csv: expected column text, found none", f"log: {log}"]
    found = lines(capsys.readouterr().err)
    assert found[3:6] == ["failed  train adapter: lora after 0 s", *error]
    assert found[6:] == [
        "done    build cohort: los, 0 s (1 of 2, 1 failed)",
        "1 job failed:",
        "train adapter: lora",
        *error,
    ]


def test_a_failure_that_is_last_is_said_once(capsys, log):
    with reporting() as manager:
        started(1, "train_adapter", ADAPTER, log, adapter="lora")
        write(manager, log, "error: no space")
        failed(1, "train_adapter", log)
        ended_with_errors()
    assert lines(capsys.readouterr().err)[1:] == [
        "failed  train adapter: lora after 0 s",
        "error: no space",
        f"log: {log}",
    ]


def test_a_killed_job_is_called_killed(capsys, log):
    with reporting():
        started(1, "train_adapter", ADAPTER, log, adapter="lora")
        failed(1, "train_adapter", log, status=137)
        ended_with_errors()
    assert lines(capsys.readouterr().err)[-2:] == [
        "error: the job was killed (exit status 137), as when memory runs out",
        f"log: {log}",
    ]


def test_a_job_that_starts_again_has_not_failed(capsys, log):
    with reporting() as manager:
        planned(("train_adapter", ADAPTER, 0.0))
        started(7, "train_adapter", ADAPTER, log, adapter="lora")
        write(manager, log, "stopped: a checkpoint is saved; the same command goes on")
        failed(7, "train_adapter", log, message="SLURM-job '12' failed")
        say("Trying to restart job 7.")
        started(7, "train_adapter", ADAPTER, log, adapter="lora")
        finished(7, "train_adapter", 1, 1)
    found = lines(capsys.readouterr().err)
    assert "stopped: a checkpoint is saved; the same command goes on" in found
    assert found[-3:] == [
        "train adapter: lora starts again",
        "start   train adapter: lora",
        "done    train adapter: lora, 0 s (1 of 1)",
    ]


def test_a_job_on_a_cluster_is_reported_from_its_log(capsys, log, tmp_path):
    slurm_log = tmp_path / "12.log"
    slurm_log.write_text("error: slurmstepd: out of memory\n")
    with reporting() as manager:
        say("Provided remote nodes: 100", event="resources_info", nodes=100)
        started(3, "train_adapter", ADAPTER, log, adapter="lora")
        say(f"Job 3 has been submitted with SLURM jobid 12 (log: {slurm_log}).")
        write(manager, log, "warning: a.csv: leading zeros are lost")
        failed(
            3, "train_adapter", log, message="SLURM-job '12' failed, SLURM status is: 'FAILED'.", aux_logs=[slurm_log]
        )
    assert lines(capsys.readouterr().err) == [
        "queued  train adapter: lora",
        f"train adapter: lora has been submitted with SLURM jobid 12 (log: {slurm_log}).",
        "warning: a.csv: leading zeros are lost",
        "failed  train adapter: lora after 0 s",
        "error: slurmstepd: out of memory",
        "SLURM-job '12' failed, SLURM status is: 'FAILED'.",
        f"log: {log}",
        f"log: {slurm_log}",
    ]


def test_a_job_without_its_outputs_has_failed(capsys, log):
    text = (
        "MissingOutputException in rule write_cards:\nJob 5  completed successfully, but some output files are missing."
    )
    with reporting():
        started(5, "write_cards", "cards/a.md", log)
        say(text, logging.ERROR, event="error", exception="MissingOutputException")
        ended_with_errors()
    found = lines(capsys.readouterr().err)
    assert found[1:3] == text.splitlines()
    assert found[-2:] == [
        "error: the job ended without an error, but output files are missing (see above)",
        f"log: {log}",
    ]


def test_other_messages_of_snakemake_pass(capsys):
    with reporting():
        say("Nothing to be done (all requested files are present and up to date).")
        say("WorkflowError:\nFailed to open a.yaml", logging.ERROR, event="error", exception="WorkflowError")
    assert lines(capsys.readouterr().err) == [
        "Nothing to be done (all requested files are present and up to date).",
        "WorkflowError:",
        "Failed to open a.yaml",
    ]


def test_quiet_leaves_warnings_and_errors(capsys, log):
    with reporting(quiet={Quietness.PROGRESS, Quietness.RULES}) as manager:
        planned(("train_adapter", ADAPTER, 60.0))
        started(1, "train_adapter", ADAPTER, log, adapter="lora")
        write(manager, log, "warning: a.csv: leading zeros are lost", "error: no space")
        failed(1, "train_adapter", log)
    found = lines(capsys.readouterr().err)
    assert found[0] == "warning: a.csv: leading zeros are lost"
    assert "start   train adapter: lora" not in found
    assert found[-2:] == ["error: no space", f"log: {log}"]


@pytest.mark.parametrize(
    "settings",
    [{"dryrun": True}, {"verbose": True}, {"debug_dag": True}, {"printshellcmds": True}, {"quiet": {Quietness.ALL}}],
)
def test_other_commands_keep_snakemakes_output(settings):
    with reporting(**settings) as manager:
        assert "DefaultStreamHandler" in [handler.name for handler in manager.logger.handlers]
        assert REPORTER not in os.environ


def test_jobs_are_reported_only_while_the_study_runs():
    with reporting() as manager:
        assert "DefaultStreamHandler" not in [handler.name for handler in manager.logger.handlers]
        assert os.environ[REPORTER]
    assert REPORTER not in os.environ
