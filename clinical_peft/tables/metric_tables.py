"""The tables `metrics`, `multilabel_metrics` and `scoring_variants`: what else the predictions say, on the test split.

Machine-readable columns (CSV), one row per model and task:
    metrics, of every task: `METRIC_FIELDS`; areas, F1 and precision in percent, Brier score and log-loss as they are.
    multilabel_metrics, of the multilabel tasks: `MULTILABEL_FIELDS`; the areas under every average, and the share of
        true codes among the k that rank highest.
    scoring_variants, of every task: `VARIANT_FIELDS`; areas and F1 of the same logits under either protocol's scores
        and threshold, whatever the study's.
Figures are means over seeds. An interval (`_low`, `_high`, at `level`) is over patients: of the mean over seeds where
resamples are stored (`clinical_peft.metrics.run_metrics.FIGURES`), and otherwise the ends of the seeds' intervals,
averaged, which is about as wide or wider, since a mean varies no more than its parts. `undefined` says which figures
are missing, and why, and which intervals leave out resamples.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import SMALLEST_CELL, coarse_figures, has_hidden, is_unsized
from clinical_peft.metrics.areas import BANDS
from clinical_peft.metrics.evaluate import read_replicates
from clinical_peft.metrics.resampling import percentile_interval
from clinical_peft.metrics.run_metrics import FIGURES, PRECISION_AT
from clinical_peft.metrics.runs import check_comparable
from clinical_peft.tables.form import (
    MISSING,
    STATED,
    TASK_LABELS,
    Labels,
    Record,
    Table,
    difference,
    fewer_mark,
    fewer_note,
    in_order,
    label_of,
    number,
    percent,
    rounded,
    signed,
)

AVERAGES = ("", "_micro", "_weighted", *(f"_{band}" for band in BANDS))
SHARES = ("auroc", "auprc", "f1_micro", "f1_macro")
LOSSES = ("brier", "log_loss")
BY_LABEL = (
    *(f"{area}{average}" for area in ("auroc", "auprc") for average in AVERAGES),
    *(f"precision_at_{k}" for k in PRECISION_AT),
)
# Means over classes, from which classes without both outcomes in test are left out.
OVER_CLASSES = {f"{area}{average}" for area in ("auroc", "auprc") for average in AVERAGES}
SHIFTED = "‡"
SHIFTED_NOTE = (
    f"{SHIFTED} The interval does not hold the figure: a resample repeats admissions, which raises averages over rare "
    "labels. Its width says how far the figure varies, its place does not."
)
KEYS = ("model", "label", "task", "seeds", "classes", "classes_scored", "level")


def _columns(figures: Sequence[str], suffix: str) -> tuple[str, ...]:
    return tuple(f"{figure}{end}{suffix}" for figure in figures for end in ("", "_low", "_high"))


METRIC_FIELDS = (
    *KEYS,
    *_columns(SHARES, "_percent"),
    *_columns(LOSSES, ""),
    *("threshold", "threshold_chosen_on", "undefined"),
    *STATED,
)
MULTILABEL_FIELDS = (
    *KEYS,
    *_columns(BY_LABEL, "_percent"),
    *(f"{band}_{count}" for band in BANDS for count in ("classes", "scored")),
    *("head_above", "tail_below", "undefined"),
    *STATED,
)
VARIANT_FIELDS = (
    *KEYS[:-1],
    *(f"{figure}_{version}_percent" for figure in SHARES for version in ("corrected", "paper", "difference")),
    *STATED,
)

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """The runs of a model on a task, by seed, and the files of their resamples."""

    runs: Sequence[Run]
    replicates: Sequence[Path]

    def mean(self, figure: str) -> float | None:
        """Mean over seeds; None where a seed has none."""
        return _mean([run["metrics"]["test"].get(figure) for run in self.runs])

    def interval(self, figure: str) -> tuple[float | None, float | None]:
        """Both ends of the interval over patients; None where a seed has none."""
        if figure in FIGURES and self.mean(figure) is not None and not is_unsized(self.runs[0]):
            pairs = zip(self.replicates, self.runs, strict=True)
            resamples = np.mean([read_replicates(path, run, figure) for path, run in pairs], axis=0)
            low, high = self._published(figure, percentile_interval(resamples, self.runs[0]["level"])) or (None, None)
            return low, high
        found = [run["intervals"]["test"].get(figure) or (None, None) for run in self.runs]
        return _mean([ends[0] for ends in found]), _mean([ends[1] for ends in found])

    def _published(self, figure: str, interval: Sequence[float] | None) -> Sequence[float] | None:
        """An interval over patients as it may be published, which the file of resamples does not know."""
        first = self.runs[0]
        if interval is None or not has_hidden(first["positives"]["test"]):
            return interval
        ends: Sequence[float] | None = coarse_figures({figure: interval}, first["n"]["test"] or 0)[figure]
        return ends

    def missing(self, figure: str) -> str | None:
        """Why a figure is missing, or None."""
        first = self.runs[0]
        undefined = sum(run["metrics"]["test"].get(figure) is None for run in self.runs)
        if not undefined:
            return None
        band = figure.rpartition("_")[2]
        if figure.startswith("precision_at_") and int(band) > first["classes"]:
            return f"the task has {first['classes']} classes"
        if band in BANDS and first["bands"] is None:
            return "labels in training were not counted"
        if band in BANDS and not first["bands"][band]["scored"]:
            return f"none of {first['bands'][band]['classes']} labels of the band has positives and negatives in test"
        if band in BANDS and first["bands"][band]["scored"] == 1:
            return "it would be the metric of a single label"
        if has_hidden(first["positives"]["test"]) or is_unsized(first):
            return f"it would give away a count below {SMALLEST_CELL}"
        return f"undefined in {undefined} of {len(self.runs)} seeds"

    def left_out(self, figure: str) -> int:
        """How many resamples a figure's interval leaves out in a seed, at most; 0 where a hidden count would follow."""
        return max(run["bootstrap"]["undefined"].get(figure) or 0 for run in self.runs)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def build_metric_tables(metrics: Sequence[Run], replicates: Sequence[Path], labels: Labels) -> dict[str, Table]:
    """Build the tables.

    Args:
        metrics: Content of the metrics files; see `clinical_peft.metrics.evaluate.evaluate`.
        replicates: Replicates files in the same order.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.

    Returns:
        metrics, multilabel_metrics and scoring_variants.

    Raises:
        DataError: A replicates file is missing or belongs to another run, or runs may not stand in one table
            (`clinical_peft.metrics.runs.check_comparable`).
    """
    check_comparable(metrics, replicates)
    runs: dict[tuple[str, str], list[tuple[Run, Path]]] = defaultdict(list)
    for run, path in sorted(zip(metrics, replicates, strict=True), key=lambda pair: pair[0]["seed"]):
        runs[run["model"], run["task"]].append((run, path))
    models = in_order([model for model, _ in runs], labels)
    keys = [(model, task) for task in TASK_LABELS for model in models if (model, task) in runs]
    cells = [Cell(*zip(*runs[key], strict=True)) for key in keys]
    return {
        "metrics": _metric_table(cells, labels),
        "multilabel_metrics": _multilabel_table([c for c in cells if c.runs[0]["task_type"] == "multilabel"], labels),
        "scoring_variants": _variant_table(cells, labels),
    }


