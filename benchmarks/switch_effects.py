"""Measure what each data switch changes, alone on top of the corrected protocol, and what all do together.

python benchmarks/switch_effects.py

Kept in benchmarks/results/switch_effects.json. Measured on the synthetic demo hospital and, where
CLINICAL_PEFT_REAL_DATA names a folder, on its core-golden (a small database with notes) and mimic-iii-demo (real tables
without notes, so that labels alone are compared).
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from clinical_peft.data.cohorts import build_cohort
from clinical_peft.data.labelling import label_table
from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.splits import assign_splits
from clinical_peft.data.table_files import locate_table
from clinical_peft.data.ventilation_table import write_intervals
from clinical_peft.files import read_json, write_json
from clinical_peft.recipes.switches import DATA_SWITCHES
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.sources.mimic_iii.ventilation import find_episodes
from clinical_peft.synthetic.hospital import generate_hospital
from clinical_peft.tasks import TASKS, find_task

HERE = Path(__file__).resolve().parent
SALT = "clinical-peft"
NOTE_SWITCHES = ("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept")
CORPUS_SWITCH = "notes_flattened"
COHORT_SWITCHES = [name for name in DATA_SWITCHES if name != CORPUS_SWITCH]


@dataclass(frozen=True)
class Cohort:
    """A cohort in memory: by admission its text (empty without notes) and its label; the classes."""

    texts: Mapping[int, str]
    labels: Mapping[int, Any]
    classes: int


@dataclass(frozen=True)
class Database:
    """Tables of one hospital.

    Attributes:
        tasks: Tasks that the tables allow.
        splits: Folder of split lists, or ``hash``.
    """

    name: str
    tables: Path
    tasks: tuple[str, ...]
    splits: Path | Literal["hash"] = "hash"
    cache: dict[tuple[bool, ...], Path] = field(default_factory=dict)


def effects(database: Database, work: Path) -> dict[str, Any]:
    """Compare every switch with the corrected protocol.

    Returns:
        By switch (``paper``: all of them) and task: admissions, added, removed, texts_changed, labels_changed (among
        those in both), classes and classes_corrected; tasks without any change are left out. Under ``corrected``:
        admissions and classes.
    """
    corrected = dict.fromkeys(DATA_SWITCHES, False)
    baseline = {task: _cohort(database, task, corrected, work) for task in database.tasks}
    found: dict[str, Any] = {
        "corrected": {
            task: {"admissions": len(cohort.labels), "classes": cohort.classes} for task, cohort in baseline.items()
        }
    }
    overrides = {switch: {switch: True} for switch in COHORT_SWITCHES}
    for name, override in (overrides | {"paper": dict.fromkeys(COHORT_SWITCHES, True)}).items():
        changed = {
            task: _compare(baseline[task], _cohort(database, task, corrected | override, work))
            for task in database.tasks
        }
        found[name] = {task: change for task, change in changed.items() if _is_change(change)}
    return found


def _compare(corrected: Cohort, switched: Cohort) -> dict[str, int]:
    both = corrected.labels.keys() & switched.labels.keys()
    return {
        "admissions": len(switched.labels),
        "added": len(switched.labels.keys() - both),
        "removed": len(corrected.labels.keys() - both),
        "texts_changed": sum(corrected.texts.get(key) != switched.texts.get(key) for key in both),
        "labels_changed": sum(corrected.labels[key] != switched.labels[key] for key in both),
        "classes": switched.classes,
        "classes_corrected": corrected.classes,
    }


def _is_change(change: Mapping[str, int]) -> bool:
    counts = ("added", "removed", "texts_changed", "labels_changed")
    return any(change[count] for count in counts) or change["classes"] != change["classes_corrected"]


def _cohort(database: Database, task: str, switches: Mapping[str, bool], work: Path) -> Cohort:
    if locate_table(database.tables, "NOTEEVENTS") is None:
        return _without_notes(database, task, switches)
    cohort, classes = work / f"{task}.parquet", work / f"{task}.classes.json"
    build_cohort(
        find_task(task),
        admission_notes=_notes(database, switches, work),
        outcomes=MimicIII(database.tables, _ventilation(database, work) if task == "pmv" else None),
        splits=database.splits,
        salt=SALT,
        pmv_split="core-patient",
        switches=switches,
        output=cohort,
        classes_output=classes,
        attrition_output=work / f"{task}.attrition.json",
    )
    rows = pq.read_table(cohort).to_pylist()
    return Cohort(
        {row["hadm_id"]: row["text"] for row in rows}, {row["hadm_id"]: row["label"] for row in rows}, _size(classes)
    )


def _size(classes: Path) -> int:
    return len(read_json(classes))


def _notes(database: Database, switches: Mapping[str, bool], work: Path) -> Path:
    key = tuple(switches[name] for name in NOTE_SWITCHES)
    if key not in database.cache:
        path = work / f"{database.name}-notes-{len(database.cache)}.parquet"
        build_admission_notes(database.tables, path, **dict(zip(NOTE_SWITCHES, key, strict=True)))
        database.cache[key] = path
    return database.cache[key]


def _ventilation(database: Database, work: Path) -> Path:
    path = work / f"{database.name}-ventilation.parquet"
    if not path.exists():
        write_intervals(path, *find_episodes(database.tables))
    return path


def _without_notes(database: Database, task: str, switches: Mapping[str, bool]) -> Cohort:
    """Labels alone; the label space as a cohort's would be, of the whole table or of the training patients."""
    labels = label_table(task, MimicIII(database.tables), switches, salt=SALT)
    found = dict(zip(labels["hadm_id"], labels["label"], strict=True))
    if not TASKS[task].multilabel:
        return Cohort({}, found, len(TASKS[task].classes))
    if switches["label_space_whole_table"]:
        return Cohort({}, found, int(code_table(task, database.tables, switches)["code"].nunique()))
    splits = assign_splits(labels["subject_id"], splits="hash", salt=SALT)
    training = [codes for codes, split in zip(labels["label"], splits, strict=True) if split == "train"]
    classes = {code for codes in training for code in codes}
    return Cohort({}, {key: [code for code in codes if code in classes] for key, codes in found.items()}, len(classes))


