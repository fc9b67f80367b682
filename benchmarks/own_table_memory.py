"""Measure how the memory of the jobs that read a user's own table grows with its rows.

python benchmarks/own_table_memory.py

Kept in benchmarks/results/own_table_memory.json: for 10,000, 300,000 and 600,000 rows of 100 words each, with a
column of patients, the most memory that each job held, and the seconds that it took. Each measurement is a process of
its own. Between the first two sizes buffers fill (pyarrow reads 32 blocks of a CSV file ahead).
"""

import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from turns import peak_memory, run_watched

from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.tasks import OwnTask

HERE = Path(__file__).resolve().parent
SIZES = (10_000, 300_000, 600_000)
WORDS = 100
JOBS = ("import_table", "write_training_notes", "build_binary_cohort", "build_multilabel_cohort")


def write_table(path: Path, rows: int) -> None:
    """Write a CSV file of notes with ids and patients that are texts."""
    rng = np.random.default_rng(0)
    letters = list("etaoinshrdlu")
    vocabulary = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(20_000)])
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["encounter", "mrn", "note", "outcome", "codes"])
        for number in range(rows):
            text = " ".join(vocabulary[rng.integers(len(vocabulary), size=WORDS)])
            codes = ";".join(f"c{code}" for code in rng.integers(200, size=4))
            writer.writerow([f"e{number:08d}", f"p{number // 2:08d}", text, number % 2, codes])


def table_of(folder: Path) -> TableSpec:
    """Describe the table."""
    return TableSpec(name="ours", paths={"": str(folder / "notes.csv")}, id="encounter", text=("note",), patient="mrn")


def read(folder: Path) -> None:
    """Import the table."""
    from clinical_peft.sources.table.importing import import_table

    import_table(table_of(folder), folder / "ours.parquet", folder / "ours.json", salt="benchmark")


def write_corpus(folder: Path) -> None:
    """Write its training notes."""
    from clinical_peft.sources.table.corpus import write_training_notes

    write_training_notes(folder / "ours.parquet", folder / "corpus.parquet")


def build_binary(folder: Path) -> None:
    """Build the cohort of a binary task."""
    _build(folder, OwnTask(name="one", title="One", short="ONE", place=100, type="binary", label_columns=("outcome",)))


def build_multilabel(folder: Path) -> None:
    """Build the cohort of a multilabel task."""
    codes = {"label_columns": ("codes",), "delimiter": ";"}
    _build(folder, OwnTask(name="two", title="Two", short="TWO", place=101, type="multilabel", **codes))


def _build(folder: Path, task: OwnTask) -> None:
    from clinical_peft.sources.table.cohort import build_table_cohort

    outputs = {"output": ".parquet", "classes_output": ".classes.json", "attrition_output": ".attrition.json"}
    paths = {name: folder / f"{task.name}{suffix}" for name, suffix in outputs.items()}
    build_table_cohort(table_of(folder), task, folder / "ours.parquet", **paths)


def run() -> dict[str, Any]:
    """Measure every job at every size."""
    measured: dict[str, dict[str, list[float]]] = {name: {"peak_mib": [], "seconds": []} for name in JOBS}
    sizes = []
    for rows in SIZES:
        with tempfile.TemporaryDirectory() as name:
            write_table(Path(name) / "notes.csv", rows)
            sizes.append((Path(name) / "notes.csv").stat().st_size)
            for job in JOBS:
                found = run_watched([sys.executable, __file__, job, name])
                measured[job]["peak_mib"].append(round(found["peak_bytes"] / 2**20))
                measured[job]["seconds"].append(round(found["seconds"], 1))
                print(
                    f"{rows:7d} {job:24s} {found['peak_bytes'] / 2**20:6.0f} MiB {found['seconds']:6.1f} s", flush=True
                )
    return {
        "rows": list(SIZES),
        "words": WORDS,
        "bytes_of_file": sizes,
        "jobs": measured,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        begun = time.perf_counter()
        dict(zip(JOBS, (read, write_corpus, build_binary, build_multilabel), strict=True))[sys.argv[1]](
            Path(sys.argv[2])
        )
        print(json.dumps({"peak_bytes": peak_memory(), "seconds": time.perf_counter() - begun}))
    else:
        write_json(HERE / "results" / "own_table_memory.json", run())
