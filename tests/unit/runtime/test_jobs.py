"""Jobs end with one line on the terminal, and no message of a library reaches a log."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOTE = "Patient Quibbleworth had a myocardial infarction"
FAILURES = {
    "value": "int(NOTE)",
    "key": "{}[NOTE]",
    "chained": "try:\n        int(NOTE)\n    except ValueError as e:\n        raise RuntimeError(NOTE) from e",
    "handled": "try:\n        int(NOTE)\n    except ValueError:\n        raise KeyError(NOTE)",
    "group": "raise ExceptionGroup(NOTE, [ValueError(NOTE), TypeError(NOTE)])",
    "noted": "e = ValueError('x'); e.add_note(NOTE); raise e",
    "file": "open(NOTE)",
    "long_file": "open(NOTE * 100)",
    "library": "import pyarrow as pa; pa.array([NOTE]).cast(pa.int64())",
    "hidden_cause": "try:\n        int(NOTE)\n    except ValueError:\n        raise DataError('a.csv: no rows')",
}


def run(body: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script whose job has this body; it logs to `logs/job.log`."""
    script = write_script(body, tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **environment}
    return subprocess.run([sys.executable, script], text=True, capture_output=True, cwd=tmp_path, env=environment)


def write_script(body: str, tmp_path: Path) -> Path:
    script = tmp_path / "script.py"
    script.write_text(
        "import base64, logging, sys, threading, time, warnings\n"
        "from clinical_peft.errors import DataError\n"
        "from clinical_peft.runtime.jobs import job\n"
        # Not in clear: source lines are logged.
        f"NOTE = {NOTE[::-1]!r}[::-1]\n"
        "with job('logs/job.log'):\n"
        f"    {body}\n"
    )
    return script


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "logs" / "job.log").read_text()


def test_a_job_that_succeeds_says_nothing(tmp_path: Path):
    result = run("pass", tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "logs" / "job.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


def test_an_error_of_the_user_is_one_line(tmp_path: Path):
    result = run("raise DataError('a.csv, row 3: expected 4 columns,\\n found 3')", tmp_path)
    assert result.returncode == 1
    assert result.stderr == "error: a.csv, row 3: expected 4 columns, found 3\n"
    assert result.stderr in log_of(tmp_path)


@pytest.mark.parametrize("failure", FAILURES)
def test_no_message_that_may_quote_a_note_is_kept(failure: str, tmp_path: Path):
    result = run(FAILURES[failure], tmp_path)
    assert result.returncode == 1
    assert re.fullmatch(r"error: .+\n", result.stderr)
    assert not re.search("Patient|Quibbleworth|infarction", result.stdout + result.stderr + log_of(tmp_path))
    assert "script.py" in log_of(tmp_path)


def test_an_unexpected_error_names_its_type_place_and_log(tmp_path: Path):
    result = run("int(NOTE)", tmp_path)
    assert result.stderr == "error: ValueError in script.py:6; see logs/job.log\n"
    assert "int(NOTE)" in log_of(tmp_path)
    assert "message withheld" in log_of(tmp_path)


def test_errors_below_a_library_name_our_line(tmp_path: Path):
    result = run("from clinical_peft.files import write_json; write_json('x.json', {1j})", tmp_path)
    assert re.match(r"error: TypeError in clinical_peft\.files:\d+; see logs/job\.log", result.stderr)


def test_causes_stand_in_the_log(tmp_path: Path):
    run(FAILURES["chained"], tmp_path)
    assert re.search(r"RuntimeError: message withheld(.|\n)*caused by ValueError: message withheld", log_of(tmp_path))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("open('absent.txt')", "FileNotFoundError: [Errno 2] No such file or directory: 'absent.txt'"),
        ("import absent", "ModuleNotFoundError: No module named 'absent'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import torch; torch.empty(2**60)", "RuntimeError: message withheld"),
        ("import torch; raise torch.OutOfMemoryError('tried 3 GiB')", "torch.OutOfMemoryError: tried 3 GiB"),
    ],
)
def test_harmless_messages_alone_are_kept(body: str, message: str, tmp_path: Path):
    run(body, tmp_path)
    assert message in log_of(tmp_path)


