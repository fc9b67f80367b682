"""The frame that every workflow script runs in: a log file, a private process, and errors without note text.

A user reads one line on the terminal; what a developer needs is in the job's log. Messages of libraries can
quote the data that they failed on, so that an exception, a warning or a log record from outside this package is
kept as its type and its place in the code, and its message only where that is known to be harmless. Setting
`CLINICAL_PEFT_LOG_MESSAGES=1` keeps every message, for a study of synthetic notes.

This module imports the standard library alone.
"""

import faulthandler
import linecache
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from clinical_peft.errors import ClinicalPeftError, StoppedError
from clinical_peft.files import DENIED, forbidden, full_disk, not_writable, private_directory
from clinical_peft.locks.processes import end_with_parent
from clinical_peft.runtime.privacy import protect_process
from clinical_peft.runtime.signals import Terminated, sigterm_raises
from clinical_peft.runtime.terminal import is_reported

MESSAGES_VARIABLE = "CLINICAL_PEFT_LOG_MESSAGES"
STOPPED = os.EX_TEMPFAIL
WITHHELD = f"message withheld, it may quote notes; {MESSAGES_VARIABLE}=1 keeps it"
PACKAGE = Path(__file__).parents[1]

# Their messages speak of files, modules, names in the code and memory.
HARMLESS = (OSError, ImportError, MemoryError, NameError, ArithmeticError, RecursionError)
HARMLESS_NAMES = {"torch.OutOfMemoryError", "torch.AcceleratorError"}


@contextmanager
def job(log: str | Path, *, network: bool = False) -> Iterator[None]:
    """Run the block as a job that logs to a file and ends with one line when it fails.

    Inside the block the log file receives Python's logging and warnings and everything written to stderr, which
    the terminal shows too, unless the command that started the job reports it there from its log. Heavy libraries
    should be imported inside the block, since they read the variables of `clinical_peft.runtime.privacy` when they are
    imported. A job that runs again appends to its log.

    Args:
        log: Log file; missing folders are created.
        network: Whether the job may download models.

    Raises:
        SystemExit: With code 1 after an error, 75 (`os.EX_TEMPFAIL`) after a stop that was asked for and from which the
            same command goes on, 130 after an interrupt, and 143 or 129 after SIGTERM or SIGHUP elsewhere.
    """
    protect_process(network=network)
    log = Path(log)
    with ExitStack() as stack:
        file = stack.enter_context(closing(_open_log(log)))
        stream = cast(TextIO, file)
        stream.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}, process {os.getpid()} on {os.uname().nodename}\n")
        faulthandler.enable(stream)
        stack.callback(faulthandler.disable)
        stack.enter_context(_replaced(sys, "stderr", _Tee(sys.stderr, file, quiet=is_reported())))
        stack.enter_context(_logging_to(stream))
        stack.enter_context(_errors_of_threads_to(stream))
        stack.enter_context(sigterm_raises())
        end_with_parent()
        try:
            yield
        except BaseException as error:
            _end(error, log, stream)


def _end(error: BaseException, log: Path, stream: TextIO) -> NoReturn:
    """Report an error in one line on the terminal and in full in the log, and exit."""
    if isinstance(error, SystemExit) and not isinstance(error, Terminated):
        raise error
    if not isinstance(error, Terminated | KeyboardInterrupt | StoppedError):
        stream.write(describe(error))
    line, code = _line_and_code(error, log)
    print(f"{'stopped' if code == STOPPED else 'error'}: {line}", file=sys.stderr, flush=True)
    raise SystemExit(code) from None


def _line_and_code(error: BaseException, log: Path) -> tuple[str, int]:
    if isinstance(error, ClinicalPeftError):
        return " ".join(str(error).split()), STOPPED if isinstance(error, StoppedError) else 1
    if (reason := full_disk(error)) is not None:
        return f"{reason} in {_place(error)}; free space, then run the same command again; see {log}", 1
    if isinstance(error, OSError) and error.errno in DENIED and _message(error) is not None and _file_names(error):
        path = _file_names(error)[-1]
        return f"{path}: {forbidden(Path(path), error)}; give yourself access, then run the same command again", 1
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 128 + signal.SIGINT
    if isinstance(error, Terminated):
        name = signal.Signals(error.number).name
        return f"stopped by {name}, as at the end of its wall time or when it is cancelled", 128 + error.number
    return f"{_name(error)} in {_place(error)}; see {log}", 1


def describe(error: BaseException) -> str:
    """Return an exception's stack and those of its causes, with source lines but without messages or values.

    Messages of `ClinicalPeftError` and of types known to be harmless are kept.
    """
    lines: list[str] = []
    seen: set[int] = set()
    pending: list[tuple[str, BaseException | None]] = [("", error)]
    while pending:
        relation, each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        message = _message(each)
        lines += [f"{relation}{_name(each)}: {message if message is not None else WITHHELD}\n"]
        lines += traceback.StackSummary.extract(traceback.walk_tb(each.__traceback__)).format()
        if isinstance(each, BaseExceptionGroup):
            pending += [("together with ", member) for member in each.exceptions]
        pending.append(("caused by ", each.__cause__) if each.__cause__ else ("while handling ", each.__context__))
    return "".join(lines)


