"""What pretraining on the notes of test patients is worth: two comparisons of models by a metric, from predictions.

The first compares what adaptation gains outside and inside the CareVue subset: metrics inside and outside are over the
classes (AUROC of a multiclass task: pairs of classes) that both groups define, in each resample anew, and of which both
have enough positives and negatives. The second compares pretraining on unfiltered notes with pretraining on as many
without held-out patients. Standard errors are of patients, and of seeds where there are several: what seeds add is the
spread of differences by seed, pooled over both groups of a task. Counts that may not be published
(`clinical_peft.disclosure.groups`, over all tasks) are None, with the metrics of such a group; those are
rounded to `DIGITS` digits. `clinical_peft.metrics.contamination_records` says what contamination.json holds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import (
    COARSE_DIGITS,
    DIGITS,
    FEWEST_IN_PAIRS,
    HIDDEN,
    SMALLEST_CELL,
    few,
    has_hidden,
    is_small,
    publishable_classes,
)
from clinical_peft.disclosure.groups import Decision, Members, decide
from clinical_peft.errors import DataError
from clinical_peft.files import write_json
from clinical_peft.metrics.areas import over_shared, scored_classes, weigh
from clinical_peft.metrics.carevue_subset import is_inside, read_membership
from clinical_peft.metrics.comparison_records import coarsened
from clinical_peft.metrics.comparisons import SeedVariances, Total, correct_over_table, seed_variances
from clinical_peft.metrics.contamination_records import (
    Contamination,
    CorpusComparison,
    CorpusEffect,
    Estimate,
    GainComparison,
    Gains,
    GroupGain,
    Membership,
    TestedGap,
)
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.registry import COMPARED, compute_metrics
from clinical_peft.metrics.resampling import patient_weights, percentile_interval, undefined
from clinical_peft.metrics.runs import RunFiles, read_runs
from clinical_peft.metrics.subgroup_gaps import task_members
from clinical_peft.metrics.weighted import WeightedPredictions

INSIDE, OUTSIDE = "inside", "outside"
GAIN = "gain"
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
        matched: Its adapter was pretrained on unfiltered notes.
        disjoint: Its adapter was pretrained on as many notes without held-out patients.
    """

    unadapted: str
    adapted: str
    matched: str
    disjoint: str


def measure_contamination(
    files: RunFiles,
    membership: Path,
    source: Path,
    *,
    models: ComparedModels,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
    metric: Metric = COMPARED,
) -> Contamination:
    """Compare gains inside and outside the CareVue subset, and the two corpora of mode ``disjoint``.

    Args:
        files: Files of all runs of the compared models; those of other models are passed over.
        membership: cohorts/carevue.parquet: subject_id, in_subset.
        source: cohorts/carevue.json, which says where membership comes from.
        models: Which models are compared.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples.
        output: JSON file to write.
        level: Coverage of the intervals.
        metric: The metric by which models are compared.

    Returns:
        What the file holds.

    Raises:
        DataError: A file is malformed or missing, a model has no run on a task, runs may not stand in one table
            (`clinical_peft.metrics.runs.check_comparable`), the admissions of two models differ, or membership of a
            test patient is unknown.
    """
    runs: dict[tuple[str, str], list[Predictions]] = defaultdict(list)
    wanted = (models.unadapted, models.adapted, models.matched, models.disjoint)
    stated: dict[str, dict[str, Any]] = {}
    unsized: set[str] = set()
    for run, splits in read_runs(files, metric, models=wanted):
        runs[run.model, run.task].append(splits["test"])
        stated[run.task] = {name: getattr(run, name) for name in ("task", "protocol", "cohort_sha256")}
        unsized |= {run.task} if has_hidden(run.n["test"]) else set()
    subset = read_membership(membership)
    draw: dict[str, Any] = {"resamples": resamples, "bootstrap_seed": bootstrap_seed, "level": level, "metric": metric}
    carevue, disjoint = [], []
    pairs = {task: _pair(runs, models.unadapted, models.adapted, task) for task in sorted(stated)}
    places = {task: is_inside(first[0].subject_id, subset, str(membership)) for task, (first, _) in pairs.items()}
    decisions = decide({task: _members(pairs[task][0][0], inside) for task, inside in places.items()}, unsized)
    for task, facts in sorted(stated.items()):
        gains = _rounded_groups(compare_gains(*pairs[task], places[task], decision=decisions[task], **draw))
        carevue.append(GainComparison(**facts, unadapted=models.unadapted, adapted=models.adapted, **vars(gains)))
        without, matched = _pair(runs, models.disjoint, models.matched, task)
        effect = compare_corpora(without, matched, **draw)
        if task in unsized:
            effect = replace(coarsened(effect, DIGITS), admissions=None, patients=None)
        if without[0].type == "multiclass" and few(without[0].target.sum(axis=0).tolist()):
            effect = coarsened(effect, DIGITS if metric.when_few == "decisions" else COARSE_DIGITS)
        disjoint.append(CorpusComparison(**facts, matched=models.matched, disjoint=models.disjoint, **vars(effect)))
    carevue, disjoint = _corrected(carevue, disjoint)
    result = Contamination(
        level=level,
        resamples=resamples,
        smallest_cell=SMALLEST_CELL,
        membership=Membership.read(source),
        carevue=carevue,
        disjoint=disjoint,
        metric=metric.name,
    )
    write_json(output, result.to_json())
    return result


