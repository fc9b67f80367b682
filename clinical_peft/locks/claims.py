"""A file that one process at a time may hold: taken atomically, released or taken over by its token.

It needs no locks, which network file systems may lack: a file is created by a hard link, which fails where one exists.
One process at a time removes a holder's file, and only if it is still that of the holder that was judged dead. The
holder renews the file's time; who cannot see the holder's process watches that time change, so clocks need not agree.

This module imports the standard library and this package's light modules alone.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_peft.files import private_directory
from clinical_peft.locks.processes import Process

TOKEN = "token"
UNREADABLE = "unreadable"
PAUSE_SECONDS = 0.02
# Removing a file takes no longer.
MARK_SECONDS = 30.0
# Looking at a file takes no longer, unless its file system is away.
JOIN_SECONDS = 10.0


class UnreadableClaim(Exception):
    """A claim's file does not say who holds it."""


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
        token: Drawn at random for every holder.
        process: The holder.
        details: What it said of itself besides.
    """

    token: str
    process: Process
    details: Mapping[str, Any]


class Claim:
    """One process's side of a claim.

    Args:
        path: The file.

    Attributes:
        token: This process's token, drawn when it is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.token = secrets.token_hex(8)

    def holder(self) -> Holder | None:
        """Return who holds the claim; None if nobody does.

        Raises:
            UnreadableClaim: The file is damaged.
        """
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            return Holder(str(record[TOKEN]), Process.from_record(record["process"]), record)
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError):
            raise UnreadableClaim(str(self.path)) from None

    def try_to_take(self, details: Mapping[str, Any]) -> bool:
        """Take the claim unless somebody holds it; return whether it was taken.

        Args:
            details: JSON-ready values for those who find it held.
        """
        private_directory(self.path.parent)
        record = {**details, TOKEN: self.token, "process": Process.of(os.getpid()).record()}
        draft = self._beside("new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(json.dumps(record, indent=2, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
            return _link(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)

    def displace(self, holder: Holder | None) -> None:
        """Remove the claim of a holder that was judged dead, or an unreadable file (None), if it is still that one.

        Only one process at a time may remove a given holder's file: another that judged the same holder could
        otherwise remove the claim that has taken its place.
        """
        mark = self.path.with_name(f".{self.path.name}.{holder.token if holder else UNREADABLE}.displaced")
        try:
            mark.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            self._forget_mark(mark)
            return
        try:
            found = self.holder()
            is_same = found is not None and holder is not None and found.token == holder.token
        except UnreadableClaim:
            is_same = holder is None
        try:
            if is_same:
                self.path.unlink(missing_ok=True)
        finally:
            mark.unlink(missing_ok=True)

    def _forget_mark(self, mark: Path) -> None:
        """Wait a moment for a process that removes a holder's file, and delete what a killed one left behind."""
        time.sleep(PAUSE_SECONDS)
        with suppress(FileNotFoundError):
            if self._now() - mark.stat().st_mtime_ns > MARK_SECONDS * 1e9:
                mark.unlink()

    def is_mine(self) -> bool:
        """Whether this process holds the claim."""
        try:
            holder = self.holder()
        except UnreadableClaim:
            return False
        return holder is not None and holder.token == self.token

    def release(self) -> None:
        """Give the claim up, if this process holds it."""
        if self.is_mine():
            self.path.unlink(missing_ok=True)

    def beat(self) -> int | None:
        """Return the time of the holder's last sign of life, by the file system's clock; None if nobody holds it.

        Opening the file makes a network file system ask its server anew.
        """
        try:
            with self.path.open("rb") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None

    def seconds_since_beat(self) -> float:
        """Return how long ago the last sign of life was, both times by the clock of the file system."""
        now = self._now()
        return max(0, now - (self.beat() or now)) / 1e9

    def _now(self) -> int:
        """The time by the clock of the file system, in nanoseconds."""
        draft = self._beside("now")
        draft.touch(mode=0o600)
        try:
            return draft.stat().st_mtime_ns
        finally:
            draft.unlink(missing_ok=True)

    def keep_alive(
        self, seconds: float, when_lost: Callable[[], None], *, may_be_deleted: bool = False
    ) -> Callable[[], None]:
        """Give a sign of life from time to time, in a thread.

        Args:
            seconds: Time between two of them.
            when_lost: Called once, in the thread, if this process does not hold the claim any more.
            may_be_deleted: Whether a file that is gone does not count as lost.

        Returns:
            Ends it: once it has returned, `when_lost` is called no more, unless the file system hangs.
        """
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(seconds):
                with suppress(OSError):  # a file system that is away for a while
                    if self.is_mine():
                        os.utime(self.path)
                    elif self.path.exists() or not may_be_deleted:
                        when_lost()
                        return

        thread = threading.Thread(target=run, name=f"alive-{self.path.name}", daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            if thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)

        return end

    def _beside(self, end: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{self.token}.{end}")


def _link(draft: Path, path: Path) -> bool:
    """Give a complete file a second name, unless there is one of that name; return whether it was given."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links: readers may see the file before it is complete, for an instant.
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(draft.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True
