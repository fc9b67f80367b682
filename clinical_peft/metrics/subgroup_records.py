"""Records of subgroups.json: metrics of groups of patients, and their gaps to a reference group."""

from dataclasses import dataclass

from clinical_peft.metrics.records import Record


@dataclass(frozen=True, kw_only=True)
class RoundedEstimate:
    """A metric, or a gap of two, and its percentile interval over patients, to three digits."""

    value: float | None = None
    interval: list[float | None] | None = None


@dataclass(frozen=True, kw_only=True)
class SubgroupCell:
    """A group of the test patients of a task.

    Attributes:
        task: Name of the task.
        attribute: Name of the attribute.
        group: Its value.
        reference: Whether the other groups are compared with it.
        admissions: Test admissions, None where hidden, as are the following.
        patients: Test patients.
        positives: Rows of the second class of a binary task.
        suppressed: Why the group has no metrics; None where it has.
    """

    task: str
    attribute: str
    group: str
    reference: bool = False
    admissions: int | None = None
    patients: int | None = None
    positives: int | None = None
    suppressed: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubgroupGap:
    """A model's metrics of a group, and their gaps to those of the reference.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        attribute: Name of the attribute.
        group: Its value.
        reference: The group compared with.
        protocol: What all switches amount to.
        cohort_sha256: Checksum of the cohort.
        seeds: Number of seeds.
        classes: Classes that the compared metric is of.
        classes_with_few: Classes that both groups have and that are dropped because one of them has few positives or
            negatives.
        figures: The compared metric, Brier score and calibration intercept of the group, by name.
        gaps: Group minus reference, by name; the compared metric over the classes, an AUROC of a multiclass task over
            the pairs of at least three.
        undefined: Resamples without the gap of the compared metric.
        p_value: P-value of that gap.
        p_holm: `p_value` adjusted over the whole file.
        significant: Whether that is significant.
        suppressed: Why there are no metrics and gaps; None where there are.
    """

    model: str
    task: str
    attribute: str
    group: str
    reference: str | None
    protocol: str
    cohort_sha256: str
    seeds: int
    classes: int | None = None
    classes_with_few: int | None = None
    figures: dict[str, RoundedEstimate] | None = None
    gaps: dict[str, RoundedEstimate] | None = None
    undefined: int | None = None
    p_value: float | None = None
    p_holm: float | None = None
    significant: bool = False
    suppressed: str | None = None


@dataclass(frozen=True, kw_only=True)
class Subgroups(Record):
    """subgroups.json.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        smallest_cell: Smallest count that is published.
        cells: Groups, by task and attribute.
        gaps: Metrics and gaps, by model, task, attribute and group.
    """

    level: float
    resamples: int
    smallest_cell: int
    cells: list[SubgroupCell]
    gaps: list[SubgroupGap]
