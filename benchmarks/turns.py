"""Figures of ways that took turns: each way's medians, its ratio to another within a turn, its peak memory."""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

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
