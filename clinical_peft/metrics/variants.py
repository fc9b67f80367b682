"""The same logits scored as the original does and as corrected, whatever the study's protocol."""

from collections.abc import Mapping

import numpy as np

from clinical_peft.metrics.areas import scored_classes
from clinical_peft.metrics.cutoffs import choose_cutoff
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.registry import compute_metrics, find_metric
from clinical_peft.models.decisions import EVEN

F1_MACRO = find_metric("f1_macro")
VARIANT_METRICS = (find_metric("auroc"), find_metric("auprc"), find_metric("f1_micro"), F1_MACRO)
"""Metrics that scores and threshold of the original may change."""


def variants(splits: Mapping[str, Predictions]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Metrics of `VARIANT_METRICS` as `paper` and as `corrected`, by split and name, float64 of shape (1,) each.

    Args:
        splits: Predictions of `validation`, on which the corrected threshold is chosen, and of other splits.
    """
    corrected = dict(splits)
    if splits["validation"].type == "multilabel":
        corrected = {name: split.scored_by("sigmoid") for name, split in splits.items()}
    cutoff = choose_cutoff(corrected["validation"])
    return {
        "paper": {name: paper_metrics(split) for name, split in splits.items()},
        "corrected": {
            name: compute_metrics(VARIANT_METRICS, split, cutoff=cutoff) for name, split in corrected.items()
        },
    }


def paper_metrics(data: Predictions) -> dict[str, np.ndarray]:
    """Metrics of `VARIANT_METRICS` as the original computes them, float64 of shape (1,) each.

    Scores of a multilabel task are a softmax over its labels, decisions are made at 0.5, and the macro F1 drops
    classes without both labels; on other tasks the areas equal the corrected ones.
    """
    if data.type != "multilabel":
        return compute_metrics(VARIANT_METRICS, data, cutoff=EVEN)
    data = data.scored_by("softmax")
    of_scored = data.of_classes(scored_classes(data.target))
    return compute_metrics(VARIANT_METRICS, data, cutoff=EVEN) | compute_metrics([F1_MACRO], of_scored, cutoff=EVEN)
