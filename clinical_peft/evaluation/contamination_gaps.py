"""What pretraining on the notes of test patients is worth: two comparisons of AUROC, from predictions.

Layout of contamination.json: level, resamples, smallest_cell, `membership` {source, approximate} of the CareVue subset;
    `carevue`, by task: task, unadapted, adapted (models), seeds, classes (which are compared: those that both groups
        define), `groups` {inside, outside} of {admissions, patients, positives (rows of the second class of a binary
        task, else null), unadapted, adapted (AUROC), gain (adapted minus unadapted)}, difference (gain outside minus
        gain inside), undefined (null, or why there are no figures);
    `disjoint`, by task: task, matched, disjoint (models), seeds, classes, admissions, patients, positives,
        auroc {matched, disjoint}, difference (matched minus disjoint), undefined.
A gain or difference is {value, interval, standard_error, p_value, undefined_resamples}, an AUROC {value, interval}.
Every figure is the mean over seeds; intervals are percentiles over resamples of the patients, p-values those of a
normal difference with the resamples' standard error. Counts below `SMALLEST_CELL` are null, with the figures of such
a group, and the counts of the other group, which would give them away.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.errors import DataError
from clinical_peft.evaluation.areas import area_figures, scored_classes
from clinical_peft.evaluation.calibrate import read_run
from clinical_peft.evaluation.delong import normal_p_value
from clinical_peft.evaluation.predictions import Predictions
from clinical_peft.evaluation.resampling import patient_weights, percentile_interval, undefined
from clinical_peft.evaluation.subgroup_gaps import SMALLEST_CELL, TOO_FEW
from clinical_peft.files import read_json, write_json

INSIDE, OUTSIDE = "inside", "outside"
NO_CLASS = "no class has both labels inside and outside the subset"
NO_CLASS_AT_ALL = "no class has both labels among the test admissions"

Runs = Mapping[tuple[str, str], Sequence[Predictions]]
"""Test predictions of each seed, by model and task."""


@dataclass(frozen=True)
class ComparedModels:
    """The models of the two comparisons, by their names in the config.

    Attributes:
        unadapted: Without a clinical adapter.
        adapted: Its adapter was pretrained on MIMIC-IV.
        matched: Its adapter was pretrained on the unfiltered arm.
        disjoint: Its adapter was pretrained on the arm without held-out patients.
    """

    unadapted: str
    adapted: str
    matched: str
    disjoint: str


def measure_contamination(
    metrics: Sequence[Path],
    predictions: Sequence[Path],
    classes: Mapping[str, Path],
    membership: Path,
    source: Path,
    *,
    models: ComparedModels,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
) -> dict[str, Any]:
    """Compare gains inside and outside the CareVue subset, and the two arms of mode ``disjoint``.

    Args:
        metrics: Metrics files of all runs of the compared models; those of other models are passed over.
        predictions: Predictions files in the same order.
        classes: Label space of each task, a JSON list.
        membership: cohorts/carevue.parquet: subject_id, in_subset.
        source: cohorts/carevue.json, which says where membership comes from.
        models: Which models are compared.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples.
        output: JSON file to write.
        level: Coverage of the intervals.

    Returns:
        What the file holds; the module's description says what that is.

    Raises:
        DataError: A file is malformed or missing, a model has no run on a task, the seeds or the admissions of two
            models differ, or membership of a test patient is unknown.
    """
    runs: dict[tuple[str, str], list[Predictions]] = defaultdict(list)
    wanted = (models.unadapted, models.adapted, models.matched, models.disjoint)
    for place, path in zip(metrics, predictions, strict=True):
        run, splits = read_run(place, path, classes)
        if run["model"] in wanted:
            runs[run["model"], run["task"]].append(splits["test"])
    subset = read_membership(membership)
    draw: dict[str, Any] = {"resamples": resamples, "bootstrap_seed": bootstrap_seed, "level": level}
    carevue, disjoint = [], []
    for task in sorted({task for _, task in runs}):
        unadapted, adapted = _pair(runs, models.unadapted, models.adapted, task)
        inside = is_inside(unadapted[0].subject_id, subset, str(membership))
        names = {"task": task, "unadapted": models.unadapted, "adapted": models.adapted}
        carevue.append(names | compare_gains(unadapted, adapted, inside, **draw))
        without, matched = _pair(runs, models.disjoint, models.matched, task)
        names = {"task": task, "matched": models.matched, "disjoint": models.disjoint}
        disjoint.append(names | compare_arms(without, matched, **draw))
    record = read_json(source)
    result = {
        "level": level,
        "resamples": resamples,
        "smallest_cell": SMALLEST_CELL,
        "membership": {"source": record["source"], "approximate": record["approximate"]},
        "carevue": carevue,
        "disjoint": disjoint,
    }
    write_json(output, result)
    return result


def read_membership(path: Path) -> dict[int, bool]:
    """Read which test patients belong to the CareVue subset.

    Raises:
        DataError: The file is missing or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected patients of the CareVue subset, found none; build the file again") from None
    missing = {"subject_id", "in_subset"} - set(table.column_names)
    if missing:
        raise DataError(f"{path}: expected the columns subject_id and in_subset; missing: {', '.join(sorted(missing))}")
    return dict(zip(table["subject_id"].to_pylist(), table["in_subset"].to_pylist(), strict=True))


