"""The terminal during a run: a changing line where there is one, plain lines elsewhere."""

import io
import os
import pty
import select
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from clinical_peft.progress.job_log import MOST, JobLog, last_error
from clinical_peft.progress.reporter import QUIET_SECONDS, Reporter
from clinical_peft.progress.screen import CLEAR, Screen
from clinical_peft.runtime.progress import Progress, parse_progress


@pytest.fixture
def terminal(monkeypatch) -> Iterator[SimpleNamespace]:
    """A terminal of 60 columns."""
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((60, 24)))
    yield SimpleNamespace(stream=stream, read=lambda: everything(ours).replace("\r\n", "\n"))
    stream.close()
    os.close(ours)


def everything(descriptor: int) -> str:
    """What a terminal has got, until nothing more comes."""
    found = b""
    while select.select([descriptor], [], [], 0.1)[0]:
        found += os.read(descriptor, 1 << 16)
    return found.decode()


def started(log: Path) -> SimpleNamespace:
    return SimpleNamespace(
        event="job_info", jobid=1, rule_name="train_adapter", wildcards={"adapter": "lora"}, output=["a"], log=[log]
    )


def test_the_running_job_stands_in_one_changing_line(terminal, tmp_path: Path):
    log = tmp_path / "job.log"
    reporter = Reporter(Screen(terminal.stream))
    reporter.handle(started(log))
    log.write_text("adapter lora | step 3/40 | 5,368 tokens/s | 0:01:23 left | loss 5.2\n")
    reporter.tick()
    state = "0 of 0, about 1 min left | adapter lora 3/40, 5,368 tokens/s, 1 min 23 s left"[:59]
    assert terminal.read().endswith(f" start   train adapter: lora\n{CLEAR}{state}")
    log.write_text("warning: a.csv: leading zeros are lost\n")
    reporter.tick()
    assert f"{CLEAR}\x1b[33mwarning: a.csv: leading zeros are lost\x1b[0m\n{CLEAR}0 of 0" in terminal.read()
    reporter.close()
    assert terminal.read() == CLEAR


def test_a_stream_that_is_no_terminal_gets_a_line_now_and_then(tmp_path: Path):
    stream, now = io.StringIO(), [0.0]
    reporter = Reporter(Screen(stream), clock=lambda: now[0])
    reporter.handle(started(tmp_path / "job.log"))
    for now[0] in range(0, int(QUIET_SECONDS), 10):
        reporter.tick()
    assert len(stream.getvalue().splitlines()) == 1
    now[0] = QUIET_SECONDS
    reporter.tick()
    reporter.tick()
    assert len(stream.getvalue().splitlines()) == 2
    assert stream.getvalue().endswith("train adapter: lora 10 min 00 s\n")
    assert "\r" not in stream.getvalue()


def test_a_closed_terminal_does_not_end_the_study(terminal):
    screen = Screen(SimpleNamespace(isatty=lambda: False, write=_refuse, flush=_refuse))
    screen.line("done")


def _refuse(*_: str) -> None:
    raise BrokenPipeError


def test_progress_is_read_as_it_is_printed(capsys):
    Progress("finetune llama+lora los seed 0", 40, every=0).update(10, tokens=3000, note="loss 2.31")
    step = parse_progress(capsys.readouterr().err.rstrip("\n"))
    assert step is not None
    assert (step.title, step.step, step.total) == ("finetune llama+lora los seed 0", 10, 40)
    assert step.speed.endswith(" tokens/s")
    days = parse_progress("adapter lora | step 1/9 | 2 days, 1:00:05 left")
    assert days is not None
    assert (days.left, days.speed) == (49 * 3600 + 5, "")
    assert parse_progress("adapter lora | 734,243 tokens in 5,782 rows") is None


def test_a_log_is_read_from_its_end_and_in_whole_lines(tmp_path: Path):
    path = tmp_path / "job.log"
    path.write_text("warning: of an earlier attempt\n")
    log = JobLog(path)
    assert log.new_lines() == []
    with path.open("a") as file:
        file.write("warning: one\n2026 WARNING of a library\nwarn")
    assert log.new_lines() == ["warning: one"]
    with path.open("a") as file:
        file.write("ing: two\nerror: it ends\n")
    assert (log.new_lines(), log.error) == (["warning: two"], "error: it ends")
    path.write_text("note: begun anew\n")
    assert log.new_lines() == ["note: begun anew"]
    path.write_bytes(b"x" * 2 * MOST + b"\nnote: the end \xff\n")
    assert log.new_lines() == ["note: the end \ufffd"]


def test_a_missing_log_says_nothing(tmp_path: Path):
    assert JobLog(tmp_path / "none.log").new_lines() == JobLog(None).new_lines() == []
    assert last_error(tmp_path / "none.log") is None
