"""The flow from raw rows to cohorts as a drawing."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import COLOURS, new_figure
from clinical_peft.tables.cohort_counts import also_left_out, left_out_between
from clinical_peft.tables.published_steps import Step, published_attrition, untold_cohorts
from clinical_peft.tables.study_tasks import Tasks, task_label, task_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches, and characters of a line in a box.
BOX_WIDTH, BOX_HEIGHT = 2.0, 0.5
COLUMN, ROW = 2.25, 0.86
MARGIN = 0.15
LINE_PITCH, SMALL_LINE_PITCH = 0.145, 0.12
BEND = 0.06  # below a box, where the arrows to several columns part
LINE_CHARACTERS = 33
FONT, SMALL_FONT = 7.5, 6.5
LINE_COLOUR = "#555555"
LEFT_OUT_COLOUR = "#8c3b00"  # dark, so that it reads on white; the sign says the same as the colour


@dataclass(frozen=True)
class Group:
    """Cohorts whose steps begin alike.

    Attributes:
        trunk: The steps that they share; none when the group has one cohort.
        branches: By task, its further steps.
    """

    trunk: tuple[Step, ...]
    branches: Mapping[str, tuple[Step, ...]]


def group_by_trunk(attrition: Mapping[str, Sequence[Step]], tasks: Tasks) -> list[Group]:
    """Gather the cohorts that start from the same rows, in the order of the tables."""
    by_start: dict[str, dict[str, Sequence[Step]]] = {}
    for task in sorted(attrition, key=task_order(tasks).index):
        by_start.setdefault(attrition[task][0]["step"], {})[task] = attrition[task]
    groups = []
    for cohorts in by_start.values():
        shortest = min(map(len, cohorts.values()))
        alike = takewhile(lambda steps: all(step == steps[0] for step in steps), zip(*cohorts.values(), strict=False))
        shared = min(len(list(alike)), shortest - 1) if len(cohorts) > 1 else 0
        trunk = tuple(next(iter(cohorts.values()))[:shared])
        groups.append(Group(trunk, {task: tuple(steps[shared:]) for task, steps in cohorts.items()}))
    return groups


def attrition_flow(
    attrition: Mapping[str, Sequence[Step]], tasks: Tasks, output: Path, untold: Collection[str] = ()
) -> None:
    """Draw every cohort's steps from top to bottom: a box per step, beside each arrow what the step left out.

    Counts that may not be published are left out (`clinical_peft.tables.published_steps`). Cohorts that begin alike
    share a trunk; the last box of each column is the cohort. A table that a step joins has
    a column of its own on the right, which ends beside the step.

    Args:
        attrition: By task, the ordered steps of its cohort, each {step, unit, rows, patients} and perhaps left_out or
            joined (the steps of a table).
        tasks: The study's tasks.
        output: SVG file to write.
        untold: As for `clinical_peft.tables.published_steps.published_attrition`.
    """
    published = published_attrition({task: steps for task, steps in attrition.items() if steps}, untold)
    groups = group_by_trunk(published, tasks)
    columns = sum(_width(group) for group in groups)
    rows = max(_rows(steps, len(group.trunk))[-1] + 1 for group in groups for steps in group.branches.values())
    size = (columns * COLUMN + 2 * MARGIN, rows * ROW + 2 * MARGIN)
    with new_figure(output, size, layout=None) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
        axes.set_axis_off()
        left = 0
        for group in groups:
            _draw_group(axes, group, left, tasks)
            left += _width(group)


def _width(group: Group) -> int:
    """The number of a group's columns."""
    return sum(_branch_width(steps) for steps in group.branches.values())


def _branch_width(steps: Sequence[Step]) -> int:
    return 2 if any(_joined(step) for step in steps) else 1


def _joined(step: Step) -> Sequence[Step]:
    return step.get("joined", ())


def _rows(steps: Sequence[Step], first: int) -> list[int]:
    """The row of each step from ``first`` on; one that joins a table stands low enough for the table's steps."""
    rows: list[int] = []
    for step in steps:
        rows.append(max(rows[-1] + 1 if rows else first, first + len(_joined(step)) - 1))
    return rows


def _draw_group(axes: "Axes", group: Group, left: int, tasks: Tasks) -> None:
    centre = left + (_width(group) - 1) / 2
    _draw_chain(axes, group.trunk, centre, _rows(group.trunk, 0))
    column = left
    for task, steps in group.branches.items():
        rows = _rows(steps, len(group.trunk))
        _draw_chain(axes, steps, column, rows, label=task_label(task, tasks))
        if group.trunk:
            _draw_arrow(axes, (centre, len(group.trunk) - 1), (column, rows[0]), group.trunk[-1], steps[0])
        for step, row in zip(steps, rows, strict=True):
            if table := _joined(step):
                _draw_chain(axes, table, column + 1, list(range(row - len(table) + 1, row + 1)))
                _draw_joint(axes, column, row)
        column += _branch_width(steps)


