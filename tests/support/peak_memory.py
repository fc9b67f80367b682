"""The peak memory of a piece of Python, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

_STATUS = Path("/proc/self/status")
_PRINT_PEAK = f"""
import re
from pathlib import Path
print(re.findall(r"VmHWM:\\s+(\\d+)", Path("{_STATUS}").read_text())[0])
"""
needs_proc = pytest.mark.skipif(not _STATUS.exists(), reason="the peak memory of a process is read from /proc")


def peak_bytes(code: str, *arguments: object) -> int:
    """Run code, which finds the arguments as texts in ``sys.argv[1:]``, and return the most bytes it held at once."""
    command = [sys.executable, "-c", code + _PRINT_PEAK, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]) << 10
