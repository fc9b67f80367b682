"""Figures of the clinical adapters: perplexity while and after they are trained, and what it cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from clinical_peft.figures.style import (
    COLOURS,
    STYLE,
    legend_below,
    legend_height,
    line_style,
    log_scale,
    marker,
    save,
    say,
    short_count,
)
from clinical_peft.tables.form import Labels, in_order, label_of


def learning_curves(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Validation perplexity by tokens trained on: a panel per base, a line per adapter.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    bases = sorted({row["base"] for row in perplexities})
    with matplotlib.rc_context(STYLE):
        size = (max(6.6, 4.2 * len(bases)), 3.1 + legend_height(names))
        figure = Figure(figsize=size, layout="constrained")
        if not bases:
            say(figure, "No adapter was trained.")
        panels: Any = figure.subplots(1, max(1, len(bases)), squeeze=False)[0] if bases else []
        for base, axes in zip(bases, panels, strict=True):
            for position, name in enumerate(names):
                tokens, values = _perplexity_course(by_name[name]) if by_name[name]["base"] == base else ([], [])
                style = {"marker": marker(position), "markersize": 3.5, **line_style(position)}
                axes.plot(tokens, values, label=label_of(name, labels), **style)
            log_scale(axes, "y")
            axes.set(title=base, xlabel="training tokens", ylabel="validation perplexity")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
        if bases:
            legend_below(figure, panels[0])
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


def perplexity_change(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Test perplexity before and after training, one row per adapter, on a logarithmic axis.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 1.2 + 0.34 * max(2, len(names))), layout="constrained")
        if not names:
            say(figure, "No adapter was trained.")
        else:
            axes = figure.subplots()
            log_scale(axes, "x")
            for place, name in enumerate(names):
                ends = [by_name[name]["perplexity"][when]["test"] for when in ("before", "after")]
                axes.plot(ends, [place, place], color="#999999", linewidth=1.2)
                axes.plot(ends[:1], [place], "o", markerfacecolor="white", color=COLOURS[0], label="before")
                axes.plot(ends[1:], [place], "o", color=COLOURS[0], label="after")
            axes.set_yticks(range(len(names)), [label_of(name, labels) for name in names])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.set_xlabel("test perplexity")
            handles, texts = axes.get_legend_handles_labels()
            figure.legend(handles[:2], texts[:2], loc="outside upper right", ncols=2)
        save(figure, output)


def perplexity_cost(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Test perplexity after training against trainable parameters and against training time, a point per adapter.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.1 + legend_height(names)), layout="constrained")
        if not names:
            say(figure, "No adapter was trained.")
            save(figure, output)
            return
        parameters, seconds = figure.subplots(1, 2, sharey=True)
        for position, name in enumerate(names):
            row = by_name[name]
            style = {"marker": marker(position), "markersize": 7, "color": line_style(position)["color"]}
            for axes, cost in ((parameters, row["trainable_parameters"]), (seconds, row["seconds"])):
                axes.plot(
                    [cost], [row["perplexity"]["after"]["test"]], linestyle="", **style, label=label_of(name, labels)
                )
        for axes, title in ((parameters, "trainable parameters"), (seconds, "training time (s)")):
            low, high = axes.dataLim.intervalx
            axes.margins(x=0.15)
            log_scale(axes, "x", subdivided=bool(high < 10 * low))
            axes.set_xlabel(title)
        parameters.set_ylabel("test perplexity")
        parameters.margins(y=0.1)
        log_scale(parameters, "y")
        legend_below(figure, parameters)
        save(figure, output)
