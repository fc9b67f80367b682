"""Progress lines that a person can follow on a terminal and in a log file."""

import sys
import time
from datetime import timedelta


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
