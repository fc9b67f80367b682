"""Signals that ask a job to end: SIGTERM at once, or after what is running; SIGUSR1 as notice that time is nearly up.

A scheduler sends SIGUSR1 some time before it ends a job (`sbatch --signal=USR1@120`) and SIGTERM when it does. A
training loop notes both, finishes its update, saves a checkpoint and ends. What cannot be resumed ignores a notice, as
it may finish in the time left, and unwinds the stack at SIGTERM. A terminal that closes sends SIGHUP, which means the
same as SIGTERM unless it is ignored, as under `nohup`.

This module imports the standard library alone.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

# Notice that came before any loop could heed it.
_early: list[str] = []


class Terminated(SystemExit):
    """SIGTERM or SIGHUP asked the process to end.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@dataclass
class StopRequest:
    """Whether a job was asked to stop.

    Attributes:
        signal: Name of the signal that asked, or None.
    """

    signal: str | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


def ignore_notice() -> None:
    """Ignore SIGUSR1 in this process and, unless they handle it, in those that it starts.

    SLURM sends it to every process of a job, and one in between that does not know it would die of it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def interrupt_in_one_line() -> None:
    """Let an interrupt from the keyboard end this process with one line instead of a traceback."""
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("error: interrupted", file=sys.stderr, flush=True)
        else:
            shown(kind, error, traceback)

    sys.excepthook = show


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that temporary files go and open files are complete; keep notice for a loop."""

    def end(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP):  # a second one must not cut the clean-up short
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    def keep(number: int, frame: FrameType | None) -> None:
        _early.append(signal.Signals(number).name)

    with _handled({signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGUSR1: keep}):
        yield
    _early.clear()


@contextmanager
def stop_signals_noted() -> Iterator[StopRequest]:
    """Note SIGTERM and SIGUSR1 instead of ending, so that the block can end when its work is whole.

    Yields:
        The request, which also holds notice that came before the block. Outside the main thread, where Python handles
        no signals, it stays empty.
    """
    request = StopRequest(_early[-1] if _early else None)

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number).name

    with _handled(dict.fromkeys(STOP_SIGNALS, note)):
        yield request


def stop_signals_held() -> AbstractContextManager[None]:
    """Let stop signals wait during the block, in this thread and in processes that it starts.

    Otherwise one would end a process that has only just started and handles no signal yet. A process that is started
    so takes them in `stop_signals_delivered`; until then they wait.
    """
    return _masked(signal.SIG_BLOCK)


def stop_signals_delivered() -> AbstractContextManager[None]:
    """Take stop signals during the block, those first that waited; see `stop_signals_held`."""
    return _masked(signal.SIG_UNBLOCK)


@contextmanager
def _masked(how: signal.Sigmasks) -> Iterator[None]:
    before = signal.pthread_sigmask(how, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def late_notice_ignored() -> Iterator[None]:
    """Ignore notice from the end of the block on: it must not end a process that is about to exit with its own code.

    Threads of libraries take signals that the main thread holds.
    """
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        yield
    finally:
        ignore_notice()


@contextmanager
def _handled(handlers: dict[signal.Signals, object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        handlers = {number: handler for number, handler in handlers.items() if number != signal.SIGHUP}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
