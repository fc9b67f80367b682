"""A study's predictions -> subgroups.json: metrics of groups of patients, and their gaps to a reference group.

A metric is the mean over seeds, its interval a percentile bootstrap over patients, the same ones for every group; both
are rounded to `DIGITS` digits. What is hidden, `clinical_peft.disclosure.groups` decides for all tasks at once: an
attribute has the same groups in every task, also those that a task has nobody of. The reference is the largest group
that has metrics. Groups stand by size, hidden ones by name behind them. Brier score and intercept, which are over all
classes, are None where any class of a group has few positives or negatives.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.column_names import describe_names
from clinical_peft.data.patients import id_array, source_of
from clinical_peft.disclosure.counts import (
    DIGITS,
    FEWEST_IN_PAIRS,
    HIDDEN,
    SMALLEST_CELL,
    has_hidden,
    publishable_classes,
    rounded_interval,
    significant,
)
from clinical_peft.disclosure.groups import Counts, Decision, Members, decide
from clinical_peft.errors import DataError
from clinical_peft.files import write_json
from clinical_peft.metrics.areas import ByClass, over_shared, scored_classes
from clinical_peft.metrics.comparisons import correct_over_table
from clinical_peft.metrics.delong import normal_p_value
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED, compute_metrics, find_metric
from clinical_peft.metrics.resampling import defined_replicates, patient_weights, percentile_interval, undefined
from clinical_peft.metrics.runs import RunFiles, read_runs
from clinical_peft.metrics.subgroup_records import RoundedEstimate, SubgroupCell, SubgroupGap, Subgroups
from clinical_peft.metrics.weighted import WeightedPredictions
from clinical_peft.metrics.weighting import Weighting, kernel_pays
from clinical_peft.tasks import Task

NOT_RECORDED = "not recorded"
OVER_ALL_CLASSES = (find_metric("brier"), find_metric("calibration_intercept"))
TOO_FEW_IN_A_CLASS = f"fewer than {SMALLEST_CELL} positives or negatives in a class"
TOO_FEW_IN_EVERY_CLASS = f"fewer than {SMALLEST_CELL} positives or negatives in every class"
NO_REFERENCE = "no group to compare with"


@dataclass(frozen=True)
class Group:
    """The test admissions of a task with one value of an attribute.

    Attributes:
        attribute: Name of the attribute.
        name: The value.
        rows: Rows of the test split, int of shape (n,).
        counted: Whether its admissions and patients may be published.
        compared: Whether its positives may be, and its metrics.
    """

    attribute: str
    name: str
    rows: np.ndarray
    counted: bool
    compared: bool


@dataclass(frozen=True)
class Attributes:
    """Attributes of the admissions of one source: a table, and its file for messages."""

    place: Path
    table: pa.Table


@dataclass(frozen=True)
class Scored:
    """Metrics of one group by one run.

    Attributes:
        parts: The compared metric by what it is the mean of, float64 of shape (1 + R,), the estimate first.
        others: The other metrics, of the same shape; NaN where a class may not be published.
        few: Columns of the classes that may not be published.
    """

    parts: ByClass
    others: dict[str, np.ndarray]
    few: frozenset[int]


def compare_subgroups(
    files: RunFiles,
    subgroups: Sequence[Path],
    *,
    tasks: Mapping[str, Task],
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
    metric: Metric = COMPARED,
) -> Subgroups:
    """Compare every model's metrics between groups of patients.

    Args:
        files: Files of all runs.
        subgroups: Attributes of admissions: hadm_id and a column for each, as
            `clinical_peft.data.subgroups.build_subgroups` writes them. One file for MIMIC's admissions and one for each
            own table that has attributes, which the file names (`clinical_peft.data.patients.source_of`).
        tasks: The study's tasks, by name.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples.
        output: JSON file to write.
        level: Coverage of the intervals.
        metric: The metric by which groups are compared, beside Brier score and intercept.

    Returns:
        What the file holds.

    Raises:
        DataError: A file is malformed, an admission has no attributes, or runs may not stand in one table
            (`clinical_peft.metrics.runs.check_comparable`).
    """
    attributes = dict(_read_attributes(path) for path in subgroups)
    runs: dict[str, dict[str, list[Predictions]]] = defaultdict(lambda: defaultdict(list))
    first: dict[str, RunMetrics] = {}
    for run, splits in read_runs(files, metric):
        runs[run.task][run.model].append(splits["test"])
        first.setdefault(run.task, run)
        example = next(iter(runs[run.task].values()))[0]
        if not np.array_equal(example.hadm_id, splits["test"].hadm_id):
            raise DataError(
                f"{run.model}: {run.task} was scored on other admissions than by another model; run both again"
            )
    examples = {task: next(iter(models.values()))[0] for task, models in sorted(runs.items())}
    values = {task: _attribute_values(attributes, example) for task, example in examples.items()}
    unsized = {task for task, run in first.items() if has_hidden(run.n["test"])}
    decisions = _decisions(examples, values, tasks, unsized)
    cells: list[SubgroupCell] = []
    gaps: list[SubgroupGap] = []
    for task, example in examples.items():
        groups = _groups(values[task], {name: found[task] for name, found in decisions.items() if task in found})
        described = _with_references([_cell(task, example, group) for group in groups])
        weights = patient_weights(example.subject_id, resamples=resamples, seed=bootstrap_seed, source=example.source)
        compiled = _kernel_pays(runs[task], resamples, len(values[task]))
        for model, data in sorted(runs[task].items()):
            scored = [_mean([_score(one, group, weights, compiled, metric) for one in data]) for group in groups]
            gaps += _gaps(model, first[task], described, scored, len(data), level, metric)
        cells += described
    corrected = correct_over_table([row.p_value for row in gaps])
    result = Subgroups(
        level=level,
        resamples=resamples,
        smallest_cell=SMALLEST_CELL,
        cells=cells,
        gaps=[
            replace(row, p_holm=found.p_value, significant=found.significant)
            for row, found in zip(gaps, corrected, strict=True)
        ],
    )
    write_json(output, result.to_json())
    return result


def _read_attributes(path: Path) -> tuple[str | None, Attributes]:
    """The own table that a file of attributes is of, None for MIMIC, and the file."""
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected the attributes of admissions, found none; build the file again") from None
    if "hadm_id" not in table.column_names:
        raise DataError(f"{path}: expected a column hadm_id, found {describe_names(table.column_names, ())}")
    return source_of(table.schema), Attributes(path, table)


def _attribute_values(attributes: Mapping[str | None, Attributes], data: Predictions) -> dict[str, np.ndarray]:
    """By attribute, the value of each row of a test split, str of shape (N,); none where its source has no file."""
    if data.source not in attributes:
        return {}
    place, table = attributes[data.source].place, attributes[data.source].table
    ids = id_array(table["hadm_id"])
    order = np.argsort(ids, kind="stable")
    found_at = np.minimum(np.searchsorted(ids[order], data.hadm_id), len(ids) - 1)
    missing = int((ids[order][found_at] != data.hadm_id).sum()) if len(ids) else len(data)
    if missing:
        raise DataError(
            f"{place}: expected attributes of all {len(data):,} test admissions, found {missing} without; the "
            "predictions and this file are of different hospitals: build both again"
        )
    found = {}
    for attribute in (name for name in table.column_names if name != "hadm_id"):
        values = np.array(table[attribute].to_pylist(), dtype=object)[order[found_at]]
        found[attribute] = np.array([NOT_RECORDED if value is None else str(value) for value in values], dtype=object)
    return found


def _decisions(
    examples: Mapping[str, Predictions],
    values: Mapping[str, Mapping[str, np.ndarray]],
    tasks: Mapping[str, Task],
    unsized: Collection[str],
) -> dict[str, dict[str, Decision]]:
    """By attribute and task, what may be published; nothing of the tasks whose number of test rows is hidden.

    Tasks of one source are decided on together: they have the same groups.
    """
    found: dict[str, dict[str, Decision]] = defaultdict(dict)
    for source in {example.source for example in examples.values()}:
        alike = [task for task, example in examples.items() if example.source == source]
        for attribute in values[alike[0]]:
            members = {task: task_members(examples[task], values[task][attribute], tasks[task]) for task in alike}
            found[attribute] |= decide(members, unsized)
    return found


def task_members(data: Predictions, groups: np.ndarray, task: Task | None = None) -> Members:
    """Rows of a task by group, as `clinical_peft.disclosure.groups.decide` takes them."""
    positive = data.target[:, 1] if data.type == "binary" else None
    rows = Members(data.admissions, data.patient_keys, groups, positive)
    return rows if task is None else replace(rows, is_published=task.is_published, is_random=task.is_random)


def _groups(values: Mapping[str, np.ndarray], decisions: Mapping[str, Decision]) -> list[Group]:
    """Groups of a test split by every attribute: by size, then hidden ones by name, those not recorded last."""
    found = []
    for attribute, decision in decisions.items():
        rows = {name: np.flatnonzero(values[attribute] == name) for name in decision.groups}
        # The place of a hidden group must not reveal its size.
        size = {name: len(rows[name]) if name in decision.counts else 0 for name in decision.groups}
        ordered = sorted(rows, key=lambda name: (name == NOT_RECORDED, -size[name], name))
        found += [
            Group(attribute, name, rows[name], name in decision.counts, name in decision.outcomes) for name in ordered
        ]
    return found


def _cell(task: str, data: Predictions, group: Group) -> SubgroupCell:
    """What may be published of a group's counts."""
    counts = Counts.of(task_members(data.of_rows(group.rows), np.full(len(group.rows), group.name)), [group.name])
    positives = int(counts.outcomes[0][0]) if counts.outcomes and group.compared else None
    return SubgroupCell(
        task=task,
        attribute=group.attribute,
        group=group.name,
        admissions=int(counts.admissions[0]) if group.counted else None,
        patients=int(counts.patients[0]) if group.counted else None,
        positives=positives,
        suppressed=None if group.compared else HIDDEN,
    )