def _corrected(
    carevue: Sequence[GainComparison], disjoint: Sequence[CorpusComparison]
) -> tuple[list[GainComparison], list[CorpusComparison]]:
    """The comparisons with p-values that are adjusted over all gains and differences."""
    tested = [group.gain for row in carevue for group in row.groups.values()]
    tested += [row.difference for row in carevue] + [row.difference for row in disjoint]
    found = correct_over_table([None if one is None else one.p_total for one in tested])
    adjusted = [
        None if one is None else replace(one, p_holm=verdict.p_value, significant=verdict.significant)
        for one, verdict in zip(tested, found, strict=True)
    ]
    left = iter(adjusted)
    groups = [{name: replace(group, gain=next(left)) for name, group in row.groups.items()} for row in carevue]
    return (
        [replace(row, groups=part, difference=next(left)) for row, part in zip(carevue, groups, strict=True)],
        [replace(row, difference=next(left)) for row in disjoint],
    )


def compare_gains(
    unadapted: Sequence[Predictions],
    adapted: Sequence[Predictions],
    inside: np.ndarray,
    *,
    resamples: int,
    bootstrap_seed: int,
    level: float = 0.95,
    metric: Metric = COMPARED,
    decision: Decision | None = None,
) -> Gains:
    """Compare what adaptation gains outside the CareVue subset and inside it.

    Different patients, so no paired comparison of the groups; the two models are paired within each.

    Args:
        unadapted: Test predictions of N admissions by the model without a clinical adapter, one per seed.
        adapted: The same admissions by the model with the adapter, for the same seeds.
        inside: Whether the patient belongs to the subset, bool of shape (N,).
        resamples: Bootstrap resamples of the patients.
        bootstrap_seed: Their seed.
        level: Coverage of the intervals.
        metric: The metric that is compared; predictions carry the threshold that it may need.
        decision: What may be published of the two groups; None for a task that stands alone.

    Returns:
        What `Gains` holds, p-values not yet adjusted.
    """
    example = unadapted[0]
    rows = {INSIDE: np.flatnonzero(inside), OUTSIDE: np.flatnonzero(~inside)}
    shared = np.logical_and(*(_compared_classes(example.of_rows(place)) for place in rows.values()))
    decision = decision or decide({"": _members(example, inside)})[""]
    groups = {
        name: GroupGain(
            **_counts(example.of_rows(place), counted=name in decision.counts, compared=name in decision.outcomes)
        )
        for name, place in rows.items()
    }
    why = None if decision.outcomes >= rows.keys() else HIDDEN
    why = why or (None if _defined(example, shared, metric) else NO_CLASS)
    result = Gains(seeds=len(unadapted), classes=int(shared.sum()), groups=groups, undefined=why)
    if why is not None:
        return result
    weights = _weights(example, resamples, bootstrap_seed)
    before, after = (
        np.stack([_by_group(run, rows, weights, shared, metric) for run in runs], axis=1)
        for runs in (unadapted, adapted)
    )
    gains = dict(zip(rows, after - before, strict=True))
    by_seed = {name: gain[:, 0].tolist() for name, gain in gains.items()}
    # Pooled, so that the gains of both groups share one estimate.
    variances = {name: {GAIN: variance} for name, variance in seed_variances(by_seed).items()}
    measured = {
        name: replace(
            groups[name],
            unadapted=_estimate(first.mean(axis=0), level),
            adapted=_estimate(second.mean(axis=0), level),
            gain=_tested(gains[name], level, variances.get(name, {})),
        )
        for name, first, second in zip(rows, before, after, strict=True)
    }
    difference = _tested(gains[OUTSIDE] - gains[INSIDE], level, *variances.values())
    return replace(result, groups=measured, difference=difference)


