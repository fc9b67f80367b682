"""Labels of a hospital's admissions in a user's file with the columns id and label."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from clinical_peft.data.attrition import ADMISSIONS, Attrition
from clinical_peft.data.label_values import Label, LabelReader
from clinical_peft.data.labels import LABEL_COLUMNS
from clinical_peft.data.user_tables import Batch, read_batches
from clinical_peft.data.whole_numbers import whole_number
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.tasks import OwnTask

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels

ID, LABEL = "id", "label"


def read_label_file(task: OwnTask, *, rows: int | None = None) -> tuple[list[int], list[Label | None]]:
    """Read a file of labels.

    Args:
        task: A task whose labels stand in a file: CSV, JSON lines or Parquet with the columns id, a whole number in any
            spelling of `clinical_peft.data.whole_numbers`, and label, or those of `label_columns`.
        rows: Rows to read at least; None for all.

    Returns:
        The ids, and the label of each, None for a row without one.

    Raises:
        ConfigError: The task names no file, or its classes contradict themselves.
        DataError: The file is malformed or empty, an id is not a whole number or is repeated, or a label does not
            belong to the task.
    """
    if task.label_file is None:
        raise ConfigError(f"tasks.{task.name}: expected a file of labels, found none; set labels")
    reader = LabelReader(task if task.label_columns else replace(task, label_columns=(LABEL,)))
    ids: list[int] = []
    labels: list[Label | None] = []
    known: set[int] = set()
    for batch in read_batches(Path(task.label_file), [ID, *reader.columns]):
        ids += _ids(batch, known)
        labels += reader.read(batch)
        if rows is not None and len(ids) >= rows:
            break
    return ids, labels


def _ids(batch: Batch, known: set[int]) -> list[int]:
    found = []
    for position, value in enumerate(batch.columns[ID]):
        number = whole_number(value)
        if number is None:
            raise DataError(
                f"{batch.place(position, ID)}: expected the id of an admission, a whole number, found another value; "
                "correct the row"
            )
        if number in known:
            raise DataError(
                f"{batch.place(position, ID)}: expected each id once, found one of an earlier row; keep one row of each"
            )
        known.add(number)
        found.append(number)
    return found


def label_function(task: OwnTask) -> "Callable[[LabelRequest], Labels]":
    """Return the label function of a task whose labels are in a file.

    Its labels are names of classes, or lists of them: `clinical_peft.data.label_spaces` makes the label space of the
    training rows. Steps count labels by the patients of those that belong to an admission.

    Args:
        task: As for `read_label_file`.
    """

    def label(request: "LabelRequest") -> "Labels":
        from clinical_peft.data.labelling import Labels

        ids, labels = read_label_file(task)
        values = [list(value) if isinstance(value, tuple) else value for value in labels]
        rows = pd.DataFrame({"hadm_id": pd.array(ids, "int64"), "label": pd.Series(values, dtype=object)})
        admissions = request.outcomes.admissions()[["hadm_id", "subject_id"]].astype({"subject_id": "Int64"})
        rows = rows.merge(admissions, on="hadm_id", how="left")
        steps = Attrition()
        if not rows["subject_id"].notna().any():
            raise DataError(
                f"{task.label_file}: column {ID}: expected ids of admissions of {task.on}, found none among "
                f"{len(rows):,}; give hadm_id, or correct the key on of the task"
            )
        steps.record("in the file of labels", rows, unit=ADMISSIONS)
        rows = steps.record("with a label", rows[rows["label"].notna()], unit=ADMISSIONS)
        rows = rows[rows["subject_id"].notna()].astype({"subject_id": "int64"})
        rows = steps.record("of an admission of the source", rows, unit=ADMISSIONS)
        return Labels(frame=rows[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True), steps=steps)

    return label
