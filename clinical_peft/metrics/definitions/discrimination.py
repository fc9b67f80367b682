"""Areas under ROC and precision-recall curves: how well positives are ranked above negatives.

Binary: of the second class. Multilabel: mean over the classes with both labels present (macro), weighted by their
positives, over all pairs of row and class ranked together (micro), or over the labels of a band of training frequency.
Multiclass: AUROC is the mean over pairs of classes, each pair the mean of its two directions (macro one-versus-one,
Hand and Till 2001); AUPRC is the mean over classes against the rest. Within a resample, means run over what that
resample defines. On a resample written out row by row the values equal those of scikit-learn.
"""

import numpy as np

from clinical_peft.disclosure.counts import WhenFew
from clinical_peft.metrics.areas import BANDS, ByClass, areas_by_class, mean_of_defined, mean_pair_area, pair_areas
from clinical_peft.metrics.delong import Placements, contributions
from clinical_peft.metrics.metric import Compute, metric
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighted import WeightedPredictions


def placements(data: Predictions) -> Placements | None:
    """Contributions to the AUROC of a binary task; None for another task, or where a class has no row."""
    positive = data.target[:, 1]
    if data.type != "binary" or positive.all() or not positive.any():
        return None
    return Placements(contributions(data.log_odds[:, 1], positive), positive, data.patient_keys)


def _auroc_by_class(weighted: WeightedPredictions, among: np.ndarray) -> ByClass:
    if weighted.type == "multiclass":
        return pair_areas(weighted.data, weighted.weighting, among)
    return areas_by_class(weighted.data, weighted.weighting, among=among)


def _auprc_by_class(weighted: WeightedPredictions, among: np.ndarray) -> ByClass:
    return areas_by_class(weighted.data, weighted.weighting, area="auprc", among=among)


@metric(
    name="auroc",
    title="AUROC",
    direction="higher",
    when_few="coarse",
    needs_both_outcomes=True,
    by_class=_auroc_by_class,
    placements=placements,
    chance=0.5,
    place=1,
)
def auroc(weighted: WeightedPredictions) -> np.ndarray:
    """Area under the ROC curve; ties count half."""
    if weighted.type == "multiclass":
        return mean_pair_area(weighted.data, weighted.weighting)
    return mean_of_defined(weighted.areas["auroc"])


@metric(
    name="auprc",
    title="AUPRC",
    direction="higher",
    when_few="steps",
    needs_both_outcomes=True,
    by_class=_auprc_by_class,
    place=2,
)
def auprc(weighted: WeightedPredictions) -> np.ndarray:
    """Average precision."""
    return mean_of_defined(weighted.areas["auprc"])


def _pooled(area: str) -> Compute:
    return lambda weighted: weighted.pooled_areas[area]


def _by_positives(area: str) -> Compute:
    return lambda weighted: mean_of_defined(weighted.areas[area], weighted.positives)


def _over_band(area: str, band: str) -> Compute:
    def mean(weighted: WeightedPredictions) -> np.ndarray:
        members = (weighted.bands or {})[band]
        return mean_of_defined(weighted.areas[area][members[weighted.columns]])

    return mean


def _register_averages(area: str, title: str, when_few: WhenFew) -> None:
    averages = {"micro": _pooled(area), "weighted": _by_positives(area)}
    averages |= {band: _over_band(area, band) for band in BANDS}
    for average, compute in averages.items():
        metric(
            name=f"{area}_{average}",
            title=f"{title}, {average}",
            direction="higher",
            types=("multilabel",),
            is_main=False,
            when_few=when_few,
            needs_both_outcomes=True,
            band=average if average in BANDS else None,
        )(compute)


_register_averages("auroc", "AUROC", "coarse")
_register_averages("auprc", "AUPRC", "steps")
