"""Reading and checking predictions files.

Metrics come from the logits: the stored scores are float32, where a confident model's tie at 1. They are checked
against the logits. A file without logits is read, too: log-odds then come from the scores, and scores of several labels
that are stored as 1 tie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.hash_split import HELD_OUT_SPLITS
from clinical_peft.data.patients import distinct_ids, id_array, patient_keys, source_of
from clinical_peft.errors import DataError
from clinical_peft.files import read_json
from clinical_peft.models.scores import Link, default_link, log_odds, sigmoid
from clinical_peft.tasks import TaskType

COLUMNS = ("hadm_id", "subject_id", "split", "label", "scores")
LOGITS = "logits"
# How far stored scores may be from summing to 1, and from the probabilities of their logits.
SUM_TOLERANCE = SCORE_TOLERANCE = 1e-3
# Scores that were fitted to outcomes reach 0 and 1 themselves, whose log-odds are infinite: they count as this far off.
CLOSEST_TO_CERTAIN = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Predictions:
    """One split's predictions on one task: N admissions, K classes.

    Attributes:
        type: Kind of label.
        classes: Ordered label space of length K.
        hadm_id: Admissions, of shape (N,): int64, or strings where a study's own table has strings.
        subject_id: Patients, likewise.
        target: True where an admission belongs to a class, bool of shape (N, K); one per row unless multilabel.
        scores: Probabilities, float64 of shape (N, K); rows of a single-label task sum to one.
        log_odds: Log-odds of every class against the rest, finite float64 of shape (N, K). They order the rows as the
            scores do, and still distinguish what rounds to 0 or 1 as a probability.
        logits: Logits, float32 of shape (N, K).
        labels_outside_classes: Labels of a multilabel task that the label space does not hold; they cannot be scored.
        source: The own table of the study that the ids stand in; None for MIMIC.
        cutoff: Decision threshold that was chosen for these rows, in log-odds; None to predict the highest score.
    """

    type: TaskType
    classes: tuple[Any, ...]
    hadm_id: np.ndarray
    subject_id: np.ndarray
    target: np.ndarray
    scores: np.ndarray
    log_odds: np.ndarray
    logits: np.ndarray
    labels_outside_classes: int = 0
    source: str | None = None
    cutoff: float | None = None

    @classmethod
    def of_logits(cls, logits: np.ndarray, *, link: Link, **fields: Any) -> "Predictions":
        """Predictions scored by their logits.

        Args:
            logits: Logits, float32 of shape (N, K).
            link: How they become probabilities.
            fields: The other attributes.
        """
        odds = log_odds(logits, link)
        return cls(logits=logits, log_odds=odds, scores=sigmoid(odds), **fields)

    def __len__(self) -> int:
        return len(self.hadm_id)

    @property
    def patients(self) -> int:
        """Number of distinct patients."""
        return len(np.unique(self.subject_id))

    @property
    def patient_keys(self) -> np.ndarray:
        """Keys of the patients over all sources, uint64 of shape (N,); see `clinical_peft.data.patients`."""
        return patient_keys(self.subject_id, self.source)

    @property
    def admissions(self) -> np.ndarray:
        """Ids of the admissions over all sources, of shape (N,): int64, or strings for an own table."""
        return np.asarray(distinct_ids(self.hadm_id.tolist(), self.source))

    def with_scores(self, scores: np.ndarray) -> "Predictions":
        """The same rows with other probabilities of shape (N, K), kept away from 0 and 1 in their log-odds."""
        scores = np.asarray(scores, dtype=np.float64)
        clipped = np.clip(scores, CLOSEST_TO_CERTAIN, 1 - CLOSEST_TO_CERTAIN)
        return replace(self, scores=scores, log_odds=np.log(clipped) - np.log1p(-clipped))

    def scored_by(self, link: Link, *, temperature: float = 1.0) -> "Predictions":
        """The same rows with the probabilities of their logits by some link, at some temperature."""
        odds = log_odds(self.logits.astype(np.float64) / temperature, link)
        return replace(self, scores=sigmoid(odds), log_odds=odds)

    def of_rows(self, rows: np.ndarray) -> "Predictions":
        """Some of the rows, by a mask or by their numbers."""
        fields = ("hadm_id", "subject_id", "target", "scores", "log_odds", "logits")
        return replace(self, **{name: getattr(self, name)[rows] for name in fields})

    def of_classes(self, columns: np.ndarray) -> "Predictions":
        """Some of the labels of a multilabel task, by a mask or by their numbers."""
        fields = ("target", "scores", "log_odds", "logits")
        return replace(
            self,
            classes=tuple(np.asarray(self.classes, dtype=object)[columns]),
            **{name: getattr(self, name)[:, columns] for name in fields},
        )


def read_classes(path: Path) -> tuple[Any, ...]:
    """Read an ordered label space.

    Raises:
        DataError: The file is missing or holds no list of at least two distinct classes.
    """
    classes = read_json(path)
    if not isinstance(classes, list) or len(classes) < 2 or len(set(classes)) != len(classes):
        raise DataError(f"{path}: expected a list of at least two distinct classes")
    return tuple(classes)


def read_predictions(
    path: Path, classes: Sequence[Any], kind: TaskType, *, link: Link | None = None, patients_apart: bool = True
) -> dict[str, Predictions]:
    """Read a predictions file into its validation and its test split, each ordered by hadm_id.

    Args:
        path: Parquet file with the columns hadm_id, subject_id, split, label, scores and, except in files that other
            programs wrote, logits.
        classes: Ordered label space of length K.
        kind: Kind of label.
        link: How the run's logits become scores, see `clinical_peft.models.scores.link_of`; None for `default_link`.
        patients_apart: Refuse a patient who is in both splits. False where the study splits the task by admission, and
            where the file is one that has been scored, and so been checked.

    Returns:
        The splits `validation` and `test`.

    Raises:
        DataError: A column or a split is missing, a row has no admission or patient, an admission stands twice, a
            patient is in both splits, a label is unknown, or a score is not a finite probability, or not that of its
            logits.
    """
    link = link or default_link(kind)
    table = _read_table(Path(path))
    splits = np.asarray(table.column("split").to_pylist())
    found = {}
    for split in HELD_OUT_SPLITS:
        rows = np.flatnonzero(splits == split)
        if len(rows) == 0:
            raise DataError(f"{path}: expected rows of the split {split!r}, found none; predict that split again")
        found[split] = _split(table.take(rows).combine_chunks(), tuple(classes), kind, link, f"{path}, split {split}")
    shared = len(np.intersect1d(found["validation"].subject_id, found["test"].subject_id))
    if patients_apart and shared:
        raise DataError(
            f"{path}: expected patients in one split, found {shared:,} in validation and test; build the cohort again "
            "with a split by patient, and predict it again"
        )
    return found


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"{path}: expected a predictions file, found none; run the model on this task first")
    found = pq.read_schema(path).names
    if missing := set(COLUMNS) - set(found):
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}; missing: {', '.join(sorted(missing))}")
    columns = [name for name in (*COLUMNS, LOGITS) if name in found]
    table = pq.read_table(path, columns=columns).sort_by("hadm_id")
    for name in ("hadm_id", "subject_id"):
        if empty := table.column(name).null_count:
            raise DataError(
                f"{path}, column {name}: expected an id in every row, found {empty:,} rows without one; predict "
                "the cohort again"
            )
    ids = id_array(table.column("hadm_id"))
    repeated = np.flatnonzero(ids[1:] == ids[:-1])
    if len(repeated):
        raise DataError(
            f"{path}: expected every admission once, found {len(repeated)} repeated hadm_id (first at row "
            f"{repeated[0] + 1} by hadm_id); predictions of several processes were probably gathered twice"
        )
    return table


def _split(table: pa.Table, classes: tuple[Any, ...], kind: TaskType, link: Link, place: str) -> Predictions:
    scores = _matrix(table.column("scores"), len(classes), f"{place}, column scores")
    if scores.min() < 0 or scores.max() > 1:
        raise DataError(f"{place}: expected scores between 0 and 1, found {scores.min():g} to {scores.max():g}")
    target, outside = target_of(table.column("label"), classes, kind, place)
    if kind != "multilabel":
        sums = scores.sum(axis=1)
        if np.abs(sums - 1).max() > SUM_TOLERANCE:
            row = int(np.abs(sums - 1).argmax())
            raise DataError(f"{place}, row {row}: expected class scores that sum to 1, found {sums[row]:g}")
    if LOGITS in table.column_names and table.column(LOGITS).null_count < len(table):
        logits = _matrix(table.column(LOGITS), len(classes), f"{place}, column {LOGITS}")
    else:
        logits = _logits_of_scores(scores, kind, link, place)
    data = Predictions.of_logits(
        logits,
        link=link,
        type=kind,
        classes=classes,
        hadm_id=id_array(table.column("hadm_id")),
        subject_id=id_array(table.column("subject_id")),
        target=target,
        labels_outside_classes=outside,
        source=source_of(table.schema),
    )
    distance = np.abs(data.scores - scores).max(axis=1)
    if distance.max() > SCORE_TOLERANCE:
        raise DataError(
            f"{place}, row {distance.argmax()}: expected scores that are the {link} of the logits, found a distance of "
            f"{distance.max():g}; predict the cohort again, or drop the column {LOGITS} to score the scores themselves"
        )
    return data


def _logits_of_scores(scores: np.ndarray, kind: TaskType, link: Link, place: str) -> np.ndarray:
    """Logits that have these scores, finite float64 of shape (N, K).

    Raises:
        DataError: The scores are a softmax over several labels, which many logits have.
    """
    if kind == "multilabel" and link == "softmax":
        raise DataError(
            f"{place}: expected a column {LOGITS}, found none; scores that are a softmax over labels do not say what "
            "each label's own probability is: predict the cohort again"
        )
    smallest = float(np.finfo(np.float32).smallest_subnormal)
    likely = np.maximum(scores.astype(np.float64), smallest)
    if link == "softmax":
        return np.log(likely)
    # No float32 lies between this and 1.
    return np.log(likely) - np.log(np.maximum(1 - likely, np.finfo(np.float32).epsneg / 2))


def target_of(labels: pa.ChunkedArray, classes: tuple[Any, ...], kind: TaskType, place: str) -> tuple[np.ndarray, int]:
    """Turn a column of labels into an indicator matrix.

    Args:
        labels: Column `label` of N rows.
        classes: Ordered label space of length K.
        kind: Kind of label.
        place: Where the column is, for the message of an error.

    Returns:
        Bool of shape (N, K), and the number of labels of a multilabel task that are not in the label space.

    Raises:
        DataError: A label is unknown, or a row of a multilabel task has no list.
    """
    if kind == "multilabel":
        return _sets(labels, classes, place)
    return _single(labels, classes, place), 0


def _matrix(column: pa.ChunkedArray, width: int, place: str) -> np.ndarray:
    lists = column.combine_chunks()
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(lengths != width)
    if len(wrong):
        raise DataError(f"{place}, row {wrong[0]}: expected {width} values, one per class, found {lengths[wrong[0]]}")
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise DataError(f"{place}, row {row}: expected finite values, found NaN or infinity; the model has diverged")
    return values


def _single(column: pa.ChunkedArray, classes: tuple[Any, ...], place: str) -> np.ndarray:
    labels = column.to_numpy()
    # Integer labels of a label space of names are its indices.
    space = np.asarray(classes if all(isinstance(name, int) for name in classes) else range(len(classes)))
    target = labels[:, None] == space
    unknown = np.flatnonzero(~target.any(axis=1))
    if len(unknown):
        raise DataError(
            f"{place}, row {unknown[0]}: expected one of the {len(classes)} classes as label, found another"
        )
    return target


def _sets(column: pa.ChunkedArray, classes: tuple[Any, ...], place: str) -> tuple[np.ndarray, int]:
    lists = column.combine_chunks()
    if lists.null_count:
        raise DataError(f"{place}: expected a list of labels in every row, found {lists.null_count} rows without one")
    known = pc.index_in(pc.list_flatten(lists), value_set=pa.array(classes, pa.string()))
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    inside = pc.is_valid(known).to_numpy(zero_copy_only=False)
    target = np.zeros((len(lists), len(classes)), dtype=bool)
    target[rows[inside], pc.drop_null(known).to_numpy(zero_copy_only=False)] = True
    return target, int((~inside).sum())
