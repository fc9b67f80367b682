"""All figures of a study, drawn into one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import coarse, few
from clinical_peft.figures.adapter_figures import learning_curves, perplexity_change, perplexity_cost
from clinical_peft.figures.attrition_flow import attrition_flow
from clinical_peft.figures.embedding_maps import embedding_maps, read_pooled_set
from clinical_peft.figures.model_figures import downstream_auroc, roc_pr, validation_curves
from clinical_peft.figures.use_figures import (
    decision_curves,
    decision_curves_of,
    reliability_diagram,
    reliability_of,
)
from clinical_peft.files import private_directory
from clinical_peft.metrics.label_frequency import label_frequency
from clinical_peft.metrics.predictions import read_classes
from clinical_peft.tables.form import Labels
from clinical_peft.tasks import find_task


@dataclass(frozen=True, kw_only=True)
class FigureSources:
    """What a study's figures are drawn from.

    Attributes:
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        perplexities: Content of the perplexity files.
        training: Content of the training records: model, task, seed and `curve`, whose entries hold
            `validation_auroc` by `epoch` where the model is trained in epochs.
        predictions: By task and model, the predictions files of its seeds.
        classes: By task, the label-space file.
        cohorts: By task, the cohort file.
        attrition: By task, the ordered steps of its cohort, each {step, unit, rows, patients} and perhaps left_out.
        calibration: What `clinical_peft.metrics.calibrate.calibrate` returned.
        pooled: Files of pooled features.
        bootstrap_seed: Seed of the study's bootstrap.
    """

    aggregate: Mapping[str, Any]
    perplexities: Sequence[Mapping[str, Any]]
    training: Sequence[Mapping[str, Any]]
    predictions: Mapping[str, Mapping[str, Sequence[Path]]]
    classes: Mapping[str, Path]
    cohorts: Mapping[str, Path]
    attrition: Mapping[str, Sequence[Mapping[str, Any]]]
    calibration: Mapping[str, Any]
    pooled: Sequence[Path] = field(default=())
    bootstrap_seed: int = 0


def draw_all(folder: Path, sources: FigureSources, labels: Labels) -> list[Path]:
    """Draw the figures for which a study has data.

    Args:
        folder: Folder to write SVG files into; created if missing.
        sources: What they are drawn from.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.

    Returns:
        The files written.
    """
    private_directory(folder)
    if sources.attrition:
        attrition_flow(sources.attrition, folder / "attrition.svg")
    if sources.perplexities:
        learning_curves(sources.perplexities, labels, folder / "learning_curves.svg")
        perplexity_change(sources.perplexities, labels, folder / "perplexity_change.svg")
        perplexity_cost(sources.perplexities, labels, folder / "perplexity_cost.svg")
    _draw_models(folder, sources, labels)
    _draw_use(folder, sources.calibration, labels)
    embedding_maps([read_pooled_set(path) for path in sources.pooled], sources.cohorts, folder / "embeddings.svg")
    return sorted(folder.glob("*.svg"))


def _draw_models(folder: Path, sources: FigureSources, labels: Labels) -> None:
    if sources.aggregate["summaries"]:
        downstream_auroc(sources.aggregate, labels, folder / "downstream_auroc.svg")
    histories = [record for record in sources.training if all("epoch" in point for point in record["curve"])]
    if histories:
        rare = {task for task in {record["task"] for record in histories} if _has_few(sources, task)}
        histories = [coarse(record) if record["task"] in rare else record for record in histories]
        models = [record["model"] for record in sources.training]
        validation_curves(histories, labels, folder / "validation_auroc.svg", models=models)
    predictions = {task: by_model for task, by_model in sources.predictions.items() if by_model}
    links = {(run["model"], run["task"]): run["link"] for run in sources.calibration["runs"]}
    for task, by_model in predictions.items():
        output = folder / f"roc_pr_{task}.svg"
        level = sources.aggregate["level"]
        roc_pr(
            task,
            by_model,
            sources.classes[task],
            labels,
            output,
            bootstrap_seed=sources.bootstrap_seed,
            level=level,
            links=links,
        )
    if any(find_task(task).multilabel for task in predictions):
        output = folder / "label_frequency.svg"
        label_frequency(predictions, sources.classes, sources.cohorts, labels, output, links=links)


def _has_few(sources: FigureSources, task: str) -> bool:
    """Whether the number of a class in a task's validation split is hidden."""
    if find_task(task).multilabel or task not in sources.cohorts:
        return False
    table = pq.read_table(sources.cohorts[task], columns=["label"], filters=[("split", "=", "validation")])
    labels = table["label"].to_numpy()
    return few(int((labels == label).sum()) for label in range(len(read_classes(sources.classes[task]))))


def _draw_use(folder: Path, calibration: Mapping[str, Any], labels: Labels) -> None:
    for task in sorted({run["task"] for run in calibration["runs"]}):
        runs = [run for run in calibration["runs"] if run["task"] == task]
        reliability_diagram(task, reliability_of(runs), labels, folder / f"reliability_{task}.svg")
        curves = decision_curves_of(runs)
        if curves is not None:
            decision_curves(task, curves, labels, folder / f"decision_{task}.svg")
