"""Snakemake's logger plugin `clinical-peft`: `clinical_peft.progress` in place of Snakemake's own terminal output.

Snakemake finds it by the name of this package. Dry runs and commands with --verbose, --debug-dag, --printshellcmds or
--quiet all keep Snakemake's own output.
"""

import sys
import threading
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase

from clinical_peft.progress.reporter import Reporter
from clinical_peft.progress.screen import Screen
from clinical_peft.runtime.terminal import report_jobs_here, stop_reporting_jobs

EVERY = 1.0  # seconds between two looks at the logs of running jobs


class LogHandler(LogHandlerBase):
    """Reports a running study.

    Snakemake hands over its records in a thread of their own. A second thread looks at the logs of running jobs.
    """

    def __post_init__(self) -> None:
        """Begin to report, unless the command asks for Snakemake's own output."""
        settings = self.common_settings
        # By name: Snakemake's enumeration lies in a package that its plugins should not import.
        quiet = {level.name for level in settings.quiet or ()}
        asked_for = (settings.dryrun, settings.verbose, settings.debug_dag, settings.printshellcmds, "ALL" in quiet)
        self._reporter: Reporter | None = None
        self._ended = threading.Event()
        if not any(asked_for):
            screen = Screen(sys.stderr, colour=not settings.nocolor)
            failed_logs = settings.show_failed_logs
            self._reporter = Reporter(screen, quiet="PROGRESS" in quiet, show_failed_logs=failed_logs)
            report_jobs_here()
            threading.Thread(target=self._look, daemon=True).start()

    def emit(self, record: LogRecord) -> None:
        """Report what a record says."""
        if self._reporter is not None:
            self._reporter.handle(record)

    def close(self) -> None:
        """End with what failed."""
        with self.lock or threading.RLock():
            if self._reporter is not None and not self._ended.is_set():
                self._ended.set()
                self._reporter.close()
                stop_reporting_jobs()
        super().close()

    def _look(self) -> None:
        while not self._ended.wait(EVERY):
            with self.lock or threading.RLock():
                if self._reporter is not None and not self._ended.is_set():
                    self._reporter.tick()

    @property
    def writes_to_stream(self) -> bool:
        """Whether this plugin takes the place of Snakemake's own output."""
        return self._reporter is not None

    @property
    def writes_to_file(self) -> bool:
        """Whether this plugin writes a file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether this plugin decides itself which records it reports."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Whether this plugin formats records itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Whether this plugin needs the graph of rules."""
        return False