def _message(error: BaseException) -> str | None:
    """Return an exception's message, or None when it could quote a note."""
    names = {f"{base.__module__}.{base.__qualname__}" for base in type(error).__mro__}
    # A text that was taken for a file's name is in the message of the OSError.
    mistaken = isinstance(error, OSError) and any(len(name.split()) > 1 for name in _file_names(error))
    harmless = isinstance(error, HARMLESS) and not mistaken
    if isinstance(error, ClinicalPeftError) or harmless or names & HARMLESS_NAMES or _messages_are_kept():
        return str(error)
    return None


def _file_names(error: OSError) -> list[str]:
    return [str(name) for name in (error.filename, error.filename2) if name is not None]


def _messages_are_kept() -> bool:
    return os.environ.get(MESSAGES_VARIABLE) == "1"


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _place(error: BaseException) -> str:
    """Return `module:line` of the innermost frame in this package, else of the innermost frame."""
    frames = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [(file, line) for file, line in frames if file.is_relative_to(PACKAGE) and file != Path(__file__)]
    if not frames:
        return "an unknown place"
    file, line = (ours or frames)[-1]
    module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) if ours else file.name
    return f"{module}:{line}"


def _open_log(path: Path) -> "_LogFile":
    """Open a job's log, or end the job with one line where it cannot be written."""
    try:
        private_directory(path.parent)
        return _LogFile(path)
    except OSError as error:
        print(f"error: {not_writable(path, error)}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


class _LogFile:
    """A text file that is appended to line by line and outlives a full disk: a job must not fail for its log.

    Attributes:
        is_whole: Whether nothing of what was written is lost.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("ab", buffering=0)
        self.is_whole = True

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._raw.closed

    def write(self, text: str) -> int:
        """Append text; lose it when the disk is full."""
        try:
            self._raw.write(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            if full_disk(error) is None:
                raise
            self.is_whole = False
        return len(text)

    def flush(self) -> None:
        """Do nothing: every text is written at once."""

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._raw.fileno()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class _Tee:
    """A text stream that writes to a terminal and to a log.

    Args:
        terminal: The terminal.
        log: The log.
        quiet: Whether the terminal gets nothing as long as the log takes everything.
    """

    def __init__(self, terminal: TextIO, log: _LogFile, *, quiet: bool) -> None:
        self._terminal = terminal
        self._log = log
        self._quiet = quiet

    def write(self, text: str) -> int:
        """Write to both, or to the log alone."""
        if not self._log.closed:
            self._log.write(text)
            if self._quiet and self._log.is_whole:
                return len(text)
        with suppress(OSError):  # a terminal that was closed must not end the job before its checkpoint
            self._terminal.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush both."""
        if not self._log.closed:
            self._log.flush()
        with suppress(OSError):
            self._terminal.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _logging_to(stream: TextIO) -> Iterator[None]:
    """Send warnings and log records to a stream: this package's from INFO on, those of others from WARNING on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours, root = logging.getLogger("clinical_peft"), logging.getLogger()
    level, factory = ours.level, logging.getLogRecordFactory()
    ours.setLevel(logging.INFO)
    root.addHandler(handler)
    # A factory reaches the handlers, too, that libraries give their own loggers.
    logging.setLogRecordFactory(_guarded(factory))
    try:
        with warnings.catch_warnings(), _replaced(warnings, "showwarning", _log_warning):
            yield
    finally:
        logging.setLogRecordFactory(factory)
        root.removeHandler(handler)
        ours.setLevel(level)


def _guarded(factory: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Wrap a log record factory so that records from outside this package carry no data."""

    def guarded(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text, record.exc_info = describe(record.exc_info[1]).rstrip(), None
        if not Path(record.pathname).is_relative_to(PACKAGE) and not _messages_are_kept():
            # The template of a message with arguments is a constant; else the source line says what it is about.
            what = record.msg if record.args else _source(record.pathname, record.lineno)
            record.msg, record.args = f"{what} [{WITHHELD}]", None
        return record

    return guarded


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = str(message) if _messages_are_kept() else f"{line or _source(filename, lineno)} [{WITHHELD}]"
    logging.getLogger("clinical_peft.warnings").warning("%s at %s:%d: %s", category.__name__, filename, lineno, text)


def _source(file: str, line: int) -> str:
    """Return up to three source lines from a line on: a call that logs often spans several."""
    return " ".join(linecache.getline(file, number).strip() for number in range(line, line + 3)).strip()


@contextmanager
def _errors_of_threads_to(stream: TextIO) -> Iterator[None]:
    """Send to a stream what Python would print about errors in threads and finalizers."""

    def hook(arguments: Any) -> None:
        if arguments.exc_value is not None:
            stream.write("not raised in the main thread: " + describe(arguments.exc_value))

    with _replaced(threading, "excepthook", hook), _replaced(sys, "unraisablehook", hook):
        yield
