"""Measure the leakage check and the paired corpora at growing sizes, and extrapolate to the full releases.

python benchmarks/leakage.py [--work FOLDER] [--sizes 1500 3000 6000]

Two kinds of notes: of the synthetic hospital, and, where CLINICAL_PEFT_REAL_DATA names a folder with mtsamples/, of
shuffled fragments of real transcriptions, as long as those of the releases: discharge summaries of 1,600 words, each
with seven further notes of 200. A fifth of the admissions is held out in five tasks. Their admission notes are cut from
the summaries as in a study. Every job is a process of its own; processor time is taken, since machines are shared.
What it grows like from the last size but one to the last is taken for what it grows like up to the release. Memory at
full size is that of the indexes, which are built at that size, and what a job holds beside them: `tree_bytes`, with
its workers, less `peak_bytes`, that of its first process.
"""

import argparse
import json
import math
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from turns import peak_memory, run_watched

from clinical_peft.data.disjoint import write_paired_corpora
from clinical_peft.data.hash_split import hash_split
from clinical_peft.data.held_out import Repetition
from clinical_peft.data.leakage import check_leakage
from clinical_peft.data.note_table import ROW_GROUP_ROWS, parquet_writer, write_notes
from clinical_peft.data.sections import SECTION_HEADERS, admission_note
from clinical_peft.data.shingle_index import RepeatedNotes, ShingleIndex
from clinical_peft.data.source_notes import MOST_SHINGLES, _without_common
from clinical_peft.data.tables import stream_table
from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.sources.mimic_iv.sections import known_at_admission
from clinical_peft.synthetic.mimic_iv import MimicIV
from clinical_peft.tasks import find_task

HERE = Path(__file__).resolve().parent
SIZES = (1_500, 3_000, 6_000)  # summaries
OTHERS_PER_SUMMARY = 7
TASKS = ("los", "mortality", "diagnoses", "procedures", "pmv")
REPETITION = Repetition(threshold=0.5, shingle_words=5)
SECTION_FRAGMENTS, COURSE_FRAGMENTS, OTHER_FRAGMENTS = 7, 60, 14  # of 14 words on average
RELEASES = {  # summaries of 1,600 words, and other notes of 230 and of 200
    "MIMIC-III 1.4": {"words": 59_652 * 1600 + 2_023_528 * 230},
    "MIMIC-IV-Note 2.2": {"words": 331_793 * 1600 + 2_321_355 * 200},
}
CHECK, PAIR, INDEXES = "check_leakage", "pair_corpora", "indexes"
HELD_OUT, ADMISSION_NOTE = 331_793 // 5, 800  # summaries of MIMIC-IV-Note, and words of an admission note
Note = tuple[int, str, str]


def fragment_notes(summaries: int, source: Path) -> Iterator[Note]:
    """Yield patient, kind and text of notes of shuffled fragments of real transcriptions."""
    draws = random.Random(0)
    texts = [json.loads(line)["text"] for line in source.read_text(encoding="utf-8").splitlines()]
    fragments = [piece.strip() for text in texts for piece in re.split(r"(?<=[.:])\s+", text) if piece.strip(" .:")]

    def lines(count: int) -> str:
        return "\n".join(draws.choices(fragments, k=count))

    for patient in range(summaries):
        sections = "".join(f"{header.title()}:\n{lines(SECTION_FRAGMENTS)}\n\n" for header in SECTION_HEADERS.values())
        yield patient, "discharge", f"{sections}Brief Hospital Course:\n{lines(COURSE_FRAGMENTS)}\n"
        for _ in range(OTHERS_PER_SUMMARY):
            yield patient, "radiology", lines(OTHER_FRAGMENTS)


def hospital_notes(summaries: int, folder: Path) -> Iterator[Note]:
    """Yield patient, kind and text of the synthetic hospital's discharge summaries and radiology reports."""
    MimicIV(folder, 0, [], str).write(summaries, OTHERS_PER_SUMMARY * summaries)
    for kind in ("discharge", "radiology"):
        for number, text in enumerate(
            text
            for batch in stream_table(folder / f"{kind}.csv.gz", ["text"])
            for text in batch["text"].to_pylist()
            if text
        ):
            yield number if kind == "discharge" else number // OTHERS_PER_SUMMARY, kind, text


def prepare(folder: Path, notes: Iterator[Note]) -> dict[str, int]:
    """Write a corpus and five cohorts, and return what they hold."""
    counts = {"summaries": 0, "notes": 0, "words": 0}
    rows: list[dict[str, Any]] = []

    def corpus() -> Iterator[dict[str, Any]]:
        for patient, kind, text in notes:
            counts["notes"] += 1
            counts["words"] += len(text.split())
            if kind == "discharge":
                counts["summaries"] += 1
                row = {"hadm_id": patient, "subject_id": patient, "split": hash_split(patient, "benchmark")}
                rows.append(row | {"text": admission_note(known_at_admission(text)), "label": patient % 2})
            yield {"note_id": str(counts["notes"]), "subject_id": patient, "kind": kind, "text": text}

    folder.mkdir(parents=True)
    write_notes(folder / "notes.parquet", corpus())
    table = pa.Table.from_pylist(rows)
    for task in TASKS:
        with parquet_writer(folder / f"{task}.parquet", table.schema) as writer:
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
    return counts