def compare_corpora(
    disjoint: Sequence[Predictions],
    matched: Sequence[Predictions],
    *,
    resamples: int,
    bootstrap_seed: int,
    level: float = 0.95,
    metric: Metric = COMPARED,
) -> CorpusEffect:
    """Compare pretraining on unfiltered notes with pretraining without held-out patients, on the same patients.

    Args:
        disjoint: Test predictions after pretraining without held-out patients, one per seed.
        matched: The same admissions after pretraining on as many notes that were not filtered, for the same seeds.
        resamples: Bootstrap resamples of the patients.
        bootstrap_seed: Their seed.
        level: Coverage of the intervals.
        metric: As for `compare_gains`.

    Returns:
        What `CorpusEffect` holds, p-values not yet adjusted.
    """
    example = disjoint[0]
    compared = example.target.any(axis=0) if example.type == "multiclass" else scored_classes(example.target)
    least = 2 if example.type == "multiclass" else 1
    counts = _counts(example)
    hidden = is_small(counts["admissions"]) or is_small(counts["patients"])
    hidden = hidden or (example.type == "binary" and not publishable_classes(example.target, exclusive=True).all())
    why = HIDDEN if hidden else None if compared.sum() >= least else NO_CLASS_AT_ALL
    result = CorpusEffect(
        seeds=len(disjoint),
        classes=int(compared.sum()),
        **(dict.fromkeys(counts) if hidden else counts),
        means={"matched": None, "disjoint": None},
        undefined=why,
    )
    if why is not None:
        return result
    weights = _weights(example, resamples, bootstrap_seed)
    without, unfiltered = (
        np.stack([compute_metrics([metric], one, weights, cutoff=one.cutoff)[metric.name] for one in runs])
        for runs in (disjoint, matched)
    )
    means: dict[str, Estimate | None] = {
        "matched": _estimate(unfiltered.mean(axis=0), level),
        "disjoint": _estimate(without.mean(axis=0), level),
    }
    by_seed = unfiltered - without
    difference = _tested(by_seed, level, seed_variances({GAIN: by_seed[:, 0].tolist()}))
    return replace(result, means=means, difference=difference)


def _pair(runs: Runs, first: str, second: str, task: str) -> tuple[Sequence[Predictions], Sequence[Predictions]]:
    """Runs of two models on a task, in the order of their seeds, which have the same admissions."""
    for model in (first, second):
        if not runs.get((model, task)):
            raise DataError(f"{model}: expected runs on {task}, found none; add the model and the task to the matrix")
    pair = runs[first, task], runs[second, task]
    ids = pair[0][0].hadm_id
    if any(not np.array_equal(ids, one.hadm_id) for part in pair for one in part):
        raise DataError(f"{first}, {second}: expected the same test admissions on {task}; run both again")
    return pair