def _with_references(cells: Sequence[SubgroupCell]) -> list[SubgroupCell]:
    """Choose the group of each attribute with which the others are compared: the largest that has metrics."""
    chosen: set[str] = set()
    found = []
    for cell in cells:
        is_reference = cell.attribute not in chosen and cell.suppressed is None and cell.group != NOT_RECORDED
        chosen |= {cell.attribute} if is_reference else set()
        found.append(replace(cell, reference=is_reference))
    return found


def _kernel_pays(models: Mapping[str, Sequence[Predictions]], resamples: int, attributes: int) -> bool:
    positives = sum(int(data.target.sum()) for runs in models.values() for data in runs)
    rows = max(len(data) for runs in models.values() for data in runs)
    return kernel_pays(positives * attributes, rows, resamples)


def _score(data: Predictions, group: Group, weights: np.ndarray, compiled: bool, metric: Metric) -> Scored | None:
    """A run's metrics of a group, None if they may not be published."""
    if not group.compared:
        return None
    part = data.of_rows(group.rows)
    once = np.ones((len(part), 1), np.uint8)
    weighting = Weighting(np.concatenate([once, weights[group.rows]], axis=1), compiled=compiled)
    computed = compute_metrics(OVER_ALL_CLASSES, part, weighting)
    fine = publishable_classes(part.target, exclusive=False)
    parts = metric.by_classes(WeightedPredictions(part, weighting, part.cutoff), fine)
    others = computed if fine.all() else {name: np.full(weighting.width, np.nan) for name in computed}
    return Scored(parts, others, frozenset(np.flatnonzero(_scored(part) & ~fine).tolist()))


