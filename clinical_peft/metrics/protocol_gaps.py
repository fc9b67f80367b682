"""Effect of each of the original's choices: the same model with one of them turned on, and with all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import is_small, shown
from clinical_peft.errors import DataError
from clinical_peft.files import write_json
from clinical_peft.metrics.cells import mean_cell
from clinical_peft.metrics.comparison_records import (
    CohortChanges,
    ProtocolGap,
    ProtocolGaps,
    ProtocolMean,
    as_published,
)
from clinical_peft.metrics.comparisons import Cell, Key, compare_pair, correct_over_table, seed_variances
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.metrics.runs import check_comparable, check_pairs

CORRECTED = "corrected"
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class AblationRuns:
    """A model's runs on a task, all seeds, under one protocol.

    Attributes:
        switch: The switch that is turned on, `paper` for all, or `CORRECTED` for none.
        task: Name of the task.
        metrics: Metrics file of each seed.
        replicates: Replicates files in the same order.
        cohort: The cohort that was predicted.
    """

    switch: str
    task: str
    metrics: tuple[Path, ...]
    replicates: tuple[Path, ...]
    cohort: Path


def measure_protocol_gaps(
    runs: Sequence[AblationRuns],
    *,
    model: str,
    untouched: Mapping[str, Sequence[str]],
    output: Path,
    metric: Metric = COMPARED,
) -> ProtocolGaps:
    """Compare every ablation with the corrected protocol, patient by patient.

    Each protocol is judged by its own test admissions and labels, as a paper that followed it would print. A patient
    enters a resample equally often on both sides, so that differences are paired wherever both have the patient. So
    are seeds, from which both sides draw the same weights and order: what seeds add to the variance of a difference is
    the spread of the differences by seed, pooled over the ablations of a task.

    Args:
        runs: The ablations, and `CORRECTED` for each of their tasks.
        model: Name of the model.
        untouched: By switch, the tasks of the study that it cannot change.
        output: JSON file to write.
        metric: The metric by which they are compared.

    Returns:
        What the file holds. Differences are ablation minus corrected; p-values are adjusted over all rows.

    Raises:
        DataError: The corrected runs of a task are missing, seeds of an ablation differ in more than the seed, or
            ablations differ in seeds or resamples.
    """
    contents = [[RunMetrics.read(path) for path in run.metrics] for run in runs]
    _check_paired(runs, contents)
    cells: dict[Key, Cell] = {
        (run.switch, run.task): mean_cell(found, run.replicates, metric)
        for run, found in zip(runs, contents, strict=True)
    }
    first = {(run.switch, run.task): (run, found[0]) for run, found in zip(runs, contents, strict=True)}
    for run in runs:
        if (CORRECTED, run.task) not in first:
            raise DataError(f"protocol gaps: expected the corrected runs of {run.task} beside {run.switch}, found none")
    cells = _with_paired_seeds(cells)
    rows = []
    for run in runs:
        if run.switch == CORRECTED:
            continue
        reference_files, reference = first[CORRECTED, run.task]
        ablation = first[run.switch, run.task][1]
        pair = cells[CORRECTED, run.task], cells[run.switch, run.task]
        row = ProtocolGap(
            switch=run.switch,
            task=run.task,
            corrected=_described(pair[0], reference),
            ablation=_without_near_sizes(_described(pair[1], ablation), reference),
            changed=_published_changes(cohort_changes(reference_files.cohort, run.cohort)),
            **vars(compare_pair(*pair, LEVEL)),
        )
        rows.append(as_published(row, (reference, ablation), metric))
    corrected = correct_over_table([row.p_total for row in rows])
    result = ProtocolGaps(
        level=LEVEL,
        resamples=contents[0][0].bootstrap.resamples if contents else 0,
        model=model,
        untouched={switch: list(tasks) for switch, tasks in untouched.items()},
        rows=[
            replace(row, p_holm=found.p_value, significant=found.significant)
            for row, found in zip(rows, corrected, strict=True)
        ],
        metric=metric.name,
    )
    write_json(output, result.to_json())
    return result


def _with_paired_seeds(cells: Mapping[Key, Cell]) -> dict[Key, Cell]:
    """Add to every ablation the variance that seeds add to its difference from the corrected runs."""
    by_seed = {
        key: tuple(np.subtract(cell.by_seed, cells[CORRECTED, key[1]].by_seed).tolist()) for key, cell in cells.items()
    }
    found = dict(cells)
    for task in {key[1] for key in cells}:
        members = {switch: values for (switch, of), values in by_seed.items() if of == task}
        for switch, variance in seed_variances(members).items():
            found[switch, task] = replace(cells[switch, task], seed_variances={task: variance})
    return found


def _published_changes(changes: CohortChanges) -> CohortChanges:
    """Changes as they may be published; nothing changed where both protocols have one cohort, which is no secret."""
    if changes == CohortChanges():
        return changes
    return CohortChanges(**{name: shown(count) for name, count in vars(changes).items()})


def cohort_changes(before: Path, after: Path) -> CohortChanges:
    """Count in what two cohorts of a task differ.

    Args:
        before: Parquet file of a cohort.
        after: The other.
    """
    if before == after:
        return CohortChanges()
    first, second = (_by_admission(path) for path in (before, after))
    shared = first.keys() & second.keys()
    return CohortChanges(
        joined=len(second.keys() - shared),
        left=len(first.keys() - shared),
        texts=sum(first[admission][0] != second[admission][0] for admission in shared),
        labels=sum(first[admission][1] != second[admission][1] for admission in shared),
    )


def _by_admission(path: Path) -> dict[int | str, tuple[str, Any]]:
    """Text and label of every admission; the order of several labels does not count."""
    table = pq.read_table(path, columns=["hadm_id", "text", "label"])
    labels = (frozenset(label) if isinstance(label, list) else label for label in table["label"].to_pylist())
    rows = zip(table["hadm_id"].to_pylist(), table["text"].to_pylist(), labels, strict=True)
    return {admission: (text, label) for admission, text, label in rows}


def _described(cell: Cell, run: RunMetrics) -> ProtocolMean:
    return ProtocolMean(
        value=cell.estimate if math.isfinite(cell.estimate) else None,
        protocol=run.protocol,
        cohort_sha256=run.cohort_sha256,
        n=run.n["test"],
        patients=run.patients["test"],
        classes=run.classes,
        classes_scored=run.classes_scored["test"],
    )


def _without_near_sizes(mean: ProtocolMean, corrected: RunMetrics) -> ProtocolMean:
    """The mean of an ablation without test sizes that tell how few rows it has more or less than the corrected runs."""
    apart = [
        None if mine is None or theirs is None else abs(mine - theirs)
        for mine, theirs in ((mean.n, corrected.n["test"]), (mean.patients, corrected.patients["test"]))
    ]
    if any(distance != 0 and is_small(distance) for distance in apart):
        return replace(mean, n=None, patients=None)
    return mean


def _check_paired(runs: Sequence[AblationRuns], contents: Sequence[Sequence[RunMetrics]]) -> None:
    """Refuse an ablation whose own runs differ, and ablations that differ in seeds or resamples."""
    wanted = None
    seen: set[Key] = set()
    for run, found in zip(runs, contents, strict=True):
        check_pairs(run.metrics, run.replicates, "metrics and replicates")
        check_comparable(found, run.metrics)
        if (run.switch, run.task) in seen:
            raise DataError(
                f"{run.metrics[0]}: the ablation {run.switch} on {run.task} was already given; give every one once"
            )
        seen.add((run.switch, run.task))
        drawn = {(one.bootstrap.resamples, one.bootstrap.seed) for one in found}
        these = (drawn, tuple(sorted(one.seed for one in found)))
        wanted = wanted or these
        if these != wanted:
            raise DataError(
                f"{run.metrics[0]}: its seeds, or the resamples or seed of its bootstrap, differ from those of "
                f"{runs[0].metrics[0]}; run and evaluate both again"
            )
