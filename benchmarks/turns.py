"""Figures of ways that took turns: each way's medians, its ratio to another within a turn, its peak memory."""

import json
import re
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

CLOCKS = ("seconds", "cpu_seconds")


def medians(results: Sequence[Mapping[str, float]], size: int) -> dict[str, float]:
    """Median of each figure of one way's turns, and the megabytes that it takes in a second of `size` bytes."""
    found = {key: statistics.median(result[key] for result in results) for key in results[0]}
    return found | {"megabytes_per_second": size / 1e6 / found["seconds"]}


def spread(above: Sequence[Mapping[str, float]], below: Sequence[Mapping[str, float]], clock: str) -> dict[str, float]:
    """Median, least and greatest ratio of two ways within a turn."""
    ratios = [one[clock] / other[clock] for one, other in zip(above, below, strict=True)]
    return {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)}


def peak_memory() -> int:
    """Most bytes that this process held at once; `getrusage` would count what its parent held before."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10


def run_watched(command: Sequence[str]) -> dict[str, Any]:
    """Run a command and return the JSON that it prints, and `tree_bytes`: the most that it and its children held.

    Of the children, what they do not share counts.

    Raises:
        RuntimeError: The command failed; the message is its last line.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        children = list(_descendants(process.pid))
        peak = max(
            peak, _held(process.pid, "Rss") + sum(_held(child, "Private_Clean|Private_Dirty") for child in children)
        )
        time.sleep(0.1)
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError((errors.strip().splitlines() or ["failed"])[-1])
    found: dict[str, Any] = json.loads(output)
    return {**found, "tree_bytes": peak}


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for tasks in Path(f"/proc/{pid}/task").iterdir():
            for child in (tasks / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _held(pid: int, kinds: str) -> int:
    """Bytes of some kinds that a process holds; 0 where it has ended."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        return sum(int(found) << 10 for found in re.findall(rf"^(?:{kinds}):\s+(\d+) kB", text, re.MULTILINE))
    return 0