def _scored(data: Predictions) -> np.ndarray:
    """Classes that a metric is over: of a binary task the second, else those that rows define, bool of shape (K,)."""
    if data.type == "binary":
        return np.arange(2) == 1
    if data.type == "multilabel":
        return scored_classes(data.target)
    occurring = np.asarray(data.target.any(axis=0))
    return np.asarray(occurring & (occurring.sum() > 1))


def _mean(scored: Sequence[Scored | None]) -> Scored | None:
    """Mean over seeds, which have the same groups and classes."""
    known = [one for one in scored if one is not None]
    if not known:
        return None
    return Scored(
        {columns: np.mean([one.parts[columns] for one in known], axis=0) for columns in known[0].parts},
        {name: np.mean([one.others[name] for one in known], axis=0) for name in known[0].others},
        known[0].few,
    )


def _gaps(
    model: str,
    run: RunMetrics,
    cells: Sequence[SubgroupCell],
    scored: Sequence[Scored | None],
    seeds: int,
    level: float,
    metric: Metric,
) -> list[SubgroupGap]:
    reference = {cell.attribute: (cell, found) for cell, found in zip(cells, scored, strict=True) if cell.reference}
    rows = []
    for cell, found in zip(cells, scored, strict=True):
        base, base_found = reference.get(cell.attribute, (None, None))
        row = SubgroupGap(
            model=model,
            task=run.task,
            attribute=cell.attribute,
            group=cell.group,
            reference=None if base is None else base.group,
            protocol=run.protocol,
            cohort_sha256=run.cohort_sha256,
            seeds=seeds,
            suppressed=cell.suppressed or (NO_REFERENCE if base is None else None),
        )
        if row.suppressed is None and found is not None and base_found is not None:
            row = replace(row, **_gap(found, base_found, level, metric, own=cell is base))
        rows.append(row)
    return rows