def test_a_study_of_synthetic_notes_may_keep_messages(tmp_path: Path):
    run("logging.warning('%s', 7); int('not' + '-a-number')", tmp_path, CLINICAL_PEFT_LOG_MESSAGES="1")
    assert "'not-a-number'" in log_of(tmp_path)
    assert "WARNING root: 7" in log_of(tmp_path)


def test_warnings_and_records_of_libraries_carry_no_data(tmp_path: Path):
    body = (
        "log = logging.getLogger('library'); log.addHandler(logging.StreamHandler()); log.propagate = False\n"
        "    logging.warning('bad row %s', NOTE); logging.warning(f'{NOTE}'); warnings.warn(NOTE)\n"
        "    log.error(NOTE)\n"
        "    try: int(NOTE)\n"
        "    except ValueError: logging.exception('failed')\n"
    )
    result = run(body, tmp_path)
    assert result.returncode == 0
    log = log_of(tmp_path)
    assert not re.search(r"Quibbleworth|infarction", log + result.stderr)
    assert "bad row %s" in log
    assert "UserWarning at " in log
    assert "warnings.warn(NOTE)" in log
    assert "ValueError: message withheld" in log


def test_records_of_this_package_are_kept(tmp_path: Path):
    run(
        "from clinical_peft.runtime import jobs\n    jobs._log_warning('x', UserWarning, 'a.py', 3, line='code')",
        tmp_path,
    )
    assert "WARNING clinical_peft.warnings: UserWarning at a.py:3: code" in log_of(tmp_path)


def test_errors_in_threads_carry_no_data(tmp_path: Path):
    result = run("t = threading.Thread(target=int, args=(NOTE,)); t.start(); t.join()", tmp_path)
    assert "Quibbleworth" not in result.stderr + log_of(tmp_path)
    assert "not raised in the main thread: ValueError" in log_of(tmp_path)


def test_progress_reaches_terminal_and_log(tmp_path: Path):
    result = run(
        "from clinical_peft.runtime.progress import Progress\n    Progress('pretrain x', 2, every=0).update(1)",
        tmp_path,
    )
    assert "pretrain x | step 1/2" in result.stderr
    assert "pretrain x | step 1/2" in log_of(tmp_path)


# A limit to the size of a file fails as a full disk does; the log meets it too, and the job goes on without.
FULL_DISK = (
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))\n"
    "    for _ in range(99): logging.warning('%s', 7)\n"
    "    with open('x', 'wb', buffering=0) as file: file.write(bytes(900)); file.write(b'0')\n"
)
HERE = "import os; from clinical_peft.runtime import terminal; "


@pytest.mark.parametrize("reporter", ["f'{os.fstat(2).st_dev}:{os.fstat(2).st_ino}'", "'1:2'"])
def test_only_a_command_at_the_same_terminal_silences_a_job(tmp_path: Path, reporter: str):
    script = write_script("print('step 1', file=sys.stderr); raise DataError('a.csv: no rows')", tmp_path)
    script.write_text(f"{HERE}os.environ[terminal.REPORTER] = {reporter}\n{script.read_text()}")
    result = subprocess.run([sys.executable, script], text=True, capture_output=True, cwd=tmp_path)
    shown = "" if "fstat" in reporter else "step 1\nerror: a.csv: no rows\n"
    assert (result.returncode, result.stderr) == (1, shown)
    assert "step 1\n" in log_of(tmp_path)
    assert log_of(tmp_path).endswith("error: a.csv: no rows\n")


def test_a_silenced_job_whose_log_is_full_speaks(tmp_path: Path):
    script = write_script(FULL_DISK, tmp_path)
    script.write_text(f"{HERE}terminal.report_jobs_here()\n{script.read_text()}")
    result = subprocess.run([sys.executable, script], text=True, capture_output=True, cwd=tmp_path)
    assert re.fullmatch(r"error: file too large in .+\n", result.stderr)


def test_a_stop_that_was_asked_for_has_a_code_of_its_own(tmp_path: Path):
    result = run("from clinical_peft.errors import StoppedError; raise StoppedError('x after step 3 of 9')", tmp_path)
    assert result.returncode == 75
    assert result.stderr == "stopped: x after step 3 of 9\n"
    assert "Traceback" not in log_of(tmp_path)
    assert result.stderr in log_of(tmp_path)


