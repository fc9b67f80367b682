"""Calibration on test of scores as they are and recalibrated on validation, and the alerts that they raise."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from clinical_peft.metrics.calibration_records import AlertBurden, AlertNumber
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.form import STATED, Record, in_order, label_of, number, percent, rounded
from clinical_peft.tables.run_means import ENDS, Interval, mean
from clinical_peft.tables.study_column import Column, task_column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable
from clinical_peft.tables.study_tasks import task_order

SCORE_LABELS = {"raw": "as they are", "temperature": "temperature", "isotonic": "isotonic"}
ALERT_SENSITIVITY = 0.9
METRICS = {
    "brier": ("Brier", 3),
    "log_loss": ("Log-loss", 3),
    "ece": ("ECE", 3),
    "calibration_slope": ("Slope", 2),
    "calibration_intercept": ("Intercept", 2),
}


@dataclass(frozen=True)
class Scores:
    """The runs of a model on a task with one version of their scores."""

    label: str
    version: str
    runs: Sequence[Content]

    @property
    def first(self) -> Content:
        """The run of the first seed, for what all seeds share."""
        return self.runs[0]

    @property
    def seeds(self) -> list[Content]:
        """Metrics of each seed."""
        return [run["figures"][self.version] for run in self.runs]

    @property
    def temperature(self) -> float | None:
        """Mean temperature, of scores divided by one."""
        divided = self.version == "temperature"
        return rounded(fmean(run["temperature"] for run in self.runs)) if divided else None

    @property
    def undefined(self) -> str | None:
        """Which metrics have resamples that their intervals leave out, and how many in a seed at most."""
        counts = {
            name: max(seed[name]["undefined"] or 0 for seed in self.seeds)
            for name in METRICS
            if all(seed[name]["value"] is not None for seed in self.seeds)
        }
        return "; ".join(f"{name}: {count} resamples left out" for name, count in counts.items() if count) or None

    @property
    def alerts(self) -> list[AlertBurden]:
        """Alerts at the sensitivity, per seed; empty except for raw scores of a binary task."""
        if self.version != "raw" or self.first["alert_burden"] is None:
            return []
        rows = (AlertBurden.of(row) for run in self.runs for row in run["alert_burden"])
        return [row for row in rows if row.sensitivity_aimed == ALERT_SENSITIVITY]


def _rows(results: StudyResults) -> Iterator[Scores]:
    runs: dict[tuple[str, str], list[Content]] = defaultdict(list)
    for run in results.calibration["runs"]:
        runs[run["model"], run["task"]].append(run)
    models = in_order([model for model, _ in runs], results.labels)
    for task in task_order(results.tasks):
        for model in models:
            for version in SCORE_LABELS:
                if (model, task) in runs:
                    yield Scores(label_of(model, results.labels), version, runs[model, task])


@dataclass(frozen=True)
class Number:
    """A number of a seed and its interval."""

    value: float | None
    interval: Interval


def _with_interval(
    field: str, seeds: Callable[[Scores], Sequence[Number]], title: str | None = None, digits: int = 0
) -> list[Column]:
    """A number and both ends of its interval, means over seeds; missing where a seed has none."""

    def bracketed(value: float | None, record: Record) -> str:
        low, high = (record[f"{field}{end}"] for end in ENDS[1:])
        interval = "" if low is None or high is None else f" [{number(low, digits)}, {number(high, digits)}]"
        return f"{number(value, digits)}{interval}"

    def end(which: int) -> Callable[[Scores], float | None]:
        def over_seeds(row: Scores) -> float | None:
            return rounded(mean(seed.interval[which] for seed in seeds(row)))

        return over_seeds

    return [
        Column(field, lambda row: rounded(mean(seed.value for seed in seeds(row))), title, bracketed),
        Column(f"{field}_low", end(0), meaning="the seeds' intervals over patients, their ends averaged"),
        Column(f"{field}_high", end(1), meaning="the seeds' intervals over patients, their ends averaged"),
    ]


def _metric_columns(name: str) -> list[Column]:
    def of_seeds(row: Scores) -> list[Number]:
        found = [seed[name] for seed in row.seeds]
        return [Number(one["value"], one["interval"] or (None, None)) for one in found]

    return _with_interval(name, of_seeds, *METRICS[name])


def _alert_columns(field: str, name: str, title: str | None = None, digits: int = 0) -> list[Column]:
    def of_seeds(row: Scores) -> list[Number]:
        found: list[AlertNumber] = [getattr(one, name) for one in row.alerts]
        return [Number(one.value, one.interval or (None, None)) for one in found]

    return _with_interval(field, of_seeds, title, digits)


def _aimed(row: Scores) -> float | None:
    found = mean(one.alerts_per_100.value for one in row.alerts)
    return None if found is None else ALERT_SENSITIVITY


def _stated(name: str) -> Column:
    return Column(name, lambda row: row.first[name])


def columns(metric: Metric) -> tuple[Column, ...]:
    """Columns of the table."""
    return (
        Column("model", lambda row: row.first["model"]),
        Column("label", lambda row: row.label, "Model"),
        task_column(lambda row: row.first["task"]),
        Column("scores", lambda row: row.version, "Scores", lambda value, _: SCORE_LABELS[value]),
        Column("seeds", lambda row: len(row.runs)),
        Column("temperature", lambda row: row.temperature),
        Column(
            f"{metric.name}_percent",
            lambda row: percent(mean(seed.get(metric.name, {}).get("value") for seed in row.seeds)),
        ),
        *(column for name in METRICS for column in _metric_columns(name)),
        Column("alert_sensitivity_aimed", _aimed),
        *_alert_columns("alerts_per_100", "alerts_per_100", "Alerts per 100", 1),
        *_alert_columns("alert_sensitivity", "sensitivity"),
        *_alert_columns("alert_precision", "precision", "Precision of an alert", 2),
        *_alert_columns("alerts_per_case", "alerts_per_case"),
        Column("undefined", lambda row: row.undefined),
        *map(_stated, STATED),
    )


def _notes(results: StudyResults, records: Sequence[Record]) -> Iterator[str]:
    yield (
        f"ECE: expected calibration error over {results.calibration['bins']} bins of equally many scores. Slope: 1 is "
        "right, below it scores are too extreme. Intercept: 0 is right, negative when scores are too high. In "
        "brackets the interval over patients, the ends of the seeds' intervals averaged. A dash stands where a "
        "figure is undefined in any seed, or would tell how many of a rare class there are; alerts are "
        "counted on scores as they are, of binary tasks."
    )
    if any(record["undefined"] for record in records):
        yield (
            f"An interval leaves out the resamples, of {results.calibration['resamples']:,}, in which its figure is "
            "undefined (a slope where they hold one outcome or the scores separate the outcomes); the CSV file says "
            "how many."
        )


TABLE = StudyTable(
    name="calibration",
    place=1,
    section="calibration",
    needs=("calibration",),
    columns=columns,
    rows=_rows,
    shown=("task", "label", "scores", *METRICS, "alerts_per_100", "alert_precision"),
    caption=lambda *_: (
        "Calibration on test of scores as they are and recalibrated on validation, means over seeds with intervals "
        f"over patients, and the alerts for {ALERT_SENSITIVITY:.0%} sensitivity on validation."
    ),
    notes=_notes,
    text_columns=3,
)