def corpus_effect(corpus: str, tables: Path, notes: Path | None, work: Path) -> dict[str, Any]:
    """What cleaning a corpus as the original does changes: its rows, and the texts of the notes in both."""
    texts, counts = {}, {}
    for flattened in (False, True):
        path = work / f"{corpus}-{flattened}.parquet"
        counts[flattened] = extract_notes(corpus, path, mimic_iv_note=notes, mimic_iii=tables, flattened=flattened)
        table = pq.read_table(path, columns=["note_id", "text"])
        texts[flattened] = dict(zip(table["note_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    both = texts[True].keys() & texts[False].keys()
    return {
        "notes": len(texts[True]),
        "notes_corrected": len(texts[False]),
        "texts_changed": sum(texts[True][key] != texts[False][key] for key in both),
        **{f"corrected_{name}": count for name, count in counts[False].items() if name.endswith("_dropped")},
    }


def measure(work: Path) -> dict[str, Any]:
    """Measure every database that is there."""
    hospital = work / "hospital"
    generate_hospital(hospital, size="demo", seed=1)
    tables = hospital / "mimic-iii"
    databases = [Database("synthetic-demo", tables, tuple(TASKS))]
    if real := os.environ.get("CLINICAL_PEFT_REAL_DATA"):
        golden, demo = Path(real) / "core-golden", Path(real) / "mimic-iii-demo"
        core_tasks = ("los", "mortality", "diagnoses", "procedures")
        if golden.is_dir():
            databases.append(Database("core-golden", golden / "mimic3", core_tasks, golden / "splits"))
        if demo.is_dir():
            databases.append(Database("mimic-iii-demo", demo, core_tasks))
    found = {database.name: effects(database, work) for database in databases}
    found["synthetic-demo"][CORPUS_SWITCH] = {
        "mimic-iii": corpus_effect("mimic-iii", tables, None, work),
        "mimic-iv": corpus_effect("mimic-iv", tables, hospital / "mimic-iv-note", work),
    }
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder))
    provenance = {"git_revision": git_revision(HERE), "machine": machine(), "versions": package_versions()}
    write_json(HERE / "results" / "switch_effects.json", {"databases": measured, **provenance})