def _keys(cell: Cell, labels: Labels) -> Record:
    first = cell.runs[0]
    return {
        "model": first["model"],
        "label": label_of(first["model"], labels),
        "task": first["task"],
        "seeds": len(cell.runs),
        "classes": first["classes"],
        "classes_scored": first["classes_scored"]["test"],
        "level": first["level"],
        **{name: first[name] for name in STATED},
    }


def _figures(cell: Cell, figures: Sequence[str]) -> Record:
    record: Record = {}
    for figure in figures:
        form = rounded if figure in LOSSES else percent
        values = (cell.mean(figure), *cell.interval(figure))
        record |= {name: form(value) for name, value in zip(_names_of(figure), values, strict=True)}
    return record


def _undefined(cell: Cell, figures: Sequence[str]) -> str | None:
    found = {figure: cell.missing(figure) or _skipped(cell.left_out(figure)) for figure in figures}
    return "; ".join(f"{figure}: {why}" for figure, why in found.items() if why) or None


def _skipped(resamples: int) -> str | None:
    return f"{resamples} resamples left out" if resamples else None


def _shown(record: Record, figure: str, digits: int = 1) -> str:
    """A figure and its interval in brackets, with marks for classes left out and for an interval beside the figure."""
    value, low, high = (record[name] for name in _names_of(figure))
    if value is None:
        return MISSING
    mark = fewer_mark(*_counts(record, figure)) if figure in OVER_CLASSES else ""
    if low is None or high is None:
        return f"{value:.{digits}f}{mark}"
    shifted = "" if low <= value <= high else SHIFTED
    return f"{value:.{digits}f}{mark}{shifted} [{low:.{digits}f}, {high:.{digits}f}]"


