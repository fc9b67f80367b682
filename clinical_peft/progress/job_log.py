"""The log of a running job, read as it grows: where the job is, what it warns of, the error that ends it.

A job's log lies in the study's folder wherever the job runs, so that this works for jobs on a cluster, too.
"""

from pathlib import Path

from clinical_peft.runtime.progress import Step, parse_progress

SHOWN = ("warning: ", "note: ")
ERRORS = ("error: ", "stopped: ")
MOST = 1 << 18  # bytes read at once, the last ones


class JobLog:
    """Follows a log from its present end on.

    Args:
        path: The log, which need not exist yet; None for a job without one.

    Attributes:
        step: Where the job said last that it is.
        error: The line that ended it.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.step: Step | None = None
        self.error: str | None = None
        self._read = self._size()
        self._cut = b""

    def new_lines(self) -> list[str]:
        """Read what is new, and return the lines in it that a user should see."""
        size = self._size()
        if size < self._read:  # begun anew
            self._read, self._cut = 0, b""
        if self.path is None or size == self._read:
            return []
        try:
            with self.path.open("rb") as file:
                file.seek(max(self._read, size - MOST))
                content = self._cut + file.read(size - file.tell())
        except OSError:
            return []
        self._read = size
        *whole, self._cut = content.split(b"\n")
        return [line for line in map(_text, whole) if self._notes(line)]

    def _notes(self, line: str) -> bool:
        """Keep what a line says of the job; whether it should be shown."""
        if (step := parse_progress(line)) is not None:
            self.step = step
        elif line.startswith(ERRORS):
            self.error = line
        return line.startswith(SHOWN)

    def _size(self) -> int:
        try:
            return 0 if self.path is None else self.path.stat().st_size
        except OSError:
            return 0


def last_error(path: Path) -> str | None:
    """The last line of a log that says why a job ended."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MOST))
            lines = map(_text, file.read().split(b"\n"))
    except OSError:
        return None
    return next((line for line in reversed(list(lines)) if line.startswith(ERRORS)), None)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
