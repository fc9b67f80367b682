"""Measure the peak memory of making admission notes from MIMIC-III, by number of discharge summaries.

python benchmarks/admission_memory.py

Kept in benchmarks/results/admission_memory.json. Each measurement is a process of its own. A summary has about 9,000
characters, a third of them in the sections known at admission; every tenth admission has an addendum, which stands
behind all summaries as far from its own as the table allows.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from turns import peak_memory

from clinical_peft.data.sections import SECTION_HEADERS
from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes

HERE = Path(__file__).resolve().parent
SIZES = (5_000, 20_000, 59_000)  # the last is about what MIMIC-III has
SWITCHES = ("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept")
SECTION_WORDS, COURSE_WORDS = 60, 950


def write_tables(folder: Path, summaries: int) -> int:
    """Write NOTEEVENTS and ADMISSIONS and return the bytes of the notes."""
    rng = np.random.default_rng(0)
    letters = list("etaoinshrdlu")
    vocabulary = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(20_000)])

    def words(count: int) -> str:
        return " ".join(vocabulary[rng.integers(len(vocabulary), size=count)])

    def rows() -> Iterator[list[object]]:
        day = "2150-01-01"
        for number in range(summaries):
            sections = "".join(f"{header.title()}:\n{words(SECTION_WORDS)}\n\n" for header in SECTION_HEADERS.values())
            text = f"{sections}Hospital Course:\n{words(COURSE_WORDS)}\n"
            yield [number, number, number, day, "Discharge summary", "Report", "", text]
        for number in range(0, summaries, 10):
            text = f"Addendum:\n{words(SECTION_WORDS)}\n"
            yield [summaries + number, number, number, day, "Discharge summary", "Addendum", "", text]

    header = ["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY", "DESCRIPTION", "ISERROR", "TEXT"]
    with (folder / "NOTEEVENTS.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows())
    with (folder / "ADMISSIONS.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["HADM_ID", "ADMISSION_TYPE"], *([n, "URGENT"] for n in range(summaries))])
    return (folder / "NOTEEVENTS.csv").stat().st_size


def build(folder: Path, protocol: str) -> None:
    """Make the notes and print what it took."""
    start = time.process_time()
    build_admission_notes(folder, folder / "notes.parquet", **dict.fromkeys(SWITCHES, protocol == "paper"))
    print(json.dumps({"cpu_seconds": time.process_time() - start, "peak_bytes": peak_memory()}))


def measure(folder: Path, protocol: str) -> dict[str, float]:
    """Run `build` in a fresh process."""
    command = [sys.executable, __file__, str(folder), protocol]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def run() -> dict[str, object]:
    """Measure every size under both protocols."""
    results: list[dict[str, object]] = []
    for summaries in SIZES:
        with tempfile.TemporaryDirectory() as name:
            size = write_tables(Path(name), summaries)
            for protocol in ("corrected", "paper"):
                found = measure(Path(name), protocol)
                results.append({"summaries": summaries, "bytes": size, "protocol": protocol, **found})
                print(f"{summaries:6d} {protocol:9s} {found['peak_bytes'] / 2**20:6.0f} MiB", flush=True)
    return {
        "results": results,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        build(Path(sys.argv[1]), sys.argv[2])
    else:
        write_json(HERE / "results" / "admission_memory.json", run())