def _weights(data: Predictions, resamples: int, seed: int) -> np.ndarray:
    """Weights of shape (N, 1 + R): every row once, then the resamples."""
    weights = patient_weights(data.subject_id, resamples=resamples, seed=seed, source=data.source)
    return np.concatenate([np.ones((len(weights), 1), np.uint8), weights], axis=1)


def _compared_classes(data: Predictions) -> np.ndarray:
    """Classes that have a metric which may be published, bool of shape (K,)."""
    fine = publishable_classes(data.target, exclusive=False)
    return np.asarray(fine & (data.target.any(axis=0) if data.type == "multiclass" else scored_classes(data.target)))


def _members(data: Predictions, inside: np.ndarray) -> Members:
    return task_members(data, np.where(inside, INSIDE, OUTSIDE))


def _defined(data: Predictions, compared: np.ndarray, metric: Metric) -> bool:
    """Whether enough classes may be compared; a metric of all classes together needs them all."""
    if metric.by_class is None:
        return bool((compared | ~data.target.any(axis=0)).all())
    return int(compared.sum()) >= (FEWEST_IN_PAIRS if data.type == "multiclass" else 1)


def _by_group(
    data: Predictions, rows: Mapping[str, np.ndarray], weights: np.ndarray, shared: np.ndarray, metric: Metric
) -> np.ndarray:
    """The metric of each group of rows over the classes that all may show, float64 of shape (G, 1 + R)."""
    parts = [(data.of_rows(place), weights[place]) for place in rows.values()]
    among = shared if metric.by_class is not None else np.ones_like(shared)
    found = [
        metric.by_classes(WeightedPredictions(part, weigh(part, drawn), part.cutoff), among) for part, drawn in parts
    ]
    return np.stack(over_shared(*found, width=weights.shape[1]))


def _counts(data: Predictions, *, counted: bool = True, compared: bool = True) -> dict[str, Any]:
    positives = int(data.target[:, 1].sum()) if data.type == "binary" and compared else None
    return {
        "admissions": len(data) if counted else None,
        "patients": data.patients if counted else None,
        "positives": positives,
    }


def _rounded_groups(gains: Gains) -> Gains:
    """Gains with metrics, differences and intervals no finer than metrics of groups may be."""

    def rounded(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: rounded(part) for name, part in value.items()}
        if isinstance(value, list):
            return [rounded(part) for part in value]
        return round(value, DIGITS) if isinstance(value, float) else value

    content = gains.to_json()
    groups, difference = rounded(content["groups"]), rounded(content["difference"])
    if difference is not None:
        for group in groups.values():
            group["gain"]["value"] = round(group["adapted"]["value"] - group["unadapted"]["value"], DIGITS)
        outside, inside = (groups[name]["gain"]["value"] for name in (OUTSIDE, INSIDE))
        difference["value"] = round(outside - inside, DIGITS)
    return Gains.of({**content, "groups": groups, "difference": difference})


def _estimate(values: np.ndarray, level: float) -> Estimate:
    if not np.isfinite(values[0]):
        return Estimate()
    return Estimate(value=float(values[0]), interval=percentile_interval(values[1:], level))


def _tested(by_seed: np.ndarray, level: float, *variances: SeedVariances) -> TestedGap:
    """A difference, of shape (S, 1 + R), with what its resamples and its seeds say of it."""
    values = by_seed.mean(axis=0)
    replicates = values[1:]
    total = Total.described(float(values[0]), replicates, *variances, level=level)
    found = _estimate(values, level)
    return TestedGap(undefined_resamples=undefined(replicates), **vars(found), **vars(total))