def _counts(record: Record, figure: str) -> tuple[int | None, int | None]:
    """Classes scored and classes in all of a mean over classes, within its band if it has one."""
    band = figure.rpartition("_")[2]
    names = (f"{band}_scored", f"{band}_classes") if band in BANDS else ("classes_scored", "classes")
    return record[names[0]], record[names[1]]


def _notes(cells: Sequence[Cell], records: Sequence[Record], figures: Sequence[str]) -> tuple[str, ...]:
    """Which classes and resamples are left out, which intervals are shifted, and why a dash stands where it stands."""
    fewer = fewer_note((record["task"], record["classes_scored"], record["classes"]) for record in records)
    reasons: dict[str, None] = {}
    skipped: dict[str, int] = {}
    for cell, record in zip(cells, records, strict=True):
        for figure in figures:
            name = f"{TASK_LABELS[record['task']]}, {figure.replace('_', ' ')}"
            if why := cell.missing(figure):
                reasons.setdefault(f"{name}: {why}")
            elif count := cell.left_out(figure):
                skipped[name] = max(count, skipped.get(name, 0))
    left_out = None
    if skipped:
        listed = "; ".join(f"{name}: {count}" for name, count in skipped.items())
        drawn = cells[0].runs[0]["bootstrap"]["resamples"]
        left_out = (
            f"Resamples of {drawn:,} that an interval leaves out because the figure "
            f"is undefined in them, at most in any model and seed: {listed}."
        )
    dashes = f"A dash: {'; '.join(reasons)}." if reasons else None
    shifted = any(_is_shifted(record, figure) for record in records for figure in figures)
    return tuple(note for note in (fewer, SHIFTED_NOTE if shifted else None, left_out, dashes) if note)


def _is_shifted(record: Record, figure: str) -> bool:
    value, low, high = (record[name] for name in _names_of(figure))
    return None not in (value, low, high) and not low <= value <= high


def _names_of(figure: str) -> tuple[str, ...]:
    return _columns((figure,), "" if figure in LOSSES else "_percent")


def _level(records: Sequence[Record]) -> str:
    return f" with {records[0]['level']:.0%} intervals over patients alone" if records else ""


def _metric_table(cells: Sequence[Cell], labels: Labels) -> Table:
    records = [
        _keys(cell, labels)
        | _figures(cell, (*SHARES, *LOSSES))
        | {
            "threshold": rounded(_mean([run["threshold"]["value"] for run in cell.runs])),
            "threshold_chosen_on": cell.runs[0]["threshold"]["chosen_on"],
            "undefined": _undefined(cell, (*SHARES, *LOSSES)),
        }
        for cell in cells
    ]
    rows = [
        (
            TASK_LABELS[record["task"]],
            record["label"],
            *(_shown(record, figure) for figure in SHARES),
            *(_shown(record, figure, 3) for figure in LOSSES),
            number(record["threshold"], 3),
        )
        for record in records
    ]
    return Table(
        name="metrics",
        caption=f"Discrimination, classification and error of the probabilities on test, means over seeds"
        f"{_level(records)}.",
        fields=METRIC_FIELDS,
        records=tuple(records),
        header=(
            *("Task", "Model", "AUROC (%)", "AUPRC (%)", "F1 micro (%)", "F1 macro (%)"),
            *("Brier", "Log-loss", "Threshold"),
        ),
        rows=tuple(rows),
        notes=(
            "Threshold: from which score on F1 counts a class as predicted, chosen on validation (or fixed, as the CSV "
            "file says); a dash where the class with the highest score is predicted. F1 micro of one label per "
            "admission is accuracy; a multiclass Brier score runs from 0 to 2.",
            *_notes(cells, records, (*SHARES, *LOSSES)),
        ),
        text_columns=2,
    )


