"""What an interrupt from the keyboard prints where nothing else handles it."""

import signal
import subprocess
import sys

import pytest

CODE = "from clinical_peft.runtime.signals import interrupt_in_one_line; interrupt_in_one_line(); raise {}"


def run(error: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE.format(error)], capture_output=True, text=True, check=False)


def test_an_interrupt_is_one_line():
    done = run("KeyboardInterrupt")
    assert done.stderr == "error: interrupted\n"
    assert done.returncode == -signal.SIGINT


@pytest.mark.parametrize("error", ["ValueError(1)", "KeyError"])
def test_other_errors_keep_their_traceback(error):
    assert "Traceback" in run(error).stderr