def is_inside(subject_id: np.ndarray, subset: Mapping[int, bool], place: str) -> np.ndarray:
    """Tell which rows are of patients inside the subset, bool of shape (N,).

    Args:
        subject_id: Patient of each row, int64 of shape (N,).
        subset: Membership by patient.
        place: Where membership was read, for the message of an error.

    Raises:
        DataError: Membership of a patient is unknown.
    """
    unknown = sum(int(subject) not in subset for subject in np.unique(subject_id))
    if unknown:
        raise DataError(
            f"{place}: expected every test patient, found {unknown} missing; the predictions and this file are of "
            "different cohorts: build both again"
        )
    return np.array([subset[int(subject)] for subject in subject_id], dtype=bool)


def compare_gains(
    unadapted: Sequence[Predictions],
    adapted: Sequence[Predictions],
    inside: np.ndarray,
    *,
    resamples: int,
    bootstrap_seed: int,
    level: float = 0.95,
) -> dict[str, Any]:
    """Compare what adaptation gains outside the CareVue subset and inside it.

    Different patients, so no paired comparison of the groups; the two models are paired within each.

    Args:
        unadapted: Test predictions of N admissions by the model without a clinical adapter, one per seed.
        adapted: The same admissions by the model with the adapter.
        inside: Whether the patient belongs to the subset, bool of shape (N,).
        resamples: Bootstrap resamples of the patients.
        bootstrap_seed: Their seed.
        level: Coverage of the intervals.

    Returns:
        seeds, classes, groups, difference and undefined, as the module's description has them.
    """
    example = unadapted[0]
    rows = {INSIDE: np.flatnonzero(inside), OUTSIDE: np.flatnonzero(~inside)}
    shared = np.logical_and(*(_compared_classes(example.of_rows(place)) for place in rows.values()))
    counts = {name: _counts(example.of_rows(place)) for name, place in rows.items()}
    why = _too_few(counts) or (None if _defined(example, shared) else NO_CLASS)
    if _too_few(counts):
        counts = {name: dict.fromkeys(count) for name, count in counts.items()}
    result: dict[str, Any] = {
        "seeds": len(unadapted),
        "classes": int(shared.sum()),
        "groups": {name: count | dict.fromkeys(("unadapted", "adapted", "gain")) for name, count in counts.items()},
        "difference": None,
        "undefined": why,
    }
    if why is not None:
        return result
    weights = _with_estimate(patient_weights(example.subject_id, resamples=resamples, seed=bootstrap_seed))
    gains = {}
    for name, place in rows.items():
        before, after = (
            np.mean([_areas(one.of_rows(place), shared, weights[place]) for one in runs], axis=0)
            for runs in (unadapted, adapted)
        )
        gains[name] = after - before
        result["groups"][name] |= {
            "unadapted": _figure(before, level),
            "adapted": _figure(after, level),
            "gain": _tested(gains[name], level),
        }
    result["difference"] = _tested(gains[OUTSIDE] - gains[INSIDE], level)
    return result