def _gap(group: Scored, base: Scored, level: float, metric: Metric, *, own: bool) -> dict[str, Any]:
    """Metrics of a group, and how far they are from those of the reference, as attributes of a `SubgroupGap`."""
    classes = {column for columns in group.parts.keys() & base.parts.keys() for column in columns}
    few = (group.few | base.few) & (_columns(group) & _columns(base))
    counted = {"classes": len(classes), "classes_with_few": len(few)}
    if metric.by_class is None and not classes:
        return counted | {"suppressed": TOO_FEW_IN_A_CLASS}
    # The AUROC of a single pair of classes has few possible values, which reveal its number of admissions.
    pairs = metric.by_class is not None and any(len(columns) > 1 for columns in group.parts)
    if len(classes) < (FEWEST_IN_PAIRS if pairs else 1):
        return counted | {"suppressed": TOO_FEW_IN_EVERY_CLASS}
    own_mean, base_mean = over_shared(group.parts, base.parts, width=len(next(iter(group.others.values()))))
    mine, theirs = {metric.name: own_mean, **group.others}, {metric.name: base_mean, **base.others}
    gaps = {name: mine[name] - theirs[name] for name in mine}
    gap, replicates = gaps[metric.name][0], gaps[metric.name][1:]
    known = defined_replicates(replicates)
    p_value = None
    if not own and np.isfinite(gap) and known is not None and len(known) > 1:
        p_value = significant(normal_p_value(float(gap), float(np.std(known, ddof=1))))
    shown = {name: _with_interval(values, level) for name, values in mine.items()}
    base_shown = {name: _with_interval(values, level) for name, values in theirs.items()}
    distances = {name: _gap_with_interval(shown[name], base_shown[name], gaps[name], level) for name in mine}
    return {
        **counted,
        "figures": shown,
        "gaps": None if own else distances,
        "undefined": undefined(replicates),
        "p_value": p_value,
    }


def _columns(scored: Scored) -> set[int]:
    """Classes that a group has, those that are left out among them."""
    return {column for columns in scored.parts for column in columns} | scored.few


def _with_interval(values: np.ndarray, level: float) -> RoundedEstimate:
    if not np.isfinite(values[0]):
        return RoundedEstimate()
    return RoundedEstimate(
        value=significant(float(values[0])), interval=rounded_interval(percentile_interval(values[1:], level))
    )


def _gap_with_interval(
    group: RoundedEstimate, base: RoundedEstimate, values: np.ndarray, level: float
) -> RoundedEstimate:
    """The difference of two metrics as they are published, and its interval."""
    if group.value is None or base.value is None:
        return RoundedEstimate()
    interval = percentile_interval(values[1:], level)
    return RoundedEstimate(
        value=round(group.value - base.value, DIGITS),
        interval=None if interval is None else [round(end, DIGITS) for end in interval],
    )
