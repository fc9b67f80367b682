"""Small tables of a user's own: written, imported and read back."""

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.files import read_json
from clinical_peft.sources.table.cohort import build_table_cohort
from clinical_peft.sources.table.importing import import_table
from clinical_peft.sources.table.spec import SplitSpec, TableSpec
from clinical_peft.tasks import OwnTask

Rows = Sequence[Mapping[str, Any]]


def write_rows(path: Path, rows: Rows) -> Path:
    """Write rows as the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.removesuffix(".gz")
    plain = path.with_name(name)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(rows)), plain)
    elif name.endswith(".jsonl"):
        plain.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with plain.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
    return path


def table_of(path: Path | Mapping[str, Path], *, split: SplitSpec | None = None, **columns: Any) -> TableSpec:
    """Describe a table named ``ours`` with the columns encounter, note and, unless said otherwise, mrn."""
    paths = {name: str(one) for name, one in path.items()} if isinstance(path, Mapping) else {"": str(path)}
    known = {"id": "encounter", "text": ("note",), "patient": "mrn", "split": split or SplitSpec()} | columns
    return TableSpec(name="ours", paths=paths, **known)


def imported(spec: TableSpec, folder: Path, *, salt: str = "salt") -> list[dict[str, Any]]:
    """Import a table and return its rows."""
    import_table(spec, folder / "ours.parquet", folder / "ours.attrition.json", salt=salt)
    return pq.read_table(folder / "ours.parquet").to_pylist()


def steps_of(folder: Path) -> list[tuple[str, int, int]]:
    """Steps of the import: name, rows, patients."""
    return [(step["step"], step["rows"], step["patients"]) for step in read_json(folder / "ours.attrition.json")]


def own_task_of(kind: str, **values: Any) -> OwnTask:
    """Describe a task of the table with the label in the column ``outcome``."""
    known = {"label_columns": ("outcome",), "table": "ours"} | values
    return OwnTask(name="own", title="Own", short="OWN", place=100, type=kind, **known)


def cohort_of(
    rows: Rows, task: OwnTask, folder: Path, *, name: str = "notes.csv", **options: Any
) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
    """Import rows with a column ``fold`` and build the cohort of a task: its rows, classes and steps."""
    split = SplitSpec(kind="column", column="fold")
    columns = {key: options.pop(key) for key in ("time", "site") if key in options}
    spec = table_of(write_rows(folder / name, rows), split=split, **columns)
    imported(spec, folder)
    outputs = {
        "output": folder / "own.parquet",
        "classes_output": folder / "c.json",
        "attrition_output": folder / "a.json",
    }
    steps = build_table_cohort(spec, task, folder / "ours.parquet", **outputs, **options)
    return pq.read_table(folder / "own.parquet").to_pylist(), read_json(folder / "c.json"), steps


def labelled_rows(**labels_of: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows with the given labels by split: one patient a row, ids from 1."""
    pairs = [(fold, label) for fold, labels in labels_of.items() for label in labels]
    return [
        {"encounter": number, "mrn": 1000 + number, "note": f"Note number {number}.", "fold": fold, "outcome": label}
        for number, (fold, label) in enumerate(pairs, start=1)
    ]