def _multilabel_table(cells: Sequence[Cell], labels: Labels) -> Table:
    records = [_keys(cell, labels) | _figures(cell, BY_LABEL) | _bands(cell) for cell in cells]
    printed = (
        *(f"auroc{average}" for average in AVERAGES),
        *(f"precision_at_{k}" for k in PRECISION_AT),
    )
    rows = [
        (TASK_LABELS[record["task"]], record["label"], *(_shown(record, figure) for figure in printed))
        for record in records
    ]
    return Table(
        name="multilabel_metrics",
        caption=f"Tasks of many labels: test AUROC (%) under every average and by frequency of the label, and "
        f"precision (%) of the k codes that rank highest, means over seeds{_level(records)}.",
        fields=MULTILABEL_FIELDS,
        records=tuple(records),
        header=(
            *("Task", "Model", "Macro", "Micro", "Weighted", "Head", "Middle", "Tail"),
            *(f"Precision at {k}" for k in PRECISION_AT),
        ),
        rows=tuple(rows),
        notes=(
            "Macro: mean over labels. Micro: all pairs of admission and label ranked together. Weighted: by the "
            "label's positives. Intervals but those of macro: the seeds' intervals, their ends averaged. The CSV file "
            "holds AUPRC under the same averages.",
            *_band_notes(records),
            *_notes(cells, records, printed),
        ),
        text_columns=2,
    )


def _bands(cell: Cell) -> Record:
    bands = cell.runs[0]["bands"] or {}
    counted = {f"{band}_{count}": bands.get(band, {}).get(count) for band in BANDS for count in ("classes", "scored")}
    return {
        **counted,
        **{name: bands.get(name) for name in ("head_above", "tail_below")},
        "undefined": _undefined(cell, BY_LABEL),
    }


def _band_notes(records: Sequence[Record]) -> list[str]:
    described = {record["task"]: record for record in records if record["head_above"] is not None}
    if not described:
        return []
    first = next(iter(described.values()))
    counts = "; ".join(
        f"{TASK_LABELS[task]} "
        + ", ".join(f"{band} {row[f'{band}_scored']} of {row[f'{band}_classes']}" for band in BANDS)
        for task, row in described.items()
    )
    return [
        f"Head: labels of more than {first['head_above']} training admissions; tail: of fewer than "
        f"{first['tail_below']}. Labels of each band that are scored: {counts}."
    ]


def _variant_table(cells: Sequence[Cell], labels: Labels) -> Table:
    records = []
    for cell in cells:
        record = {name: value for name, value in _keys(cell, labels).items() if name != "level"}
        for figure in SHARES:
            both = {
                version: percent(_mean([run["variants"][version]["test"][figure] for run in cell.runs]))
                for version in ("corrected", "paper")
            }
            record |= {f"{figure}_{version}_percent": value for version, value in both.items()}
            record[f"{figure}_difference_percent"] = difference(both["paper"], both["corrected"])
        records.append(record)
    titles = ("AUROC", "AUPRC", "F1 micro", "F1 macro")
    return Table(
        name="scoring_variants",
        caption="The same logits scored as corrected and as in the original, on test, in percent; means over seeds.",
        fields=VARIANT_FIELDS,
        records=tuple(records),
        header=("Task", "Model", *(cell for title in titles for cell in (title, f"{title} (original)"))),
        rows=tuple(
            (
                TASK_LABELS[record["task"]],
                record["label"],
                *(cell for figure in SHARES for cell in _variant_cells(record, figure)),
            )
            for record in records
        ),
        notes=(
            "In the original a multilabel task's scores are a softmax over its labels, F1 decides at 0.5, and its "
            "macro F1 leaves out labels without both outcomes; corrected: a sigmoid of each label, and the threshold "
            "from validation. In brackets: original minus corrected. LOS is scored alike in both. The "
            "classes are those of table metrics.",
        ),
        text_columns=2,
    )


def _variant_cells(record: Record, figure: str) -> tuple[str, str]:
    corrected, paper, distance = (record[f"{figure}_{name}_percent"] for name in ("corrected", "paper", "difference"))
    bracket = "" if distance is None else f" ({signed(distance)})"
    return number(corrected, 1), f"{number(paper, 1)}{bracket}"
