"""Hand-made hospital tables for tests."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path


def write_csv(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    """Write a table; the header's columns are separated by commas."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header.split(","), *rows])