def job(name: str, folder: Path, processes: int) -> None:
    """Run a job as its rule does, and print what it took."""
    cohorts = [folder / f"{task}.parquet" for task in TASKS]
    arms = {arm: folder / f"{arm}.parquet" for arm in ("disjoint", "matched")}
    common: dict[str, Any] = {"repetition": REPETITION, "flattened": False, "work": folder / "work"}
    start = time.monotonic()
    if name == PAIR:
        write_paired_corpora(folder / "notes.parquet", cohorts, **arms, **common, seed=0, processes=processes)
    else:
        check_leakage(
            cohorts,
            {"disjoint": arms["disjoint"]},
            folder / "leakage.json",
            tasks={task: find_task(task) for task in TASKS},
            forbidden=["disjoint"],
            sources={"disjoint": folder / "notes.parquet"},
            with_patients=["disjoint"],
            crossing_allowed=(),
            **common,
            processes=processes,
        )
    spent = os.times()
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - start,
                "cpu_seconds": sum(spent[:4]),
                "peak_bytes": peak_memory(),
            }
        )
    )


def build_indexes() -> None:
    """Build both indexes at the size of MIMIC-IV-Note, of random shingles, and print what it took.

    No text is repeated, so that every shingle is one of its own: real notes need less. Of the summaries' passages as
    many shingles are held as at most are.
    """
    draws = np.random.default_rng(0)

    def notes(count: int, shingles: int) -> Iterator[npt.NDArray[np.uint64]]:
        return (draws.integers(0, 2**64, shingles, np.uint64) for _ in range(count))

    held_out = RepeatedNotes(notes(HELD_OUT, ADMISSION_NOTE), REPETITION.threshold)
    source = ShingleIndex(_without_common(list(notes(MOST_SHINGLES // 1024, 1024))))
    found = {"shingles": int(held_out.sizes.sum() + source.sizes.sum()), "peak_bytes": peak_memory()}
    print(json.dumps(found | {"cpu_seconds": sum(os.times()[:2])}))


def measure(name: str, folder: Path, processes: int) -> dict[str, float]:
    """Run `job` in a fresh process."""
    try:
        return run_watched([sys.executable, __file__, "--job", name, str(folder), str(processes)])
    except RuntimeError as error:
        sys.exit(f"{name}: {error}")


def extrapolated(sizes: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Minutes of processor time of each release, by what it grew like between the last two sizes.

    It grows with a power of the words, at least the first.
    """
    before, last = sizes[-2:]
    found: dict[str, dict[str, float]] = {}
    for release, size in RELEASES.items():
        figures = found.setdefault(release, {})
        for name in (PAIR, CHECK):
            ratio = last[name]["cpu_seconds"] / before[name]["cpu_seconds"]
            power = max(1.0, math.log(ratio, last["words"] / before["words"]))
            seconds = last[name]["cpu_seconds"] * (size["words"] / last["words"]) ** power
            figures |= {f"{name}_power": power, f"{name}_cpu_minutes": seconds / 60}
    return found


def run(work: Path, sizes: list[int], processes: int) -> dict[str, Any]:
    """Measure both jobs on both kinds of notes at every size."""
    load_before = os.getloadavg()[0]
    real = Path(os.environ.get("CLINICAL_PEFT_REAL_DATA", "")) / "mtsamples" / "notes.jsonl"
    kinds = {"hospital": lambda size: hospital_notes(size, work / f"tables{size}")}
    if real.is_file():
        kinds["fragments"] = lambda size: fragment_notes(size, real)
    results: dict[str, Any] = {}
    for kind, notes in kinds.items():
        found: list[dict[str, Any]] = []
        for size in sizes:
            folder = work / f"{kind}{size}"
            found.append(prepare(folder, notes(size)))
            for name in (PAIR, CHECK):
                found[-1][name] = measure(name, folder, processes)
                print(kind, size, name, found[-1][name], flush=True)
            shutil.rmtree(folder)
        results[kind] = {"sizes": found, "releases": extrapolated(found)}
    return {
        "results": results,
        "indexes_of_full_size": measure(INDEXES, work, 1),
        "processes": processes,
        "load_before": load_before,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, help="folder for the files; default: a temporary one")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="summaries; two sizes or more")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--job", nargs=3, metavar=("NAME", "FOLDER", "PROCESSES"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job and asked.job[0] == INDEXES:
        build_indexes()
    elif asked.job:
        job(asked.job[0], Path(asked.job[1]), int(asked.job[2]))
    else:
        with tempfile.TemporaryDirectory(dir=asked.work) as folder:
            write_json(HERE / "results" / "leakage.json", run(Path(folder), asked.sizes, asked.processes))
