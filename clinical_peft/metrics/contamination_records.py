"""Records of contamination.json: what pretraining on the notes of test patients is worth.

Differences and gains are of the compared metric, each the mean over seeds; `undefined` says why there are none, or is
None.
"""

from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.comparison_records import Uncertainty, with_metric
from clinical_peft.metrics.records import Ends, Record


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric's mean over seeds and its percentile interval over patients."""

    value: float | None = None
    interval: Ends = None


@dataclass(frozen=True, kw_only=True)
class TestedGap(Uncertainty):
    """A difference of means over seeds, and what its resamples and seeds say of it.

    Attributes:
        value: The difference.
        interval: Its percentile interval over patients.
        undefined_resamples: Resamples that leave it undefined.
        p_holm: `p_total` adjusted over the whole file.
        significant: Whether that is significant.
    """

    value: float | None
    interval: Ends
    undefined_resamples: int
    p_holm: float | None = None
    significant: bool = False


@dataclass(frozen=True, kw_only=True)
class GroupGain:
    """Gain by adaptation for one group of patients; None where it may not be published.

    Attributes:
        admissions: Test admissions of the group.
        patients: Their patients.
        positives: Rows of the second class of a binary task.
        unadapted: The metric without the clinical adapter.
        adapted: The metric with it.
        gain: Adapted minus unadapted.
    """

    admissions: int | None
    patients: int | None
    positives: int | None
    unadapted: Estimate | None = None
    adapted: Estimate | None = None
    gain: TestedGap | None = None


@dataclass(frozen=True, kw_only=True)
class Gains(Record):
    """Gains inside and outside the CareVue subset.

    Attributes:
        seeds: Number of seeds.
        classes: Classes that are compared: those that both groups define.
        groups: `inside` and `outside`.
        difference: Gain outside minus gain inside.
        undefined: Why there are no gains.
    """

    seeds: int
    classes: int
    groups: dict[str, GroupGain]
    difference: TestedGap | None = None
    undefined: str | None = None


@dataclass(frozen=True, kw_only=True)
class GainComparison(Gains):
    """Gains on a task, with the names of the models."""

    task: str
    protocol: str
    cohort_sha256: str
    unadapted: str
    adapted: str


@dataclass(frozen=True, kw_only=True)
class CorpusEffect(Record):
    """Pretraining on unfiltered notes against as many without held-out patients, on the same test patients.

    Attributes:
        seeds: Number of seeds.
        classes: Classes that are compared.
        admissions: Test admissions.
        patients: Their patients.
        positives: Rows of the second class of a binary task.
        means: The metric after `matched` (unfiltered) and `disjoint` pretraining.
        difference: Matched minus disjoint.
        undefined: Why there is no difference.
    """

    seeds: int
    classes: int
    admissions: int | None
    patients: int | None
    positives: int | None
    means: dict[str, Estimate | None]
    difference: TestedGap | None = None
    undefined: str | None = None


@dataclass(frozen=True, kw_only=True)
class CorpusComparison(CorpusEffect):
    """The effect on a task, with the names of the models."""

    task: str
    protocol: str
    cohort_sha256: str
    matched: str
    disjoint: str


@dataclass(frozen=True, kw_only=True)
class Membership(Record):
    """Where membership of the CareVue subset comes from, and whether it is approximate."""

    source: str
    approximate: bool


@dataclass(frozen=True, kw_only=True)
class Contamination(Record):
    """contamination.json, in which `means` of the corpora stand under the name of the compared metric.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        smallest_cell: Smallest count that is published.
        membership: Source of the CareVue subset.
        carevue: Gains, by task.
        disjoint: Effects of the corpora, by task.
        metric: Name of the compared metric.
    """

    level: float
    resamples: int
    smallest_cell: int
    membership: Membership
    carevue: list[GainComparison]
    disjoint: list[CorpusComparison]
    metric: str

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        content = super().to_json()
        metric = content.pop("metric")
        return content | {"disjoint": [with_metric(row, metric, of="means") for row in content["disjoint"]]}
