"""A study's predictions -> subgroups.json: figures of groups of patients, and their gaps to a reference group.

Layout: level, resamples, smallest_cell;
    `cells`, by task, attribute and group: task, attribute, group, reference (whether the others are compared with it),
        admissions, patients, positives (rows of the second class of a binary task), each null where suppressed,
        suppressed (null, or why);
    `gaps`, by model, task, attribute and group: model, task, attribute, group, reference (the group compared with),
        protocol, cohort_sha256, seeds, classes (which the compared AUROCs are of), classes_with_few (those among them
        with fewer than `SMALLEST_CELL` positives or negatives in the group or in the reference), `figures` and `gaps`,
        each {auroc, brier, calibration_intercept} of {value, interval} (gaps: group minus reference, AUROC over the
        classes, of a multiclass task the pairs of classes, that both define), undefined (resamples without the AUROC
        gap), p_value and p_holm of the AUROC gap (adjusted over the whole list), significant, suppressed (null, or why
        figures and gaps are null).
The reference is an attribute's largest group in the task's test split. A figure is the mean over seeds, its interval a
percentile bootstrap over patients, the same ones for every group. Counts below `SMALLEST_CELL`, and figures of so few
admissions, patients, positives or negatives (of several classes: in every class), are suppressed; where a single count
of an attribute is, so is the next smallest, which would give it away.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.column_names import describe_names
from clinical_peft.errors import DataError
from clinical_peft.evaluation.areas import AreasByClass, areas_by_class, over_shared
from clinical_peft.evaluation.calibration import calibration_figures
from clinical_peft.evaluation.comparisons import correct_over_table
from clinical_peft.evaluation.delong import normal_p_value
from clinical_peft.evaluation.predictions import Predictions
from clinical_peft.evaluation.resampling import patient_weights, percentile_interval, undefined
from clinical_peft.evaluation.runs import Run, read_runs
from clinical_peft.evaluation.weighting import Weighting, kernel_pays
from clinical_peft.files import write_json

SMALLEST_CELL = 10
NOT_RECORDED = "not recorded"
FIGURES = ("auroc", "brier", "calibration_intercept")
TOO_FEW = f"fewer than {SMALLEST_CELL}"
COMPLEMENTARY = "would give away another count"
TOO_FEW_IN_EVERY_CLASS = f"{TOO_FEW} positives or negatives in every class"
NO_REFERENCE = f"reference group with {TOO_FEW}"


@dataclass(frozen=True)
class Group:
    """The test admissions of a task with one value of an attribute, int rows of shape (n,)."""

    attribute: str
    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class Scored:
    """Figures of one group by one run.

    Attributes:
        areas: AUROC by class or pair of classes, float64 of shape (1 + R,), the estimate first.
        others: The other figures, of the same shape.
        few: Columns of the classes with fewer than `SMALLEST_CELL` positives or negatives.
    """

    areas: AreasByClass
    others: dict[str, np.ndarray]
    few: frozenset[int]


def compare_subgroups(
    metrics: Sequence[Path],
    predictions: Sequence[Path],
    classes: Mapping[str, Path],
    subgroups: Path | None,
    *,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
) -> dict[str, Any]:
    """Compare every model's figures between groups of patients.

    Args:
        metrics: Metrics files of all runs.
        predictions: Predictions files in the same order.
        classes: Label space of each task, a JSON list.
        subgroups: What `clinical_peft.data.subgroups.build_subgroups` wrote; needed when there are runs.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples.
        output: JSON file to write.
        level: Coverage of the intervals.

    Returns:
        What the file holds; the module's description says what that is.

    Raises:
        DataError: A file is malformed, an admission has no attributes, or runs may not stand in one table
            (`clinical_peft.evaluation.runs.check_comparable`).
    """
    table = _read_attributes(subgroups) if subgroups else pa.table({"hadm_id": pa.array([], pa.int64())})
    runs: dict[str, dict[str, list[Predictions]]] = defaultdict(lambda: defaultdict(list))
    first: dict[str, Run] = {}
    for run, splits in read_runs(metrics, predictions, classes):
        runs[run["task"]][run["model"]].append(splits["test"])
        first.setdefault(run["task"], run)
        example = next(iter(runs[run["task"]].values()))[0]
        if not np.array_equal(example.hadm_id, splits["test"].hadm_id):
            raise DataError(
                f"{run['model']}: {run['task']} was scored on other admissions than by another model; run both again"
            )
    cells: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    for task, models in sorted(runs.items()):
        example = next(iter(models.values()))[0]
        groups = _groups(table, example, str(subgroups))
        described = _cells(task, example, groups)
        weights = patient_weights(example.subject_id, resamples=resamples, seed=bootstrap_seed)
        compiled = _kernel_pays(models, resamples, len({group.attribute for group in groups}))
        for model, data in sorted(models.items()):
            scored = [_mean([_score(one, group, weights, compiled) for one in data]) for group in groups]
            stated = {name: first[task][name] for name in ("protocol", "cohort_sha256")}
            gaps += [row | stated for row in _gaps(model, task, described, scored, len(data), level)]
        cells += described
    correct_over_table(gaps, "p_value")
    result = {
        "level": level,
        "resamples": resamples,
        "smallest_cell": SMALLEST_CELL,
        "cells": [_printable(cell) for cell in cells],
        "gaps": gaps,
    }
    write_json(output, result)
    return result


def _read_attributes(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected the attributes of admissions, found none; build the file again") from None
    if "hadm_id" not in table.column_names:
        raise DataError(f"{path}: expected a column hadm_id, found {describe_names(table.column_names, ())}")
    return table


def _groups(table: pa.Table, data: Predictions, place_of: str) -> list[Group]:
    """Groups of a test split by every attribute, the largest of each first, those not recorded last."""
    ids = table["hadm_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids[order], data.hadm_id), len(ids) - 1)
    missing = int((ids[order][place] != data.hadm_id).sum()) if len(ids) else len(data)
    if missing:
        raise DataError(
            f"{place_of}: expected attributes of all {len(data):,} test admissions, found {missing} without; the "
            "predictions and this file are of different hospitals: build both again"
        )
    found = []
    for attribute in (name for name in table.column_names if name != "hadm_id"):
        values = np.array(table[attribute].to_pylist(), dtype=object)[order[place]]
        values = np.where(values == None, NOT_RECORDED, values)  # noqa: E711 (element by element)
        rows = {str(name): np.flatnonzero(values == name) for name in sorted(set(values))}
        ordered = sorted(rows, key=lambda name: (name == NOT_RECORDED, -len(rows[name]), name))
        found += [Group(attribute, name, rows[name]) for name in ordered]
    return found


def _cells(task: str, data: Predictions, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Counts of the groups, true ones, with what has to be suppressed."""
    cells: list[dict[str, Any]] = []
    for group in groups:
        target = data.target[group.rows]
        positives = int(target[:, 1].sum()) if data.type == "binary" else None
        counts = [len(group.rows), len(np.unique(data.subject_id[group.rows]))]
        small = min(counts) < SMALLEST_CELL
        few = positives is not None and min(positives, len(group.rows) - positives) < SMALLEST_CELL
        cells.append(
            {
                **{"task": task, "attribute": group.attribute, "group": group.name},
                "reference": group.name != NOT_RECORDED and all(cell["attribute"] != group.attribute for cell in cells),
                **{"admissions": counts[0], "patients": counts[1], "positives": positives},
                "suppressed": TOO_FEW if small else f"{TOO_FEW} positives or negatives" if few else None,
                "hidden": ("admissions", "patients", "positives") if small else ("positives",) if few else (),
            }
        )
    for attribute in {group.attribute for group in groups}:
        for count in ("admissions", "positives"):
            _hide_complement([cell for cell in cells if cell["attribute"] == attribute], count)
    return cells


