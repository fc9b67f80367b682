"""All figures of a study, drawn into one folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_peft.evaluation.attrition_flow import attrition_flow
from clinical_peft.evaluation.figures import (
    downstream_auroc,
    learning_curves,
    perplexity_change,
    roc_pr,
    validation_curves,
)
from clinical_peft.evaluation.tables import Labels
from clinical_peft.files import private_directory


def draw_all(
    folder: Path,
    *,
    aggregate: Mapping[str, Any],
    perplexities: Sequence[Mapping[str, Any]],
    training: Sequence[Mapping[str, Any]],
    predictions: Mapping[str, Mapping[str, Sequence[Path]]],
    classes: Mapping[str, Path],
    attrition: Mapping[str, Sequence[Mapping[str, Any]]],
    labels: Labels,
) -> list[Path]:
    """Draw the figures for which a study has data.

    Args:
        folder: Folder to write SVG files into; created if missing.
        aggregate: What `clinical_peft.evaluation.aggregate.aggregate` returned.
        perplexities: Content of the perplexity files.
        training: Content of the training records: model, task, seed and `curve`, whose entries hold
            `validation_auroc` by `epoch` where the model is trained in epochs.
        predictions: By task and model, the predictions files of its seeds.
        classes: By task, the label-space file.
        attrition: By task, the ordered steps of its cohort, each {step, unit, rows, patients} and perhaps left_out.
        labels: As for `clinical_peft.evaluation.tables.build_tables`.

    Returns:
        The files written.
    """
    private_directory(folder)
    if attrition:
        attrition_flow(attrition, folder / "attrition.svg")
    if perplexities:
        learning_curves(perplexities, labels, folder / "learning_curves.svg")
        perplexity_change(perplexities, labels, folder / "perplexity_change.svg")
    if aggregate["summaries"]:
        downstream_auroc(aggregate, labels, folder / "downstream_auroc.svg")
    histories = [record for record in training if all("epoch" in point for point in record["curve"])]
    if histories:
        models = [record["model"] for record in training]
        validation_curves(histories, labels, folder / "validation_auroc.svg", models=models)
    for task, by_model in predictions.items():
        if by_model:
            roc_pr(task, by_model, classes[task], labels, folder / f"roc_pr_{task}.svg")
    return sorted(folder.glob("*.svg"))
