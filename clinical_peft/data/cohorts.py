"""Labelled cohorts: admission notes, their labels and their splits."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.consistency import check_same_patient
from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.label_spaces import label_space
from clinical_peft.data.labelling import LabelRequest, Labels, labels_of
from clinical_peft.data.note_table import ROW_GROUP_ROWS, parquet_writer
from clinical_peft.data.outcomes import Outcomes
from clinical_peft.data.splits import assign_splits
from clinical_peft.data.stated_outcomes import states_outcome
from clinical_peft.data.texts import Edit, Texts
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.files import write_json
from clinical_peft.recipes.switches import switch_on
from clinical_peft.tasks import OwnTask, Task
from clinical_peft.tasks.death_phrases import without_death_phrases

PMV_SPLITS = ("derived-random", "core-patient", "beep")
OF_LISTS, OF_YEARS = "of a patient in the split lists", "of a patient whose years are known"
UNKNOWN_CODES = "codes that are not in the label space"


def build_cohort(
    task: Task,
    *,
    admission_notes: Path,
    outcomes: Outcomes,
    splits: Literal["hash"] | Path | Mapping[int, str],
    salt: str,
    pmv_split: str,
    switches: Mapping[str, bool],
    output: Path,
    classes_output: Path,
    attrition_output: Path,
    drop_stated_outcomes: bool = False,
) -> list[dict[str, object]]:
    """Write the cohort of a task, its label space and its attrition.

    Args:
        task: A built-in task, or an own one whose labels stand in a file.
        admission_notes: What `build_admission_notes` wrote.
        outcomes: The database that the notes are of.
        splits: ``hash``; the folder of published lists, which also drop the patients that they do not name; or the
            split of each patient, which does so too.
        salt: What the hash split and the control task's labels depend on.
        pmv_split: For pmv only. ``core-patient``: as the other tasks; ``derived-random``: by admission, the source's
            way; ``beep``: members, labels and split of BEEP's file, which ``outcomes`` has. In the last two a
            patient can stand in two splits.
        switches: True means as the original: los_rounded, negative_stays_kept, procedure_codes_as_integers,
            malformed_codes_kept, label_space_whole_table, death_phrases_original.
        output: Parquet file: hadm_id, subject_id, split, text, label; ordered by hadm_id.
        classes_output: JSON list, the ordered label space.
        attrition_output: JSON list of steps, each with the rows and patients left.
        drop_stated_outcomes: Drop admissions whose note states the outcome (`clinical_peft.data.stated_outcomes`).

    Returns:
        The steps of ``attrition_output``.

    Raises:
        ConfigError: ``pmv_split`` or a switch is unknown or missing, or BEEP's file is.
        DataError: A table is missing, malformed, or contradicts itself or another; the cohort, a split, or a class
            of a binary task's training split is empty; a split has no code of a multilabel task's label space.
    """
    if pmv_split not in PMV_SPLITS:
        raise ConfigError(f"data.pmv_split: expected one of {', '.join(PMV_SPLITS)}, found {pmv_split}")
    attrition = Attrition.from_metadata(pq.read_metadata(admission_notes).metadata)
    texts = Texts(admission_notes, edit=_death_filter(task, switches))
    labels = labels_of(task, LabelRequest(outcomes=outcomes, switches=switches, salt=salt, split=pmv_split))
    if labels.begin_cohort:
        attrition = labels.steps
    frame = _labelled(task, texts, labels, attrition)

    if drop_stated_outcomes:
        silent = [text is not None and not states_outcome(task, text) for text in texts.read(frame)]
        frame = attrition.record("without a stated outcome", frame[silent].reset_index(drop=True))
    frame["split"] = assign_splits(frame["subject_id"], splits=splits, salt=salt)
    frame = frame[frame["split"].notna()]
    if splits != "hash":
        attrition.record(OF_LISTS if isinstance(splits, Path) else OF_YEARS, frame)
    if labels.split_of is not None:
        frame = frame.assign(split=frame["hadm_id"].map(labels.split_of))
    frame = frame.sort_values("hadm_id", ignore_index=True)
    _check_splits(task.name, frame)

    if isinstance(task, OwnTask):
        frame, classes = _in_own_space(task, frame, attrition)
    else:
        classes = _label_space(task, frame, outcomes, switches)
        frame = _in_known_space(task, frame, set(classes), attrition)
    _write(output, frame, texts, task)
    write_json(classes_output, classes)
    write_json(attrition_output, attrition.steps)
    return attrition.steps


def _labelled(kind: Task, texts: Texts, labels: Labels, attrition: Attrition) -> pd.DataFrame:
    """The notes of the admissions that have a label, with it, without their texts."""
    notes = texts.others()
    if labels.begin_cohort:
        notes = attrition.record("with an admission note", _label(kind.name, notes, labels.frame))
    if kind.drops_death_statements:
        notes = attrition.record("without a stated death", notes[[text is not None for text in texts.read(notes)]])
    if labels.begin_cohort:
        return notes
    for step, admissions in labels.dropped.items():
        notes = attrition.record(step, notes[~notes["hadm_id"].isin(admissions)])
    frame = _label(kind.name, notes, labels.frame)
    if kind.labelled_step:
        attrition.record(kind.labelled_step, frame, joined=labels.steps)
    return frame


def _death_filter(kind: Task, switches: Mapping[str, bool]) -> Edit | None:
    """Return a function that removes death statements from a note; None for tasks that keep them."""
    if not kind.drops_death_statements:
        return None
    return partial(without_death_phrases, original=switch_on(switches, "death_phrases_original"))


def _label(task: str, notes: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    check_same_patient(notes, labels, task)
    return notes.merge(labels[["hadm_id", "label"]], on="hadm_id", how="inner")


def _check_splits(task: str, frame: pd.DataFrame) -> None:
    counts = frame["split"].value_counts()
    empty = [split for split in SPLITS if split not in counts]
    if empty:
        found = ", ".join(f"{split} {count}" for split, count in counts.items())
        raise DataError(
            f"cohort {task}: expected admissions in every split, found none in {', '.join(empty)} ({found}); "
            "give more patients or other split lists"
        )


def _check_classes(kind: Task, frame: pd.DataFrame) -> None:
    if not kind.binary:
        return
    present = set(frame["label"][frame["split"] == "train"])
    for label, name in enumerate(kind.classes):
        if label not in present:
            raise DataError(
                f"cohort {kind.name}: expected both classes in the training split, found no admission with label "
                f"{label} ({name}); give more patients or other split lists"
            )


def _label_space(kind: Task, frame: pd.DataFrame, outcomes: Outcomes, switches: Mapping[str, bool]) -> list[str]:
    """The ordered classes: fixed, or the codes of the whole table in its order, or of the training split, sorted."""
    if not kind.multilabel:
        return list(kind.classes)
    if switch_on(switches, "label_space_whole_table"):
        return [str(code) for code in outcomes.codes(kind.name, switches, Attrition())["code"].unique()]
    return sorted({code for codes in frame["label"][frame["split"] == "train"] for code in codes})


def _in_known_space(task: Task, frame: pd.DataFrame, classes: set[str], attrition: Attrition) -> pd.DataFrame:
    """The rows of a built-in task, a multilabel one's with codes of the label space alone."""
    if task.multilabel:
        return _with_known_codes(task.name, frame, classes, attrition)
    _check_classes(task, frame)
    return frame