def _draw_chain(axes: "Axes", steps: Sequence[Step], column: float, rows: Sequence[int], label: str = "") -> None:
    for step, row in zip(steps, rows, strict=True):
        _draw_box(axes, step, column, row, label if row == rows[-1] else "")
    for (before, above), (after, below) in pairwise(zip(steps, rows, strict=True)):
        _draw_arrow(axes, (column, above), (column, below), before, after)


def _place(column: float, row: float) -> tuple[float, float]:
    """The middle of a box's upper edge."""
    return MARGIN + (column + 0.5) * COLUMN, MARGIN + row * ROW


def _draw_box(axes: "Axes", step: Step, column: float, row: int, label: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = _place(column, row)
    axes.add_patch(
        FancyBboxPatch(
            (x - BOX_WIDTH / 2, y),
            BOX_WIDTH,
            BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="#e6f0f7" if label else "white",
            edgecolor=COLOURS[0],
            linewidth=1.6 if label else 0.9,
        )
    )
    name = f"{label}: {step['step']}" if label else step["step"]
    names = textwrap.wrap(name, LINE_CHARACTERS, max_lines=2, placeholder=" …")
    counts = [_counted(step["rows"], step["unit"]), _counted(step["patients"], "patients")]
    lines = [*names, ", ".join(filter(None, counts)) or "counts not shown"]
    for place, line in enumerate(lines):
        height = y + BOX_HEIGHT / 2 + (place - (len(lines) - 1) / 2) * LINE_PITCH
        weight = "bold" if label and place < len(names) else "normal"
        axes.text(x, height, line, ha="center", va="center", fontsize=FONT, fontweight=weight)


def _draw_arrow(axes: "Axes", start: tuple[float, int], end: tuple[float, int], before: Step, after: Step) -> None:
    """From one box to another, each given by its column and row, with what was left out above the second."""
    (x_start, top), (x_end, bottom) = _place(*start), _place(*end)
    bend = top + BOX_HEIGHT + BEND
    axes.plot(
        [x_start, x_start, x_end, x_end], [top + BOX_HEIGHT, bend, bend, bottom], color=LINE_COLOUR, linewidth=0.9
    )
    _draw_head(axes, (x_end, bottom - 0.1), (x_end, bottom))
    for place, line in enumerate(_left_out_lines(before, after)):
        height = bottom - (ROW - BOX_HEIGHT) + BEND + 0.1 + place * SMALL_LINE_PITCH
        axes.text(x_end + 0.08, height, line, va="center", fontsize=SMALL_FONT, color=LEFT_OUT_COLOUR)


def _draw_joint(axes: "Axes", column: float, row: int) -> None:
    """From the box on the right of another to it."""
    x, top = _place(column, row)
    height = top + BOX_HEIGHT / 2
    _draw_head(axes, (x + COLUMN - BOX_WIDTH / 2, height), (x + BOX_WIDTH / 2, height))


def _draw_head(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": LINE_COLOUR, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def _left_out_lines(before: Step, after: Step) -> list[str]:
    rows, patients = left_out_between(before, after)
    parts = [f"−{_counted(rows, before['unit'])}"] if rows else []
    parts += [f"−{_counted(patients, 'patients')}"] if patients else []
    lines = [", ".join(parts)] if parts else []
    return [*lines, *textwrap.wrap(also_left_out(after), LINE_CHARACTERS, max_lines=2 - len(lines), placeholder=" …")]


def _counted(number: int | None, plural: str) -> str:
    """A count with its noun; nothing where it is hidden."""
    if number is None:
        return ""
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


FIGURE = StudyFigure(
    name="attrition",
    folded="The flow from raw rows to cohorts",
    place=1,
    section="data",
    needs=("attrition", "statistics"),
    caption=(
        "How each cohort comes from the raw rows, from top to bottom: a box is a step with the rows and patients "
        "that it leaves, the figures beside an arrow are what the step left out. A step that leaves out fewer than "
        "ten shows no counts: what it left out is part of the difference between the counts around it. Cohorts that "
        "begin alike share a trunk; the shaded boxes are the cohorts."
    ),
    drawings=lambda results: (
        {
            "attrition": lambda output: attrition_flow(
                results.attrition, results.tasks, output, untold_cohorts(results.statistics)
            )
        }
        if results.attrition
        else {}
    ),
)