def compare_arms(
    disjoint: Sequence[Predictions],
    matched: Sequence[Predictions],
    *,
    resamples: int,
    bootstrap_seed: int,
    level: float = 0.95,
) -> dict[str, Any]:
    """Compare the arm whose pretraining was not filtered with the one without held-out patients, on the same patients.

    Args:
        disjoint: Test predictions after pretraining without held-out patients, one per seed.
        matched: The same admissions after pretraining on as many notes that were not filtered.
        resamples: Bootstrap resamples of the patients.
        bootstrap_seed: Their seed.
        level: Coverage of the intervals.

    Returns:
        seeds, classes, admissions, patients, positives, auroc, difference and undefined, as the module's description
        has them.
    """
    example = disjoint[0]
    compared = _compared_classes(example)
    counts = _counts(example)
    few = _too_few({"all": counts})
    why = few or (None if _defined(example, compared) else NO_CLASS_AT_ALL)
    result: dict[str, Any] = {
        "seeds": len(disjoint),
        "classes": int(compared.sum()),
        **(dict.fromkeys(counts) if few else counts),
        "auroc": {"matched": None, "disjoint": None},
        "difference": None,
        "undefined": why,
    }
    if why is not None:
        return result
    weights = _with_estimate(patient_weights(example.subject_id, resamples=resamples, seed=bootstrap_seed))
    without, unfiltered = (
        np.mean([_areas(one, compared, weights) for one in runs], axis=0) for runs in (disjoint, matched)
    )
    result["auroc"] = {"matched": _figure(unfiltered, level), "disjoint": _figure(without, level)}
    result["difference"] = _tested(unfiltered - without, level)
    return result


def _pair(runs: Runs, first: str, second: str, task: str) -> tuple[Sequence[Predictions], Sequence[Predictions]]:
    """Runs of two models on a task, which have the same seeds and admissions."""
    for model in (first, second):
        if not runs.get((model, task)):
            raise DataError(f"{model}: expected runs on {task}, found none; add the model and the task to the matrix")
    pair = runs[first, task], runs[second, task]
    if len(pair[0]) != len(pair[1]):
        raise DataError(f"{first}, {second}: expected as many seeds of both on {task}; run both again")
    ids = pair[0][0].hadm_id
    if any(not np.array_equal(ids, one.hadm_id) for part in pair for one in part):
        raise DataError(f"{first}, {second}: expected the same test admissions on {task}; run both again")
    return pair


def _with_estimate(weights: np.ndarray) -> np.ndarray:
    """Weights of shape (N, 1 + R): every row once, then the resamples."""
    return np.concatenate([np.ones((len(weights), 1), np.uint8), weights], axis=1)


def _compared_classes(data: Predictions) -> np.ndarray:
    """Classes that have a figure, bool of shape (K,): with both labels; of a multiclass task, those that occur."""
    return np.asarray(data.target.any(axis=0)) if data.type == "multiclass" else scored_classes(data.target)


def _defined(data: Predictions, compared: np.ndarray) -> bool:
    return int(compared.sum()) >= (2 if data.type == "multiclass" else 1)


def _areas(data: Predictions, compared: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC over some classes, float64 of shape (1 + R,), NaN where a resample leaves it undefined."""
    if data.type == "multilabel":
        return area_figures(data.of_classes(compared), weights)["auroc"]
    rows = np.flatnonzero(data.target[:, compared].any(axis=1))
    return area_figures(data.of_rows(rows), weights[rows])["auroc"]


def _counts(data: Predictions) -> dict[str, int | None]:
    positives = int(data.target[:, 1].sum()) if data.type == "binary" else None
    return {"admissions": len(data), "patients": data.patients, "positives": positives}


def _too_few(counts: Mapping[str, Mapping[str, int | None]]) -> str | None:
    """Why counts cannot be shown, or None."""
    for count in counts.values():
        admissions, patients, positives = (count[name] or 0 for name in ("admissions", "patients", "positives"))
        if min(admissions, patients) < SMALLEST_CELL:
            return TOO_FEW
        if count["positives"] is not None and min(positives, admissions - positives) < SMALLEST_CELL:
            return f"{TOO_FEW} positives or negatives"
    return None


def _figure(values: np.ndarray, level: float) -> dict[str, Any]:
    return {"value": float(values[0]), "interval": percentile_interval(values[1:], level)}


def _tested(values: np.ndarray, level: float) -> dict[str, Any]:
    """A difference with what its resamples say of it."""
    replicates = values[1:]
    known = replicates[np.isfinite(replicates)]
    error = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return _figure(values, level) | {
        "standard_error": error,
        "p_value": None if error is None else normal_p_value(float(values[0]), error),
        "undefined_resamples": undefined(replicates),
    }
