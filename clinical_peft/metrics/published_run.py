"""A run's metrics as they may be published (`clinical_peft.disclosure.counts`)."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import (
    coarse,
    coarse_figures,
    has_hidden,
    publishable_classes,
    shown,
    shown_margin,
    significant,
)
from clinical_peft.metrics.areas import class_areas, scored_classes, weigh
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.records import LabelMetrics, Positives, RunMetrics, Threshold
from clinical_peft.metrics.registry import METRICS

BY_SPLIT = ("metrics", "intervals", "intervals_99", "intervals_bca")


def published_positives(split: Predictions) -> Positives:
    """Positives of a split, None where hidden."""
    by_class = split.target.sum(axis=0)
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


def publish(run: RunMetrics) -> RunMetrics:
    """Return a run without what says more of few admissions than may be said.

    Metrics of a split with a hidden count of a class are coarse, with `bootstrap.undefined` None; counts of admissions
    and patients that are small are None, and so is the mean over a band of one label, which is that label's.
    """
    few = {split for split, counts in run.positives.items() if has_hidden(counts)}

    def rounded(part: Mapping[str, Any]) -> dict[str, Any]:
        return {
            split: coarse_figures(values, run.n[split] or 0) if split in few else values
            for split, values in part.items()
        }

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
    return replace(
        run,
        **by_split,
        variants={version: rounded(part) for version, part in run.variants.items()},
        n={split: shown(count) for split, count in run.n.items()},
        patients={split: shown(count) for split, count in run.patients.items()},
        labels_outside_classes=outside,
        bootstrap=bootstrap,
        threshold=threshold,
    )


def _means_of_one_label(run: RunMetrics) -> list[str]:
    """Metrics that are means over a band in which one label is scored."""
    if run.bands is None:
        return []
    return [name for name, one in METRICS.items() if one.band and getattr(run.bands, one.band).scored == 1]
