"""What a task's label function is given, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.label_spaces import check_binary_classes, ordered_classes
from clinical_peft.data.labels import LABEL_COLUMNS
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.outcomes import Outcomes
from clinical_peft.files import write_json
from clinical_peft.tasks import OwnTask, Task, find_task

KEYS = (("hadm_id", pa.int64()), ("subject_id", pa.int64()))


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """Everything that labels may depend on.

    Attributes:
        outcomes: The database.
        switches: Data switches; True means as the original does.
        salt: What random labels depend on.
        split: `data.pmv_split`, for a task whose members and split a published list may name.
    """

    outcomes: Outcomes
    switches: Mapping[str, bool]
    salt: str = ""
    split: str = "core-patient"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of every admission that has one, whether it has a note or not.

    Attributes:
        frame: hadm_id, subject_id (int64) and label (int64, or a list of codes in the table's order).
        steps: From the rows of the tables to the labels, for the attrition table.
        begin_cohort: Whether the cohort's own steps begin with `steps`, and notes are joined to the labels; otherwise
            labels are joined to the notes.
        dropped: Admissions that have no label, by the step that keeps the others.
        split_of: Split of each admission, where it is not that of the patient.
    """

    frame: pd.DataFrame
    steps: Attrition = field(default_factory=Attrition)
    begin_cohort: bool = False
    dropped: Mapping[str, set[int]] = field(default_factory=dict)
    split_of: Mapping[int, str] | None = None


def labels_of(task: Task, request: LabelRequest) -> Labels:
    """Label the admissions of a hospital for a task.

    Args:
        task: A built-in task, or an own one whose labels stand in a file; those of the latter are names of classes.
        request: What the labels may depend on.

    Raises:
        ConfigError: A switch that the labels depend on is not given.
        DataError: A table, or the file of labels, is missing or malformed, names an admission twice or gives it to two
            patients.
    """
    if isinstance(task, OwnTask):
        from clinical_peft.data.label_files import label_function

        return label_function(task)(request)
    return task.label(request)


def label_table(task: str, outcomes: Outcomes, switches: Mapping[str, bool], *, salt: str = "") -> pd.DataFrame:
    """Return the labels of a built-in task by its name: hadm_id, subject_id and label, ordered by hadm_id.

    Raises:
        ConfigError: The task is unknown or one of its switches not given.
        DataError: As for `labels_of`.
    """
    request = LabelRequest(outcomes=outcomes, switches=switches, salt=salt)
    return _in_order(labels_of(find_task(task), request))


def _in_order(labels: Labels) -> pd.DataFrame:
    return labels.frame[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def write_labels(
    task: Task, request: LabelRequest, *, output: Path, classes_output: Path, attrition_output: Path
) -> list[dict[str, object]]:
    """Write the labels of every admission of a hospital that has one, whether it has a note or not.

    Args:
        task: As for `labels_of`.
        request: What the labels may depend on.
        output: Parquet file to write: hadm_id and subject_id (int64) and label (int64, or list<string> of a multilabel
            task), ordered by hadm_id.
        classes_output: JSON list, the classes that the numbers stand for, or those that occur.
        attrition_output: JSON list of steps, each with the admissions and patients left.

    Returns:
        The steps of ``attrition_output``.

    Raises:
        ConfigError: As for `labels_of`.
        DataError: As for `labels_of`, no admission has a label, or a binary task has one class or more than two.
    """
    labels = labels_of(task, request)
    steps = _steps(task, labels, request.outcomes)
    frame = _in_order(labels)
    classes = list(task.classes)
    if task.multilabel:
        classes = sorted({name for names in frame["label"] for name in names})
    elif isinstance(task, OwnTask):
        classes = list(task.classes) or ordered_classes(task, sorted(set(frame["label"])))
        check_binary_classes(task, len(classes), f"labels of {task.name}")
        frame["label"] = frame["label"].map({name: number for number, name in enumerate(classes)})
    schema = pa.schema([*KEYS, ("label", pa.list_(pa.string()) if task.multilabel else pa.int64())])
    with parquet_writer(output, schema) as writer:
        writer.write_table(pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False))
    write_json(classes_output, classes)
    write_json(attrition_output, steps.steps)
    return steps.steps


def _steps(task: Task, labels: Labels, outcomes: Outcomes) -> Attrition:
    """Steps to the labels, from the rows of the tables or, where a task counts none, from the admissions."""
    steps = Attrition([*labels.steps.steps])
    if not steps.steps:
        admissions = steps.record("in the table of admissions", outcomes.admissions())
        for step, without_label in labels.dropped.items():
            admissions = steps.record(step, admissions[~admissions["hadm_id"].isin(without_label)])
    if task.labelled_step and not task.is_own:
        steps.record(task.labelled_step, labels.frame)
    return steps
