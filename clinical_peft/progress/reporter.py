"""A running study on the terminal: a line for each job that starts and ends, the time left, and errors last."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path

from clinical_peft.progress import events
from clinical_peft.progress.durations import about, duration
from clinical_peft.progress.job_log import JobLog, last_error
from clinical_peft.progress.screen import RED, YELLOW, Screen
from clinical_peft.progress.study_clock import PlannedJob, StudyClock
from clinical_peft.progress.titles import job_title

QUIET_SECONDS = 600.0  # without a line, after which a stream that is no terminal gets one
KILLED = 137


@dataclass
class _Job:
    name: str
    title: str
    log: JobLog
    is_shown: bool
    started: float


@dataclass
class _Failure:
    title: str
    lines: list[str] = field(default_factory=list)


class Reporter:
    """Turns Snakemake's log records into lines.

    Args:
        screen: Where the lines go.
        quiet: Whether jobs are not reported, but errors and warnings are.
        show_failed_logs: Whether to show the log of a job that ended without an error line.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        screen: Screen,
        *,
        quiet: bool = False,
        show_failed_logs: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.screen = screen
        self.study = StudyClock()
        self._quiet, self._show_failed_logs, self._clock = quiet, show_failed_logs, clock
        self._jobs: dict[int, _Job] = {}
        self._titles: dict[int, str] = {}
        self._failures: dict[int, _Failure] = {}
        self._done, self._total = 0, 0
        self._is_remote = False
        self._exit_statuses: list[str] = []
        self._began: float | None = None
        self._last_line = clock()
        self._failures_are_last = False

    def handle(self, record: LogRecord) -> None:
        """Report what a record says."""
        if (planned := events.planned_jobs(record)) is not None:
            self._plan(planned)
            return
        handlers: dict[str, Callable[[LogRecord], None]] = {
            "run_info": self._run_info,
            "resources_info": self._resources,
            "job_info": self._start,
            "job_finished": self._finish,
            "job_error": self._fail,
            "error": self._error,
            "": self._message,
            "group_error": self._message,
        }
        if (handler := handlers.get(events.event_of(record))) is not None:
            handler(record)

    def tick(self) -> None:
        """Read the logs of running jobs, and show where they are."""
        for job in self._jobs.values():
            self._follow(job)
        if self._quiet or not self._jobs:
            return
        if self.screen.is_live:
            self.screen.state(self._state())
        elif self._clock() - self._last_line >= QUIET_SECONDS:
            self._timed(self._state())

    def close(self) -> None:
        """Show what failed once more, unless it was the last thing shown."""
        self.screen.state("")
        if self._failures and not self._failures_are_last:
            count = len(self._failures)
            self._line(f"{count} job{'s' if count > 1 else ''} failed:")
            for failure in self._failures.values():
                self._line(failure.title)
                self._failure_lines(failure)
        self._failures.clear()

    def _run_info(self, record: LogRecord) -> None:
        self._total = int(events.field(record, "stats", {}).get("total", self._total))

    def _resources(self, record: LogRecord) -> None:
        self._is_remote |= hasattr(record, "nodes")

    def _plan(self, jobs: list[PlannedJob]) -> None:
        self.study.plan(jobs)
        self._total = self._total or len(jobs)
        if jobs and not self._quiet:
            count = f"{self._total} job{'s' if self._total > 1 else ''} to run"
            computed = sum(job.seconds for job in jobs)
            self._line(f"{count}, {about(computed)} on the device by the plan" if computed else count)

    def _start(self, record: LogRecord) -> None:
        now, number = self._clock(), int(events.field(record, "jobid", 0))
        self._began = now if self._began is None else self._began
        rule, outputs = str(events.field(record, "rule_name", "")), events.field(record, "output", ())
        logs = events.log_paths(record)
        job = _Job(
            events.name_of(record),
            job_title(rule, events.field(record, "wildcards", {}), outputs),
            JobLog(logs[0] if logs else None),
            is_shown=bool(outputs or logs),
            started=now,
        )
        self._jobs[number], self._titles[number] = job, job.title
        self.study.start(job.name, rule, now)
        if job.is_shown and not self._quiet:
            is_queued = self._is_remote and not events.field(record, "local", False)
            self._timed(f"{'queued' if is_queued else 'start':<7} {job.title}")

    def _finish(self, record: LogRecord) -> None:
        job = self._jobs.pop(int(events.field(record, "job_id", 0)), None)
        self._done += 1
        if job is None:
            return
        self._follow(job)
        took = self.study.finish(job.name, self._clock())
        if self._quiet:
            return
        if job.is_shown:
            self._timed(f"{'done':<7} {job.title}, {duration(took)} ({self._count()})")
        if self._done == self._total > 1 and self._began is not None:
            self._line(f"All {self._total} jobs done in {duration(self._clock() - self._began)}")

    def _fail(self, record: LogRecord) -> None:
        number = int(events.field(record, "jobid", 0))
        job = self._jobs.pop(number, None)
        logs = events.log_paths(record)
        error, after = None, ""
        if job is not None:
            self._follow(job)
            error, after = job.log.error, f" after {duration(self.study.fail(job.name, self._clock()))}"
        # Logs beside the job's own are of this attempt alone.
        error = error or next(filter(None, map(last_error, logs[1:])), None)
        status = self._exit_statuses.pop(0) if self._exit_statuses else ""
        title = job.title if job else job_title(str(events.field(record, "rule_name", "")), {}, ())
        failure = _Failure(title, [error or _without_error(status)])
        failure.lines += str(events.field(record, "rule_msg", "")).splitlines()
        failure.lines += [f"log: {path}" for path in logs]
        self._failures[number] = failure
        self._timed(f"{'failed':<7} {title}{after}")
        if error is None and self._show_failed_logs:
            self._logs(logs)
        self._failure_lines(failure)

    def _failure_lines(self, failure: _Failure) -> None:
        for line in failure.lines:
            self._line(line, RED if line.startswith("error: ") else "")
        self._failures_are_last = True

    def _logs(self, logs: list[Path]) -> None:
        for path in logs:
            if path.is_file():
                self._line(f"{path}:\n{path.read_text(encoding='utf-8', errors='replace').rstrip()}")

    def _error(self, record: LogRecord) -> None:
        """An exception: of a job's process, which the job's own record follows, or of Snakemake."""
        text = events.message_of(record)
        if (found := events.EXIT_STATUS.search(text)) is not None:
            self._exit_statuses.append(found[1])
        elif not (self._failures and events.LAST_ERROR in text):
            self._line(text, RED)
        if (found := events.MISSING.search(text)) is not None:
            self._incomplete(int(found[1]))

    def _incomplete(self, number: int) -> None:
        """A job that ended without an error did not write what it should; Snakemake says no more of it."""
        if (job := self._jobs.pop(number, None)) is not None:
            self.study.fail(job.name, self._clock())
            lines = ["error: the job ended without an error, but output files are missing (see above)"]
            self._failures[number] = _Failure(job.title, [*lines, *([f"log: {job.log.path}"] if job.log.path else [])])

    def _message(self, record: LogRecord) -> None:
        text = events.message_of(record)
        if record.levelno < logging.INFO or not text or text.startswith(events.NOISE):
            return
        if (restarted := events.RESTARTED.match(text)) is not None:
            self._failures.pop(int(restarted[1]), None)
            text = f"{self._titles.get(int(restarted[1]), 'the job')} starts again"
        elif (submitted := events.SUBMITTED.match(text)) is not None:
            text = f"{self._titles.get(int(submitted[1]), 'Job')} {text[submitted.end() :]}"
        if not self._quiet or record.levelno >= logging.WARNING:
            colours = {logging.WARNING: YELLOW, logging.ERROR: RED}
            self._line(text, colours.get(record.levelno, ""))

    def _follow(self, job: _Job) -> None:
        for line in job.log.new_lines():
            self._line(line, YELLOW if line.startswith("warning: ") else "")

    def _count(self) -> str:
        count = f"{self._done} of {self._total}"
        if self._failures:
            count += f", {len(self._failures)} failed"
        left = self._left()
        return f"{count}, about {about(left)} left" if left else count

    def _left(self) -> float:
        own = {job.name: job.log.step.left for job in self._jobs.values() if job.log.step is not None}
        return self.study.left(self._clock(), own)

    def _state(self) -> str:
        """Where the study is, then where each running job is."""
        return " | ".join([self._count(), *(self._where(job) for job in self._jobs.values() if job.is_shown)])

    def _where(self, job: _Job) -> str:
        step = job.log.step
        if step is None:
            return f"{job.title} {duration(self._clock() - job.started)}"
        speed = f", {step.speed}" if step.speed else ""
        return f"{step.title} {step.step}/{step.total}{speed}, {duration(step.left)} left"

    def _timed(self, text: str) -> None:
        self._line(f"{time.strftime('%H:%M:%S')} {text}")

    def _line(self, text: str, colour: str = "") -> None:
        self.screen.line(text, colour=colour)
        self._last_line = self._clock()
        self._failures_are_last = False


def _without_error(status: str) -> str:
    """What is known of a job that ended without a line of its own."""
    if status == str(KILLED):
        return "error: the job was killed (exit status 137), as when memory runs out"
    return f"error: the job ended without an error line{f' (exit status {status})' if status else ''}"
