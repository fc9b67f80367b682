"""Measure note extraction against the original's way, bare decompression and bare parsing, all in one run.

python benchmarks/extract.py [--work FOLDER] [--repeats 5]

Two files of discharge summaries are made, each of more than 150 MB uncompressed: of the synthetic hospital, and, where
CLINICAL_PEFT_REAL_DATA names a folder with mtsamples/, of shuffled fragments of real transcriptions, which compress
about as hospital notes do. The ways take turns; ratios are taken within a turn. Then the memory of growing files.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
from extract_ways import SKIPPED, WAYS
from turns import CLOCKS, medians, spread

from clinical_peft.data.tables import stream_table
from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.synthetic.mimic_iv import MimicIV
from clinical_peft.synthetic.tables import MIMIC_IV_COLUMNS, GzipTable

HERE = Path(__file__).resolve().parent
GENERATED_NOTES = 85_000
FRAGMENT_NOTES = 60_000
FRAGMENTS_PER_NOTE = (12, 45)
BLANK_BEFORE_NEWLINE = 0.2  # share of the lines
CURVE = (10_000, 30_000, 100_000, 300_000)  # notes
POOL = 10_000  # generated notes that the files of the curve repeat, with numbers of their own


def make_generated(folder: Path, notes: int) -> None:
    """Write MIMIC-IV-Note tables of the synthetic hospital, with a radiology table of 100 rows."""
    MimicIV(folder, 0, [], str).write(notes, 100)


def make_from_texts(folder: Path, texts: Iterator[str]) -> None:
    """Write a discharge table of the given texts and a radiology table of one."""
    folder.mkdir()
    for name, rows in (("discharge", texts), ("radiology", iter(["No change."]))):
        with GzipTable(folder / f"{name}.csv.gz", MIMIC_IV_COLUMNS) as table:
            for number, text in enumerate(rows):
                stamp = "2180-01-01 00:00:00"
                table.write(f"{number}-DS-1", number, number, "DS", 1, stamp, stamp, text)


def fragment_texts(notes: int, source: Path) -> Iterator[str]:
    """Yield notes of shuffled fragments of real transcriptions, one a line."""
    draws = random.Random(0)
    texts = [json.loads(line)["text"] for line in source.read_text(encoding="utf-8").splitlines()]
    fragments = [piece for text in texts for piece in re.split(r"(?<=[.:])\s+", text) if piece.strip()]
    for _ in range(notes):
        lines = draws.choices(fragments, k=draws.randint(*FRAGMENTS_PER_NOTE))
        yield "".join(line + (" \n" if draws.random() < BLANK_BEFORE_NEWLINE else "\n") for line in lines)


def repeated_texts(notes: int, pool: Path) -> Iterator[str]:
    """Yield notes of a pool again and again, each with its number, so that none is a duplicate."""
    texts = [text or "" for batch in stream_table(pool, ["text"]) for text in batch["text"].to_pylist()]
    for number in range(notes):
        yield f"{texts[number % len(texts)]}\nNote {number}."


def uncompressed_bytes(path: Path) -> int:
    """Size of a gzipped file's content."""
    with pa.input_stream(path, compression="gzip") as stream:
        return sum(map(len, iter(lambda: stream.read(1 << 20), b"")))


def measure(way: str, folder: Path) -> dict[str, float] | None:
    """Run one way in a fresh process; None when what it needs is not installed."""
    output = folder / "output"
    command = [sys.executable, str(HERE / "extract_ways.py"), way, str(folder), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == SKIPPED:
        return None
    if done.returncode:
        sys.exit(f"{way}: {done.stderr}")
    size = output.stat().st_size if output.exists() else 0
    output.unlink(missing_ok=True)
    return {**json.loads(done.stdout), "output_bytes": size}


def compare(folder: Path, repeats: int) -> dict[str, Any]:
    """Let all ways take turns on one folder of tables."""
    size = uncompressed_bytes(folder / "discharge.csv.gz")
    runs: dict[str, list[dict[str, float]]] = {}
    skipped: list[str] = []
    for turn in range(repeats + 1):
        for way in WAYS:
            result = None if way in skipped else measure(way, folder)
            if result is None:
                skipped += [] if way in skipped else [way]
            elif turn:  # the first turn warms the file cache
                runs.setdefault(way, []).append(result)
                print(f"{way:26s} {result['seconds']:7.2f} s {result['cpu_seconds']:7.2f} s processor", flush=True)
    return {
        "uncompressed_bytes": size,
        "compressed_bytes": (folder / "discharge.csv.gz").stat().st_size,
        "ways": {way: medians(results, size) for way, results in runs.items()},
        "ratios": {
            f"{other} / {own}": {clock: spread(runs[other], runs[own], clock) for clock in CLOCKS}
            for own in ("ours, corrected", "ours, paper")
            for other in ("original", "parse, pyarrow over isal", "parse, polars", "decompress, isal")
            if other in runs
        },
        "not_installed": skipped,
    }


def memory_curve(work: Path) -> dict[str, dict[str, int]]:
    """Peak memory of the ways that read everything, by number of notes."""
    make_generated(work / "pool", POOL)
    curve: dict[str, dict[str, int]] = {}
    for notes in CURVE:
        folder = work / f"curve{notes}"
        make_from_texts(folder, repeated_texts(notes, work / "pool" / "discharge.csv.gz"))
        for way in ("ours, corrected", "ours, paper", "original"):
            result = measure(way, folder)
            assert result is not None
            curve.setdefault(way, {})[str(notes)] = int(result["peak_bytes"])
            print(f"{way:26s} {notes:7d} notes {result['peak_bytes'] / 2**20:7.0f} MiB", flush=True)
        for file in folder.iterdir():
            file.unlink()
    return curve


def versions() -> dict[str, str]:
    """Versions of the packages that the ways use."""
    found = package_versions()
    for name in ("isal", "polars", "xxhash"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run(work: Path, repeats: int) -> dict[str, Any]:
    """Make the files, measure, and return everything with machine, versions and revision."""
    load_before = os.getloadavg()[0]
    make_generated(work / "generated", GENERATED_NOTES)
    files = {"synthetic hospital": compare(work / "generated", repeats)}
    real = Path(os.environ.get("CLINICAL_PEFT_REAL_DATA", "")) / "mtsamples" / "notes.jsonl"
    if real.is_file():
        make_from_texts(work / "fragments", fragment_texts(FRAGMENT_NOTES, real))
        files["fragments of transcriptions"] = compare(work / "fragments", repeats)
    return {
        "files": files,
        "peak_bytes_by_notes": memory_curve(work),
        "repeats": repeats,
        "load_before": load_before,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": versions(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, help="folder for the files, about 3 GB; default: a temporary one")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        write_json(HERE / "results" / "extract.json", run(Path(folder), arguments.repeats))
