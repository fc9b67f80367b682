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
class DecisionCurve(Record):
    """Net benefit of a binary task's scores by threshold, lists of one length; None where it may not be published.

    Attributes:
        thresholds: Risks from which one would act.
        net_benefit: Net benefit of acting on the scores.
        low: Lower end of its interval.
        high: Upper end.
        treat_all: Net benefit of treating everybody.
    """

    thresholds: list[float]
    net_benefit: list[float | None]
    low: list[float | None]
    high: list[float | None]
    treat_all: list[float | None]


@dataclass(frozen=True, kw_only=True)
class AlertNumber:
    """A number of alerts and its interval over patients; None where it is undefined or may not be published."""

    value: float | None = None
    interval: tuple[float | None, float | None] | None = None


@dataclass(frozen=True, kw_only=True)
class AlertBurden(Record):
    """Alerts on test at the threshold that reaches a sensitivity on validation.

    Attributes:
        sensitivity_aimed: The sensitivity.
        threshold: Score from which one alerts; None with next to no positives.
        alerts_per_100: Alerts for 100 rows.
        sensitivity: Share of the cases that are found.
        precision: Share of the alerts that are right.
        alerts_per_case: Alerts for one case found.
    """

    sensitivity_aimed: float
    threshold: float | None = None
    alerts_per_100: AlertNumber = AlertNumber()
    sensitivity: AlertNumber = AlertNumber()
    precision: AlertNumber = AlertNumber()
    alerts_per_case: AlertNumber = AlertNumber()


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
        decision_curve: Of a binary task, by version, the content of a `DecisionCurve`, or None.
        alert_burden: Of a binary task, the content of an `AlertBurden` for each sensitivity, as
            `clinical_peft.metrics.decisions.published_alerts` returned it; thresholds are of scores as they are.
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