def _hide_complement(cells: Sequence[dict[str, Any]], count: str) -> None:
    """Hide a second count where a single one is hidden, since the sum of all is known."""
    # A hidden zero veils no other count, and follows from the sum itself where nothing else is hidden.
    hidden = [cell[count] for cell in cells if count in cell["hidden"] and cell[count] is not None]
    shown = [cell for cell in cells if count not in cell["hidden"] and cell[count]]
    if hidden and sum(value > 0 for value in hidden) < 2 and shown:
        smallest = min(shown, key=lambda cell: (cell[count], cell["group"]))
        more = ("admissions", "patients") if count == "admissions" else (count,)
        smallest["hidden"] = (*smallest["hidden"], *more)


def _printable(cell: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: None if name in cell["hidden"] else value for name, value in cell.items() if name != "hidden"}
    if cell["hidden"] and cell["suppressed"] is None:
        shown["suppressed"] = COMPLEMENTARY
    return shown


def _kernel_pays(models: Mapping[str, Sequence[Predictions]], resamples: int, attributes: int) -> bool:
    positives = sum(int(data.target.sum()) for runs in models.values() for data in runs)
    rows = max(len(data) for runs in models.values() for data in runs)
    return kernel_pays(positives * attributes, rows, resamples)


def _score(data: Predictions, group: Group, weights: np.ndarray, compiled: bool) -> Scored | None:
    """A run's figures of a group, None if it is too small."""
    if len(group.rows) < SMALLEST_CELL:
        return None
    part = data.of_rows(group.rows)
    once = np.ones((len(part), 1), np.uint8)
    weighting = Weighting(np.concatenate([once, weights[group.rows]], axis=1), compiled=compiled)
    figures = calibration_figures(part, weighting)
    positives = part.target.sum(axis=0)
    few = np.flatnonzero(np.minimum(positives, len(part) - positives) < SMALLEST_CELL)
    others = {name: figures[name] for name in FIGURES[1:]}
    return Scored(areas_by_class(part, weighting), others, frozenset(few.tolist()))


