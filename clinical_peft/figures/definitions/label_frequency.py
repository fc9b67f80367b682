"""AUROC per label of a multilabel task, by how often the label stands in the training notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import SMALLEST_CELL, whole_table
from clinical_peft.figures.definitions.roc_pr import links_of_runs
from clinical_peft.figures.marks import mark
from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import (
    GUIDE,
    legend_below,
    legend_height,
    line_style,
    log_scale,
    marker,
    new_figure,
)
from clinical_peft.metrics.areas import scored_classes
from clinical_peft.metrics.predictions import read_classes, read_predictions
from clinical_peft.models.scores import Link, Links
from clinical_peft.tables.form import Labels, in_order, label_of
from clinical_peft.tables.main_comparisons import drawn_labels
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_order, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = 5  # of equally many labels, by rising frequency


def label_aurocs(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """AUROC of each label: the share of pairs of a positive and a negative row in the right order, ties half.

    Args:
        scores: Scores, or log-odds, of shape (N, K).
        target: True where positive, of shape (N, K).

    Returns:
        Fractions, float64 of shape (K,); NaN for a label without both kinds of rows.
    """
    # Imported where it is needed: the start of every run reads this module.
    from scipy.stats import rankdata

    positives = target.sum(axis=0)
    pairs = positives * (len(target) - positives)
    above = (rankdata(scores, axis=0) * target).sum(axis=0) - positives * (positives + 1) / 2
    return np.asarray(above / np.where(pairs > 0, pairs, np.nan))


def training_counts(cohort: Path, classes: Sequence[Any]) -> np.ndarray:
    """Number of training admissions with each label of a multilabel cohort, int64 of shape (K,)."""
    table = pq.read_table(cohort, columns=["label"], filters=[("split", "=", "train")])
    found = pc.index_in(pc.list_flatten(table.column("label")), value_set=pa.array(classes, pa.string()))
    return np.bincount(pc.drop_null(found).to_numpy(), minlength=len(classes))


def label_frequency(
    predictions: Mapping[str, Mapping[str, Sequence[Path]]],
    classes: Mapping[str, Path],
    cohorts: Mapping[str, Path],
    labels: Labels,
    output: Path,
    *,
    tasks: Tasks,
    links: Links | None = None,
) -> None:
    """Test AUROC of the labels against their training admissions: a panel per multilabel task, a line per model.

    A point is the mean over one fifth of the labels, a model's AUROC of a label the mean over its seeds. Dots show the
    single labels of the first model of the study, of those whose counts may be published
    (`clinical_peft.disclosure.counts`); a fifth of labels that are too rare even together joins the next.

    Args:
        predictions: By task and model, the predictions files of its seeds.
        classes: By task, the label-space file.
        cohorts: By task, the cohort file.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
        tasks: The study's tasks.
        links: By model and task, as for `clinical_peft.metrics.predictions.read_predictions`.
    """
    shown = [name for name in task_order(tasks) if predictions.get(name) and tasks[name].multilabel]
    models = in_order([model for task in shown for model in predictions[task]], labels)
    size = (3.7 * max(2, len(shown)), 3.1 + legend_height(models))
    with new_figure(output, size) as figure:
        panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for task, axes in zip(shown, panels, strict=True):
            space = read_classes(classes[task])
            counts = training_counts(cohorts[task], space)
            found = False
            for position, model in enumerate(models):
                files = predictions[task].get(model, ())
                link = (links or {}).get((model, task))
                values, cases = (
                    _mean_aurocs(files, space, link)
                    if files
                    else (np.full(len(space), np.nan), np.zeros((2, len(space))))
                )
                found |= _labels_of_model(axes, counts, values, cases, position, model, label_of(model, labels))
            axes.axhline(50, **GUIDE)
            if found:
                log_scale(axes, "x")
            unit = unit_of([tasks[task]])
            axes.set(title=tasks[task].short, xlabel=f"training {unit}s with the label")
        panels[0].set_ylabel("test AUROC (%)")
        legend_below(figure, panels[0])


def _mean_aurocs(files: Sequence[Path], space: tuple[Any, ...], link: Link | None) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each label in percent, mean over seeds, and test positives and negatives, of shape (2, K)."""
    runs = [read_predictions(path, space, "multilabel", link=link, patients_apart=False)["test"] for path in files]
    scored = scored_classes(runs[0].target)
    values = np.full(len(space), np.nan)
    values[scored] = 100 * np.mean(
        [label_aurocs(run.log_odds[:, scored], run.target[:, scored]) for run in runs], axis=0
    )
    positives = runs[0].target.sum(axis=0)
    return values, np.stack([positives, len(runs[0].target) - positives])


def _labels_of_model(
    axes: "Axes",
    counts: np.ndarray,
    values: np.ndarray,
    cases: np.ndarray,
    position: int,
    model: str,
    label: str,
) -> bool:
    """Draw the labels that may be shown; whether there are any."""
    known = np.flatnonzero(~np.isnan(values) & (counts > 0))
    order = known[np.argsort(counts[known], kind="stable")]
    groups = _publishable_groups([group for group in np.array_split(order, GROUPS) if len(group)], counts, cases)
    fine = order[whole_table(counts[order], *cases[:, order])]
    style = {"marker": marker(position), "markersize": 3.5, **line_style(position)}
    points = [counts[g].mean() for g in groups], [values[g].mean() for g in groups]
    for line in axes.plot(*points, label=label, **style):
        mark(line, label, series=model)
    if position == 0:
        dots = {"markersize": 2.5, "alpha": 0.5, "color": style["color"]}
        mark(axes.plot(counts[fine], values[fine], ".", **dots)[0], series=model)
    return len(groups) > 0 or (position == 0 and len(fine) > 0)


def _publishable_groups(groups: Sequence[np.ndarray], counts: np.ndarray, cases: np.ndarray) -> list[np.ndarray]:
    """Groups of labels, joined until the rare ones of each cover each other; without those that never do."""
    found: list[np.ndarray] = []
    open_group = np.array([], np.int64)
    for group in groups:
        open_group = np.concatenate([open_group, group])
        few = [counts[open_group], *cases[:, open_group]]
        if all(count.sum() >= SMALLEST_CELL + len(open_group) for count in few) and len(open_group) > 1:
            found.append(open_group)
            open_group = np.array([], np.int64)
    return found


def _drawings(results: StudyResults) -> dict[str, Draw]:
    predictions = {task: by_model for task, by_model in results.predictions.items() if by_model}
    if not any(results.tasks[task].multilabel for task in predictions):
        return {}
    return {
        "label_frequency": lambda output: label_frequency(
            predictions,
            results.classes,
            results.cohorts,
            drawn_labels(results),
            output,
            tasks=results.tasks,
            links=links_of_runs(results),
        )
    }


FIGURE = StudyFigure(
    name="label_frequency",
    place=6,
    section="metrics",
    needs=("predictions", "classes", "cohorts", "calibration", "comparison"),
    caption=(
        "AUROC per label, by how often labels stand in the training notes. A point is the mean "
        "of a fifth of the labels, from the rarest to the most frequent; dots are the single labels of the "
        "first model that have at least ten training and test {units}. Labels without both kinds of test "
        "{unit} are left out; those of few test {units} scatter by chance. Dashed: chance."
    ),
    drawings=_drawings,
    has_choice=True,
    folded="AUROC of labels by frequency",
)
