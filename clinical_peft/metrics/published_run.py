"""A run's metrics as they may be published (`clinical_peft.disclosure.counts`)."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import (
    FEWEST_IN_PAIRS,
    FEWEST_RANKED,
    coarse,
    coarse_figures,
    has_hidden,
    publishable_classes,
    shown,
    shown_margin,
    significant,
    unsized_figures,
)
from clinical_peft.metrics.areas import class_areas, scored_classes, weigh
from clinical_peft.metrics.cutoffs import decide
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.records import LabelMetrics, Positives, RunMetrics, Threshold
from clinical_peft.metrics.registry import METRICS

BY_SPLIT = ("metrics", "intervals", "intervals_99", "intervals_bca")


def published_positives(split: Predictions, *, is_sized: bool = True) -> Positives:
    """Positives of a split, None where hidden; `is_sized` says whether its number of rows may be published."""
    by_class = split.target.sum(axis=0)
    if split.type == "multiclass" and not is_sized:
        return [None] * len(by_class)  # their sum is the size
    if split.type == "multilabel":
        return shown(int(by_class.sum()))
    by_place = shown_margin([int(count) for count in by_class])
    return by_place if split.type == "multiclass" else by_place[1]


def published_labels(test: Predictions, frequency: np.ndarray | None) -> LabelMetrics:
    """Metrics of the single labels of a multilabel task.

    Args:
        test: Predictions of N rows and K labels.
        frequency: Training admissions with each label, int of shape (K,), or None.
    """
    columns = np.flatnonzero(scored_classes(test.target))
    # All labels' positives together are published, which makes those of single labels a margin.
    fine = publishable_classes(test.target, exclusive=True)

    def by_label(areas: np.ndarray) -> list[float | None]:
        found: list[float | None] = [None] * len(fine)
        for column, value in zip(columns, areas[:, 0], strict=True):
            found[column] = significant(float(value)) if fine[column] else None
        return found

    areas = class_areas(test, weigh(test), columns)
    return LabelMetrics(
        auroc=by_label(areas["auroc"]),
        auprc=by_label(areas["auprc"]),
        positives=[int(n) if kept else None for n, kept in zip(test.target.sum(axis=0), fine, strict=True)],
        train_positives=None if frequency is None else shown_margin(frequency.tolist()),
    )


def rarest_class(split: Predictions) -> int | None:
    """Rows of the rarer class of a binary task; None for another task."""
    return int(split.target.sum(axis=0).min()) if split.type == "binary" else None


def has_spread_hits(split: Predictions) -> bool:
    """Whether the decisions of a multiclass task are right for so many classes that their share reveals none alone."""
    if split.type != "multiclass":
        return False
    return int((decide(split, None) & split.target).any(axis=0).sum()) >= FEWEST_IN_PAIRS


def is_nearly_empty(split: Predictions) -> bool:
    """Whether a class has so few rows that no metric of it is published."""
    rarest = rarest_class(split)
    return rarest is not None and rarest < FEWEST_RANKED


def publish(
    run: RunMetrics,
    splits: Mapping[str, Predictions],
    hidden_splits: Collection[str] = (),
    hidden_positives: Collection[str] = (),
) -> RunMetrics:
    """Return a run without what says more of few admissions than may be said.

    Metrics of a split with a hidden count of a class are coarse, with `classes_scored` and `bootstrap.undefined` None;
    those of a split whose number of admissions is hidden are rounded (`unsized_figures`). Counts of admissions and
    patients that are small or hidden are None, and so is the mean over a band of one label, which is that label's.

    Args:
        run: A run with all that was measured; its `positives` are published ones already.
        splits: Its predictions.
        hidden_splits: As for `clinical_peft.metrics.evaluate.evaluate`.
        hidden_positives: Likewise.
    """
    few = {split for split, counts in run.positives.items() if has_hidden(counts)}

    def rounded(part: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(part)
        for split, values in part.items():
            if split in few:
                data = splits[split]
                is_spread = split not in hidden_splits and has_spread_hits(data)
                found[split] = coarse_figures(values, len(data), rarest=rarest_class(data), is_spread=is_spread)
            elif split in hidden_splits:
                found[split] = unsized_figures(values, len(splits[split]))
        return found

    def sized(counts: Mapping[str, int | None]) -> dict[str, int | None]:
        return {split: None if split in hidden_splits else shown(count) for split, count in counts.items()}

    alone = dict.fromkeys(_means_of_one_label(run))
    by_split: dict[str, Any] = {name: rounded(getattr(run, name)) for name in BY_SPLIT}
    by_split = {name: part | {"test": part["test"] | alone} for name, part in by_split.items()}
    outside = run.labels_outside_classes
    if run.task_type == "multilabel":
        outside = {split: shown(count) for split, count in outside.items()}
    bootstrap, threshold = run.bootstrap, run.threshold
    if "test" in few:
        # A resample lacks a rare class as often as the class is rare.
        bootstrap = replace(bootstrap, undefined=dict.fromkeys(bootstrap.undefined))
    if "validation" in few:
        threshold = Threshold(**coarse(asdict(threshold)))
        if is_nearly_empty(splits["validation"]) and threshold.chosen_on == "validation":
            threshold = replace(threshold, value=None, log_odds=None)
    return replace(
        run,
        **by_split,
        variants={version: rounded(part) for version, part in run.variants.items()},
        n=sized(run.n),
        patients=sized(run.patients),
        positives={
            split: _hidden(counts) if split in hidden_positives else counts for split, counts in run.positives.items()
        },
        # Of a class of few, whether it occurs at all is a count, too.
        classes_scored={split: None if split in few else count for split, count in run.classes_scored.items()},
        labels_outside_classes=outside,
        bootstrap=bootstrap,
        threshold=threshold,
    )


def _hidden(counts: Positives) -> Positives:
    return [None] * len(counts) if isinstance(counts, list) else None


def _means_of_one_label(run: RunMetrics) -> list[str]:
    """Metrics that are means over a band in which one label is scored."""
    if run.bands is None:
        return []
    return [name for name, one in METRICS.items() if one.band and getattr(run.bands, one.band).scored == 1]