def _mean(scored: Sequence[Scored | None]) -> Scored | None:
    """Mean over seeds, which have the same groups and classes."""
    known = [one for one in scored if one is not None]
    if not known:
        return None
    return Scored(
        {column: np.mean([one.areas[column] for one in known], axis=0) for column in known[0].areas},
        {name: np.mean([one.others[name] for one in known], axis=0) for name in known[0].others},
        known[0].few,
    )


def _gaps(
    model: str,
    task: str,
    cells: Sequence[Mapping[str, Any]],
    scored: Sequence[Scored | None],
    seeds: int,
    level: float,
) -> list[dict[str, Any]]:
    reference = {
        cell["attribute"]: (cell, figures) for cell, figures in zip(cells, scored, strict=True) if cell["reference"]
    }
    rows = []
    for cell, figures in zip(cells, scored, strict=True):
        base, base_figures = reference.get(cell["attribute"], (None, None))
        why = cell["suppressed"]
        if why is None and (base is None or base["suppressed"] is not None):
            why = NO_REFERENCE
        row: dict[str, Any] = {
            **{"model": model, "task": task, "attribute": cell["attribute"], "group": cell["group"]},
            "reference": None if base is None else base["group"],
            **{"seeds": seeds, "classes": None, "classes_with_few": None},
            **{"figures": None, "gaps": None, "undefined": None, "p_value": None},
            "suppressed": why,
        }
        if why is None and figures is not None and base_figures is not None:
            row |= _gap(figures, base_figures, level, own=cell is base)
        rows.append(row)
    return rows


def _gap(group: Scored, base: Scored, level: float, *, own: bool) -> dict[str, Any]:
    """Figures of a group, and how far they are from those of the reference."""
    classes = {column for columns in group.areas.keys() & base.areas.keys() for column in columns}
    few = classes & (group.few | base.few)
    counted = {"classes": len(classes), "classes_with_few": len(few)}
    if few and few == classes:
        nothing = {"figures": None, "gaps": None, "undefined": None, "p_value": None}
        return counted | nothing | {"suppressed": TOO_FEW_IN_EVERY_CLASS}
    own_auroc, base_auroc = over_shared(group.areas, base.areas, width=len(group.others["brier"]))
    mine, theirs = {"auroc": own_auroc, **group.others}, {"auroc": base_auroc, **base.others}
    gaps = {name: mine[name] - theirs[name] for name in FIGURES}
    replicates = gaps["auroc"][1:]
    testable = not own and np.isfinite(gaps["auroc"][0]) and np.isfinite(replicates).sum() > 1
    error = float(np.nanstd(replicates, ddof=1)) if testable else 0.0
    return {
        **counted,
        "figures": {name: _with_interval(values, level) for name, values in mine.items()},
        "gaps": None if own else {name: _with_interval(values, level) for name, values in gaps.items()},
        "undefined": undefined(replicates),
        "p_value": normal_p_value(float(gaps["auroc"][0]), error) if testable else None,
        "suppressed": None,
    }


def _with_interval(values: np.ndarray, level: float) -> dict[str, Any]:
    defined = bool(np.isfinite(values[0]))
    return {
        "value": float(values[0]) if defined else None,
        "interval": percentile_interval(values[1:], level) if defined else None,
    }
