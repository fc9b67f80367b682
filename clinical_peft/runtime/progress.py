"""Progress lines that a person can follow on a terminal and in a log file, and that the study's command reads there."""

import re
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

_LINE = re.compile(
    r"^(?P<title>.+?) \| step (?P<step>\d+)/(?P<total>\d+)(?: \| (?P<speed>[\d,]+ tokens/s))?"
    r" \| (?:(?P<days>\d+) days?, )?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d) left"
)


class Progress:
    """Prints where a job is, its speed and the time left, at most every few seconds.

    Args:
        title: What runs, for instance `finetune llama+lora los seed 0`.
        total: Steps in all.
        every: Seconds between two lines.
        done: Steps that an earlier, interrupted run has done already.
    """

    def __init__(self, title: str, total: int, *, every: float = 5.0, done: int = 0) -> None:
        self.title = title
        self.total = total
        self.every = every
        self.first = done
        self.started = self.last = time.monotonic()
        self.tokens = 0

    def update(self, step: int, *, tokens: int = 0, note: str = "") -> None:
        """Report that `step` steps are done.

        Args:
            step: Steps done so far.
            tokens: Real tokens processed since the last call.
            note: A short addition such as `loss 2.31`.
        """
        self.tokens += tokens
        now = time.monotonic()
        if now - self.last < self.every and step < self.total:
            return
        self.last = now
        elapsed = max(now - self.started, 1e-9)
        fresh = max(step - self.first, 1)
        left = timedelta(seconds=round(elapsed / fresh * (self.total - step)))
        speed = f" | {self.tokens / elapsed:,.0f} tokens/s" if self.tokens else ""
        print(
            f"{self.title} | step {step}/{self.total}{speed} | {left} left{f' | {note}' if note else ''}",
            file=sys.stderr,
            flush=True,
        )


@dataclass(frozen=True)
class Step:
    """Where a job says that it is.

    Attributes:
        title: What runs.
        step: Steps done.
        total: Steps in all.
        speed: Tokens per second as they are printed; empty where the job counts none.
        left: Seconds left of this part of the job.
    """

    title: str
    step: int
    total: int
    speed: str
    left: float


def parse_progress(line: str) -> Step | None:
    """Read a line that `Progress` printed; None for any other line."""
    found = _LINE.match(line)
    if found is None:
        return None
    hours = 24 * int(found["days"] or 0) + int(found["hours"])
    left = 3600 * hours + 60 * int(found["minutes"]) + int(found["seconds"])
    return Step(found["title"], int(found["step"]), int(found["total"]), found["speed"] or "", float(left))
