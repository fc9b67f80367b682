"""Records of calibration.json: scores as they are and recalibrated on validation, and what they are worth."""

from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.records import Ends, Record
from clinical_peft.models.scores import Link
from clinical_peft.tasks import TaskType


@dataclass(frozen=True, kw_only=True)
class ScoreMetric:
    """A metric on test, its percentile interval over patients and the resamples that the interval leaves out."""

    value: float | None
    interval: Ends
    undefined: int | None


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """A bin of a reliability diagram, to three digits.

    Attributes:
        pairs: Number of scores: of row and class if multilabel, of the predicted class if multiclass.
        low: Lowest score.
        high: Highest score.
        mean_score: Mean score.
        observed: Share of outcomes.
        interval: Interval of that share.
    """

    pairs: int
    low: float | None
    high: float | None
    mean_score: float | None
    observed: float | None
    interval: list[float | None] | None


@dataclass(frozen=True, kw_only=True)
class RunCalibration(Record):
    """Calibration of one run. Versions of the scores are `raw`, `temperature` and `isotonic`.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        seed: Seed of the run.
        task_type: Type of the task.
        protocol: What all switches amount to.
        cohort_sha256: Checksum of the cohort.
        predictions_sha256: Checksum of the predictions file.
        link: How logits become scores.
        temperature: Fitted on validation.
        figures: Metrics by version and name.
        reliability: Bins by version, by rising score, joined until each may be published.
        decision_curve: Of a binary task, by version, {thresholds, net_benefit, low, high, treat_all} (lists), or None.
        alert_burden: Of a binary task, what `clinical_peft.metrics.decisions.published_alerts` returned; thresholds are
            of scores as they are.
    """

    model: str
    task: str
    seed: int
    task_type: TaskType
    protocol: str
    cohort_sha256: str
    predictions_sha256: str
    link: Link
    temperature: float
    figures: dict[str, dict[str, ScoreMetric]]
    reliability: dict[str, list[ReliabilityBin]]
    decision_curve: dict[str, Any] | None
    alert_burden: list[dict[str, Any]] | None


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """calibration.json.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        bins: Bins of the expected calibration error.
        sensitivities: Sensitivities that alerts aim at.
        runs: By model, task and seed.
    """

    level: float
    resamples: int
    bins: int
    sensitivities: list[float]
    runs: list[RunCalibration]
