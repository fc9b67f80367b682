"""Log records as Snakemake makes them, through its own logger and the plugin as Snakemake sets it up."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snakemake.logging import LoggerManager, logger
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from clinical_peft.progress.events import PLANNED

LAST_ERROR = "WorkflowError:\nAt least one job did not complete successfully."


@contextmanager
def reporting(**settings: Any) -> Iterator[LoggerManager]:
    """Snakemake's logging with the plugin, from its beginning to its end; what follows has been reported."""
    manager = LoggerManager(
        logger, OutputSettings(log_handler_settings={"clinical-peft": LogHandlerSettingsBase()}, **settings)
    )
    try:
        yield manager
    finally:
        manager.stop()


def write(manager: LoggerManager, log: Path, *lines: str) -> None:
    """Write to a job's log, once all records so far are reported: a job starts later than its record."""
    manager._queue.join()
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def say(message: str | None, level: int = logging.INFO, **extra: Any) -> None:
    """A record without an event, or with what is given."""
    logger.log(level, message, extra=extra)


def planned(*jobs: tuple[str, str, float]) -> None:
    """Jobs that are to run, as the study's controller announces them: rule, output, seconds."""
    stats = {"train_adapter": len(jobs), "total": len(jobs)}
    say("Job stats:\njob count\n", event=LogEvent.RUN_INFO, stats=stats)
    say("Planned: 60 s on one CPU core", **{PLANNED: list(jobs)})


def started(number: int, rule: str, output: str, log: Path | None = None, **wildcards: str) -> None:
    """A job is handed to its executor."""
    say("Select jobs to execute...")
    say("Execute 1 jobs...", event=LogEvent.JOB_STARTED, jobs=[number])
    say(
        f" Rule: {rule}, Jobid: {number}",
        event=LogEvent.JOB_INFO,
        jobid=number,
        rule_msg=None,
        rule_name=rule,
        local=False,
        input=[],
        output=[output],
        log=[str(log)] if log else [],
        benchmark=None,
        wildcards=wildcards,
        reason="Missing output files",
        resources={},
        priority=0,
        threads=1,
        indent=False,
        is_checkpoint=False,
        printshellcmd=True,
        is_handover=False,
        shellcmd=None,
    )
    say("Shell command: None", event=LogEvent.SHELLCMD, shellcmd=None, indent=False)


def finished(number: int, rule: str, done: int, total: int) -> None:
    """A job is done."""
    say(f"Finished jobid: {number} (Rule: {rule})", event=LogEvent.JOB_FINISHED, job_id=number)
    say(None, event=LogEvent.PROGRESS, done=done, total=total)


def failed(number: int, rule: str, log: Path, *, status: int = 1, message: str | None = None, aux_logs=()) -> None:
    """A job ends with an error: of its process where it ran here, or with an executor's message."""
    if message is None:
        command = f"Command 'set -euo pipefail;  python a.py' returned non-zero exit status {status}."
        text = f'RuleException:\nCalledProcessError in file "a.smk", line 6:\n{command}'
        say(text, logging.ERROR, event=LogEvent.ERROR, exception="RuleException")
    say(
        f"Error in rule {rule}, jobid: {number}",
        logging.ERROR,
        event=LogEvent.JOB_ERROR,
        jobid=number,
        rule_name=rule,
        rule_msg=message,
        input=[],
        output=[],
        log=[str(log), *map(str, aux_logs)],
        conda_env=None,
        container_img=None,
        aux={},
        indent=False,
        shellcmd=None,
    )


def ended_with_errors() -> None:
    """What Snakemake says at the end of a command with failed jobs."""
    say("Shutting down, this might take some time.")
    say("Exiting because a job execution failed. Look above for error messages", logging.ERROR)
    say("Complete log(s): /study/.snakemake/log/now.snakemake.log")
    say("Elapsed time: 0:00:12.5")
    say(LAST_ERROR, logging.ERROR, event=LogEvent.ERROR, exception="WorkflowError")