def _in_own_space(task: OwnTask, frame: pd.DataFrame, attrition: Attrition) -> tuple[pd.DataFrame, list[str]]:
    """The rows of an own task that have a label of its label space, with it; and the ordered classes."""
    space = label_space(task, list(frame["label"]), list(frame["split"]))
    frame = frame.iloc[space.kept].assign(label=pd.Series(space.labels.to_pylist(), dtype=object).to_numpy())
    return attrition.record(space.step, frame.reset_index(drop=True), left_out=space.left_out), space.classes


def _with_known_codes(task: str, frame: pd.DataFrame, classes: set[str], attrition: Attrition) -> pd.DataFrame:
    known = pd.Series([[code for code in codes if code in classes] for codes in frame["label"]], index=frame.index)
    unknown = int(frame["label"].str.len().sum() - known.str.len().sum())
    frame = frame.assign(label=known)
    for split in SPLITS:
        labels = known[frame["split"] == split]
        if not labels.str.len().any():
            raise DataError(
                f"cohort {task}: expected codes of the label space in every split, found none in the {split} split "
                f"({len(labels)} admissions, all of whose codes the training split lacks); give more patients or other "
                "split lists"
            )
    return attrition.record("labelled by codes of the label space", frame, left_out={UNKNOWN_CODES: unknown})


def _write(output: Path, frame: pd.DataFrame, texts: Texts, kind: Task) -> None:
    schema = pa.schema(
        [
            ("hadm_id", pa.int64()),
            ("subject_id", pa.int64()),
            ("split", pa.string()),
            ("text", pa.string()),
            ("label", pa.list_(pa.string()) if kind.multilabel else pa.int64()),
        ]
    )
    with parquet_writer(output, schema) as writer:
        # In row groups, so that a reader can take a part of them.
        for part in texts.add_to(frame, rows=ROW_GROUP_ROWS):
            writer.write_table(pa.Table.from_pandas(part[schema.names], schema=schema, preserve_index=False))
