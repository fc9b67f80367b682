"""What a binary prediction is worth at the bedside: net benefit of acting on it, and the alerts that it raises."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import FEWEST_RANKED, few, rounded_interval, significant
from clinical_peft.disclosure.cuts import Cuts, rows_above
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.resampling import percentile_interval
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.models.scores import sigmoid

# Risks from which one would act.
THRESHOLDS = np.round(np.linspace(0.01, 0.99, 99), 2)
SENSITIVITIES = (0.8, 0.9, 0.95)


def net_benefit(scores: np.ndarray, positive: np.ndarray, weighting: Weighting) -> np.ndarray:
    """Net benefit of treating whoever has at least a risk, against treating nobody (Vickers and Elkin 2006).

    True positives less false positives times the odds of the risk, per patient (Med Decis Making 26:565-574).

    Args:
        scores: Risks of shape (N,).
        positive: True where the outcome occurs, of shape (N,).
        weighting: Row weights of R resamples.

    Returns:
        Float64 of shape (T, R), one row per risk of `THRESHOLDS`; NaN in an empty resample.
    """
    treated = scores[None, :] >= THRESHOLDS[:, None]
    hits, alarms = weighting.count(treated & positive), weighting.count(treated & ~positive)
    total = np.where(weighting.total > 0, weighting.total, np.nan)
    odds = (THRESHOLDS / (1 - THRESHOLDS))[:, None]
    return np.asarray((hits - odds * alarms) / total)


def decision_curve(data: Predictions, weighting: Weighting, level: float) -> dict[str, Any]:
    """A decision curve with its interval, beside those of treating all; treating nobody has a net benefit of 0.

    Args:
        data: Predictions of a binary task.
        weighting: Row weights of R resamples of the patients.
        level: Coverage of the interval.

    Returns:
        `thresholds`, `net_benefit`, `low`, `high` and `treat_all`, lists of the same length.
    """
    positive, once = data.target[:, 1], Weighting(np.ones((len(data), 1), np.uint8))
    replicates = net_benefit(data.scores[:, 1], positive, weighting)
    intervals = [percentile_interval(row, level) or (None, None) for row in replicates]
    return {
        "thresholds": THRESHOLDS.tolist(),
        "net_benefit": net_benefit(data.scores[:, 1], positive, once)[:, 0].tolist(),
        "low": [interval[0] for interval in intervals],
        "high": [interval[1] for interval in intervals],
        "treat_all": net_benefit(np.ones(len(data)), positive, once)[:, 0].tolist(),
    }


def published_curve(curve: Mapping[str, Any], data: Predictions, cuts: Cuts) -> dict[str, Any]:
    """Return the publishable points of a decision curve: net benefit reveals how many rows are treated.

    Args:
        curve: What `decision_curve` returned.
        data: The predictions that it is of.
        cuts: Cuts of their ranking that are published already.

    Returns:
        The same to three digits; null where fewer than `SMALLEST_CELL` positives or negatives have scores between a
        threshold and another cut, or beyond it. Treating all is null where there are so few at all, or no cut may be
        published.
    """
    positive, scores = data.target[:, 1], data.scores[:, 1].astype(np.float64)
    kept = cuts.publish(rows_above(scores[None, :] >= THRESHOLDS[:, None], positive))
    has_enough = cuts.is_open and not few([int(positive.sum()), int((~positive).sum())])
    shown = {
        name: [significant(value) if fine else None for value, fine in zip(curve[name], kept, strict=True)]
        for name in ("net_benefit", "low", "high")
    }
    treat_all = curve["treat_all"] if has_enough else [None] * len(THRESHOLDS)
    return {**curve, **shown, "treat_all": treat_all}


def cutoff_at_sensitivity(data: Predictions, sensitivity: float) -> float | None:
    """The highest log-odds that find a share of a (validation) split's positives; None with next to no positives."""
    found = np.sort(data.log_odds[data.target[:, 1], 1])
    if len(found) < FEWEST_RANKED:
        return None
    return float(found[len(found) - int(np.ceil(sensitivity * len(found) - 1e-9))])


def alert_burden(
    validation: Predictions, test: Predictions, weighting: Weighting, level: float
) -> list[dict[str, Any]]:
    """Alerts on the test split at thresholds that reach fixed sensitivities on the validation split.

    Args:
        validation: Predictions that choose the thresholds.
        test: Predictions that are measured.
        weighting: Row weights of R resamples of the test patients.
        level: Coverage of the intervals.

    Returns:
        One mapping per sensitivity of `SENSITIVITIES`: sensitivity_aimed, threshold (a score), and, where there is
        one, threshold_log_odds, by which alerts are raised, and, each with `value` and
        `interval`, alerts_per_100 (admissions), sensitivity, precision (of an alert) and alerts_per_case (alerts for
        one case found); values are null where undefined.
    """
    once = Weighting(np.ones((len(test), 1), np.uint8))
    rows = []
    for aimed in SENSITIVITIES:
        cutoff = cutoff_at_sensitivity(validation, aimed)
        row: dict[str, Any] = {"sensitivity_aimed": aimed, "threshold": None}
        if cutoff is not None:
            row |= {"threshold": float(sigmoid(cutoff)), "threshold_log_odds": cutoff}
            values, replicates = (_alerts(test, cutoff, weights) for weights in (once, weighting))
            for name, value in values.items():
                row[name] = {
                    "value": float(value[0]) if np.isfinite(value[0]) else None,
                    "interval": percentile_interval(replicates[name], level),
                }
        rows.append(row)
    return rows


def _alerts(data: Predictions, cutoff: float, weighting: Weighting) -> dict[str, np.ndarray]:
    alerted, positive = data.log_odds[:, 1] >= cutoff, data.target[:, 1]
    alerts, hits, cases = weighting.count(np.stack([alerted, alerted & positive, positive]))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "alerts_per_100": 100 * alerts / weighting.total,
            "sensitivity": hits / cases,
            "precision": hits / alerts,
            "alerts_per_case": alerts / hits,
        }
    return {name: np.where(np.isfinite(value), value, np.nan) for name, value in found.items()}


def published_alerts(rows: Sequence[Mapping[str, Any]], test: Predictions, cuts: Cuts) -> list[dict[str, Any]]:
    """Return the publishable alerts.

    Args:
        rows: What `alert_burden` returned.
        test: The predictions that it measured.
        cuts: Cuts of their ranking that are published already.

    Returns:
        The same to three digits, with null values where hits, false alarms, misses or rejections are few, alone or less
        those of another cut.
    """
    alerted = np.stack([test.log_odds[:, 1] >= row.get("threshold_log_odds", np.inf) for row in rows])
    # The sensitivity in the middle is the one that tables print.
    order = sorted(range(len(rows)), key=lambda place: abs(place - len(rows) // 2))
    kept = dict(zip(order, cuts.publish(rows_above(alerted[order], test.target[:, 1])).tolist(), strict=True))
    return [
        {
            name: _published_alert(part, fine=kept[place]) if isinstance(part, dict) else part
            for name, part in row.items()
        }
        for place, row in enumerate(rows)
    ]


def _published_alert(part: Mapping[str, Any], *, fine: bool) -> dict[str, Any]:
    if not fine:
        return {"value": None, "interval": None}
    return {"value": significant(part["value"]), "interval": rounded_interval(part["interval"])}
