"""Cohorts of a study's own table: string ids, several rows a patient, class names of any characters."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from models_fixtures import WORDS

from clinical_peft.data.patients import with_source
from clinical_peft.tasks import OwnTask, Task

TABLE = "ours"
SERVICES = ["Ear, nose & throat", "Kardiologie_ä", 'a "quoted" class']
PROBLEMS = ["E11.9", "I10; benign", "Z99"]
SEEDED = {"train": 0, "validation": 1, "test": 2}


def own_task(name: str, kind: str, **changes) -> OwnTask:
    """A task of the table `ours`."""
    facts = {"title": name.title(), "short": name.upper()[:5], "place": 100, "table": TABLE, "label_columns": (name,)}
    return OwnTask(name=name, type=kind, **facts | changes)


OWN_TASKS: dict[str, Task] = {
    "readmitted": own_task("readmitted", "binary", classes=("0", "1")),
    "service": own_task("service", "multiclass"),
    "problems": own_task("problems", "multilabel", delimiter=";"),
}


def write_own_cohort(
    folder: Path, task: Task, *, rows: int = 300, source: str | None = TABLE, integer_ids: bool = False
) -> tuple[Path, Path]:
    """Write the cohort of an own task, whose label shows in one word of the note, and its label space.

    Two rows in a row are of one patient; ids have leading zeros.
    """
    draw = random.Random(0)
    space = {"binary": ["0", "1"], "multiclass": SERVICES, "multilabel": PROBLEMS}[task.type]
    columns: dict[str, list] = {name: [] for name in ("hadm_id", "subject_id", "split", "text", "label")}
    for row in range(rows):
        patient = row // 2
        level = draw.randrange(len(space))
        shown = level if draw.random() < 0.7 else draw.randrange(len(space))
        text = [f"word{150 + shown}", *draw.choices(WORDS[:80], k=20)]
        columns["hadm_id"].append(rows - row if integer_ids else f"{rows - row:05d}")
        columns["subject_id"].append(patient if integer_ids else f"{patient:04d}")
        columns["split"].append(("train", "train", "validation", "test", "test")[patient % 5])
        columns["text"].append(" ".join(text))
        several = [space[level], *([space[0]] if level and draw.random() < 0.3 else [])]
        columns["label"].append(several if task.multilabel else level)
    ids = pa.int64() if integer_ids else pa.string()
    label = pa.list_(pa.string()) if task.multilabel else pa.int64()
    kinds = [ids, ids, pa.string(), pa.string(), label]
    table = pa.table({name: pa.array(part, kind) for (name, part), kind in zip(columns.items(), kinds, strict=True)})
    cohort, classes = folder / f"{task.name}.parquet", folder / f"{task.name}.classes.json"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(with_source(table.schema, source).metadata), cohort)
    classes.write_text(json.dumps(space))
    return cohort, classes
