"""The report's figures as SVG: same inputs, same bytes; colours that colour-blind readers can tell apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from clinical_peft.evaluation.aggregate import MACRO
from clinical_peft.evaluation.curves import GRID, mean_curves
from clinical_peft.evaluation.published import PAPER_TASKS
from clinical_peft.evaluation.tables import CONTROL, TASK_LABELS, Labels, in_order, label_of
from clinical_peft.files import atomic_path
from clinical_peft.recipes import TASK_TYPES

# Okabe and Ito's palette without its yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "clinical-peft",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}
# Without them matplotlib writes the date, its version and a licence address into the file.
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def save(figure: Figure, output: Path) -> None:
    """Write a figure as SVG, whole or not at all, without what would differ between two runs."""
    with atomic_path(output) as temporary:
        figure.savefig(temporary, format="svg", metadata=NO_METADATA)


def _style(position: int) -> dict[str, Any]:
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position // len(COLOURS) % len(DASHES)]}


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=2)


def _empty(figure: Figure, text: str) -> None:
    figure.text(0.5, 0.5, text, ha="center", va="center")


def _legend_height(names: Sequence[str]) -> float:
    return 0.2 * ((len(names) + 1) // 2) + 0.2


def downstream_auroc(aggregate: Mapping[str, Any], labels: Labels, output: Path) -> None:
    """Test AUROC of every model: a panel per task, macro average and control, a row per model, with intervals.

    Args:
        aggregate: What `clinical_peft.evaluation.aggregate.aggregate` returned.
        labels: As for `clinical_peft.evaluation.tables.build_tables`.
        output: SVG file to write.
    """
    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    models = in_order([model for model, _ in found], labels)
    tasks = [task for task in (*PAPER_TASKS, MACRO, CONTROL) if any(key[1] == task for key in found)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.0 + 1.25 * len(tasks), 1.0 + 0.32 * len(models)), layout="constrained")
        if not tasks:
            _empty(figure, "No model was fine-tuned.")
            save(figure, output)
            return
        panels = figure.subplots(1, len(tasks), sharey=True, sharex=True, squeeze=False)[0]
        for task, axes in zip(tasks, panels, strict=True):
            axes.axvline(50, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
            for place, model in enumerate(models):
                if (row := found.get((model, task))) is not None:
                    _interval_point(axes, row, place)
            axes.set_title(TASK_LABELS[task], fontweight="bold" if task == MACRO else "normal")
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0].set_yticks(range(len(models)), [label_of(model, labels) for model in models])
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        figure.supxlabel(f"AUROC (%), {aggregate['level']:.0%} interval over patients; dashed: chance", fontsize=9)
        save(figure, output)


def _interval_point(axes: Axes, row: Mapping[str, Any], place: int) -> None:
    colour = "#777777" if row["task"] == CONTROL else COLOURS[0]
    if row["interval"]:
        axes.plot([100 * end for end in row["interval"]], [place, place], color=colour, linewidth=1.6)
    axes.plot([100 * row["auroc"]], [place], marker="o", markersize=4.5, color=colour)


def learning_curves(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Validation perplexity by tokens trained on: a panel per base, a line per adapter.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.evaluation.tables.build_tables`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    bases = sorted({row["base"] for row in perplexities})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(5.2, 4.2 * len(bases)), 3.5), layout="constrained")
        if not bases:
            _empty(figure, "No adapter was trained.")
        panels: Any = figure.subplots(1, max(1, len(bases)), squeeze=False)[0] if bases else []
        for base, axes in zip(bases, panels, strict=True):
            names = in_order([name for name, row in by_name.items() if row["base"] == base], labels)
            for position, name in enumerate(names):
                tokens, values = _perplexity_course(by_name[name])
                marker = MARKERS[position % len(MARKERS)]
                axes.plot(
                    tokens, values, marker=marker, markersize=3.5, label=label_of(name, labels), **_style(position)
                )
            _log_scale(axes, "y")
            axes.set(title=base, xlabel="training tokens", ylabel="validation perplexity")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_count(value)))
            axes.legend(loc="upper right")
        save(figure, output)


def _perplexity_course(row: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    points = [
        (point["tokens"], point["validation_perplexity"])
        for point in row["curve"]
        if point.get("validation_perplexity") is not None
    ]
    before = row["perplexity"]["before"].get("validation")
    if before is not None and (not points or points[0][0] > 0):
        points.insert(0, (0, before))
    return [point[0] for point in points], [point[1] for point in points]


def _log_scale(axes: Axes, which: str) -> None:
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _short_count(value: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def perplexity_change(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Test perplexity before and after training, one row per adapter, on a logarithmic axis.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.evaluation.tables.build_tables`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 1.2 + 0.34 * max(2, len(names))), layout="constrained")
        if not names:
            _empty(figure, "No adapter was trained.")
        else:
            axes = figure.subplots()
            _log_scale(axes, "x")
            for place, name in enumerate(names):
                ends = [by_name[name]["perplexity"][when]["test"] for when in ("before", "after")]
                axes.plot(ends, [place, place], color="#999999", linewidth=1.2)
                axes.plot(ends[:1], [place], "o", markerfacecolor="white", color=COLOURS[0], label="before")
                axes.plot(ends[1:], [place], "o", color=COLOURS[0], label="after")
            axes.set_yticks(range(len(names)), [label_of(name, labels) for name in names])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.set_xlabel("test perplexity")
            figure.legend(*_first_of_each(axes), loc="outside upper right", ncols=2)
        save(figure, output)


def _first_of_each(axes: Axes) -> tuple[list[Any], list[str]]:
    handles, names = axes.get_legend_handles_labels()
    return handles[:2], names[:2]


def validation_curves(
    histories: Sequence[Mapping[str, Any]], labels: Labels, output: Path, *, models: Sequence[str] = ()
) -> None:
    """Validation AUROC by epoch: a panel per task, a line per model, the mean over its seeds.

    Args:
        histories: One mapping per run: model, task, seed, curve (one mapping per epoch: epoch, counted from 1, and
            validation_auroc, a fraction or None where undefined).
        labels: As for `clinical_peft.evaluation.tables.build_tables`.
        output: SVG file to write.
        models: Further models of the study, without epochs; with them a model has one colour in all figures.
    """
    tasks = [task for task in TASK_LABELS if any(row["task"] == task for row in histories)]
    trained = {row["model"] for row in histories}
    position_of = {model: place for place, model in enumerate(in_order([*models, *trained], labels))}
    drawn = [model for model in position_of if model in trained]
    columns = min(3, max(1, len(tasks)))
    lines = -(-len(tasks) // columns)
    with matplotlib.rc_context(STYLE):
        size = (2.9 * columns, 2.2 * max(1, lines) + _legend_height(drawn))
        figure = Figure(figsize=(max(6.0, size[0]), size[1]), layout="constrained")
        if not tasks:
            _empty(figure, "No model was trained by epochs.")
        panels: Any = figure.subplots(lines, columns, squeeze=False).ravel() if tasks else []
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        for task, axes in zip(tasks, panels, strict=False):
            for model in drawn:
                runs = [row for row in histories if (row["model"], row["task"]) == (model, task)]
                _epochs(axes, runs, position_of[model], label_of(model, labels))
            axes.set(title=TASK_LABELS[task], xlabel="epoch", ylabel="validation AUROC (%)")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if tasks:
            _legend(figure, panels[0])
        save(figure, output)


def _epochs(axes: Axes, runs: Sequence[Mapping[str, Any]], position: int, label: str) -> None:
    if not runs:
        axes.plot([], [], label=label, **_style(position))
        return
    length = min(len(run["curve"]) for run in runs)
    epochs = [point["epoch"] for point in runs[0]["curve"][:length]]
    values = [[point["validation_auroc"] for point in run["curve"][:length]] for run in runs]
    means = 100 * np.array(values, dtype=np.float64).mean(axis=0)
    marker = MARKERS[position % len(MARKERS)]
    axes.plot(epochs, means, marker=marker, markersize=3.5, label=label, **_style(position))


def roc_pr(task: str, predictions: Mapping[str, Sequence[Path]], classes: Path, labels: Labels, output: Path) -> None:
    """ROC and precision-recall curves on the test split, one line per model.

    Curves are averaged over seeds at equal false-positive rate and at equal recall. Binary: of the second class.
    Multiclass: mean over classes, each against the rest. Multilabel: all pairs of admission and class pooled (micro).

    Args:
        task: Name of the task.
        predictions: Predictions files of each model's seeds.
        classes: JSON list, the ordered label space.
        labels: As for `clinical_peft.evaluation.tables.build_tables`.
        output: SVG file to write.
    """
    models = in_order(list(predictions), labels)
    averaging = {"binary": "", "multiclass": ", mean over classes", "multilabel": ", all labels pooled"}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.5 + _legend_height(models)), layout="constrained")
        roc, precision = figure.subplots(1, 2)
        prevalence = 0.0
        for position, model in enumerate(models):
            curves = mean_curves(predictions[model], classes, task)
            prevalence = curves.prevalence
            roc.plot(GRID, curves.true_positive_rate, label=label_of(model, labels), **_style(position))
            precision.plot(GRID[1:], curves.precision[1:], **_style(position))
        roc.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
        precision.axhline(prevalence, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
        suffix = averaging[TASK_TYPES[task]]
        roc.set(title=f"{TASK_LABELS[task]}: ROC{suffix}", xlabel="false-positive rate", ylabel="true-positive rate")
        precision.set(title=f"Precision and recall{suffix}", xlabel="recall", ylabel="precision")
        for axes in (roc, precision):
            axes.set(xlim=(0, 1), ylim=(0, 1.01))
        _legend(figure, roc)
        save(figure, output)