def test_a_full_disk_is_named_wherever_it_shows(tmp_path: Path):
    result = run(FULL_DISK, tmp_path)
    assert result.returncode == 1
    assert re.fullmatch(r"error: file too large in script\.py:\d+; free space, then run .+\n", result.stderr)
    assert len(log_of(tmp_path)) <= 900


NOT_PERMITTED = "(permission denied|operation not permitted|read-only file system)"


def test_an_unwritable_file_is_named_with_the_reason(tmp_path: Path):
    result = run("open('/sys/new.json', 'w')", tmp_path)
    assert result.returncode == 1
    assert re.fullmatch(rf"error: /sys/new\.json: {NOT_PERMITTED}.*; give yourself access, .+\n", result.stderr)


def test_a_log_that_may_not_be_written_is_one_line(tmp_path: Path):
    script = write_script("pass", tmp_path)
    script.write_text(script.read_text().replace("logs/job.log", "/sys/logs/job.log"))
    result = subprocess.run([sys.executable, script], text=True, capture_output=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert re.fullmatch(rf"error: /sys/logs/job\.log is not writable: {NOT_PERMITTED}.*\n", result.stderr)


def test_notice_ends_a_loop_and_nothing_else(tmp_path: Path):
    body = (
        "import os, signal; from clinical_peft.runtime.signals import stop_signals_noted\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    with stop_signals_noted() as stop: print(stop.signal)\n"
        "    with stop_signals_noted() as stop: os.kill(os.getpid(), signal.SIGTERM); print(stop.signal)\n"
    )
    result = run(body, tmp_path)
    assert (result.returncode, result.stdout) == (0, "SIGUSR1\nSIGTERM\n")


TRAINS_AND_TALKS = """
import signal, sys, time
from clinical_peft.errors import StoppedError
from clinical_peft.runtime.jobs import job
from clinical_peft.runtime.signals import stop_signals_noted
signal.signal(signal.SIGHUP, signal.{disposition})
with job("logs/job.log"), stop_signals_noted() as stop:
    for step in range(int(sys.argv[1])):
        print("step", step, file=sys.stderr, flush=True)
        time.sleep(0.01)
        if stop:
            raise StoppedError(f"training, asked by {{stop.signal}}; a checkpoint is saved")
    print("finished", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("disposition", "steps", "code", "last"),
    [
        ("SIG_DFL", 6000, 75, "stopped: training, asked by SIGHUP; a checkpoint is saved"),
        ("SIG_IGN", 50, 0, "finished"),
    ],
)
def test_a_terminal_that_closes_costs_no_training(disposition, steps, code, last, tmp_path: Path):
    ours, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            "setsid",
            "--ctty",
            "--wait",
            sys.executable,
            "-c",
            TRAINS_AND_TALKS.format(disposition=disposition),
            str(steps),
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    os.close(terminal)
    assert b"step" in os.read(ours, 100)
    os.close(ours)
    assert process.wait(timeout=60) == code
    assert log_of(tmp_path).splitlines()[-1] == last


def test_ignored_notice_is_ignored_by_children_too(tmp_path: Path):
    body = (
        "import os, signal, subprocess; from clinical_peft.runtime.signals import ignore_notice; ignore_notice()\n"
        "    sys.exit(subprocess.run(['sh', '-c', 'kill -USR1 $$; exit 5']).returncode)"
    )
    assert run(body, tmp_path).returncode == 5


def test_exit_codes_of_a_script_are_kept(tmp_path: Path):
    assert run("sys.exit(7)", tmp_path).returncode == 7


def test_a_job_that_runs_again_appends(tmp_path: Path):
    run("1 / 0", tmp_path)
    run("pass", tmp_path)
    assert len(re.findall(r"^--- ", log_of(tmp_path), re.MULTILINE)) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_the_job_after_its_clean_up(number: int, code: int, tmp_path: Path):
    body = "try:\n        print('ready', flush=True); time.sleep(60)\n    finally:\n        open('cleaned', 'w')"
    script = write_script(body, tmp_path)
    # A test run in the background, or under nohup, starts with these signals ignored, and so would its children.
    heeded = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    heeded += "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    script.write_text(heeded + script.read_text())
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    started = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - started < 10
    assert re.fullmatch(r"error: .+\n", errors)
    assert (tmp_path / "cleaned").exists()
    assert "error: " in log_of(tmp_path)
