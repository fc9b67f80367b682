"""The first lines of README's results: what adaptation is worth where something was planted for it to find."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError
from clinical_peft.files import read_json
from clinical_peft.metrics.registry import COMPARED

DESTINATION, COIN = "destination", "control"
METRIC = COMPARED.name
BEGIN = "<!-- the planted effect: written by `make readme-results` -->"
END = "<!-- end of the planted effect -->"


@dataclass(frozen=True)
class Gain:
    """A model with an adapter of notes, and the same model without one.

    Attributes:
        adapted: The model with it.
        unadapted: The model without it.
        task: The task.
    """

    adapted: str
    unadapted: str
    task: str


GAINS = (
    Gain("llama+clinical-frozen", "llama", DESTINATION),
    Gain("llama+clinical-trainable+downstream", "llama+lora", DESTINATION),
    Gain("llama+placebo-frozen", "llama", DESTINATION),
    Gain("llama+clinical-trainable+downstream", "llama+lora", COIN),
)
"""The comparisons that the demo was made for, named beforehand: two that should gain, and two that should not."""


def summarise_planted(study: Path, uncertainty: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Gather the gains of a study with a planted effect.

    Args:
        study: Folder of the finished study.
        uncertainty: Rows of its table `uncertainty`.

    Returns:
        best (percent that a reader who knew every place would be expected to reach) and gains: list of {adapted,
        unadapted, task, gain: [percentage points, low, high]}, over patients and seeds. Empty where nothing was
        planted.

    Raises:
        DataError: A comparison is missing.
    """
    if not any(row["task"] == DESTINATION for row in uncertainty):
        return {}
    best = read_json(study / "hospital/PROVENANCE.json")["bayes_auroc"][DESTINATION]
    gains = [
        {"adapted": gain.adapted, "unadapted": gain.unadapted, "task": gain.task, "gain": _gain(gain, uncertainty)}
        for gain in GAINS
    ]
    return {"best": round(100 * best, 1), "gains": gains}


def _gain(gain: Gain, uncertainty: Sequence[Mapping[str, str]]) -> list[float]:
    """Difference of the compared metric in percentage points, and the ends of its interval over patients and seeds.

    A row's difference is the second model's value less that of the first.
    """
    columns = ("difference_percent", "total_low_percent", "total_high_percent")
    for row in uncertainty:
        if row["kind"] != "difference" or row["task"] != gain.task:
            continue
        difference, low, high = (float(row[column]) if row[column] else float("nan") for column in columns)
        if (row["first"], row["second"]) == (gain.unadapted, gain.adapted):
            return [round(difference, 1), round(low, 1), round(high, 1)]
        if (row["first"], row["second"]) == (gain.adapted, gain.unadapted):
            return [round(-difference, 1), round(-high, 1), round(-low, 1)]
    raise DataError(f"uncertainty.csv: expected {gain.adapted} against {gain.unadapted} on {gain.task}, found neither")


def opening(summary: Mapping[str, Any]) -> str:
    """Return the paragraph that opens README, its marks included; empty where nothing was planted.

    Args:
        summary: What `clinical_peft.report.readme_results.summarise` returned.
    """
    if not summary["planted"]:
        return ""
    gain, _, placebo, _ = summary["planted"]["gains"]
    values = {model["model"]: model[METRIC] for model in summary["models"]}
    before, after = (values[gain[key]][DESTINATION][0] for key in ("unadapted", "adapted"))
    return "\n".join(
        (
            BEGIN,
            "In the demo, a language model is adapted to the notes of other patients. Its "
            f"{COMPARED.title} for the discharge destination",
            f"then rises from {before:.1f} to {after:.1f}, a gain of {_interval(gain['gain'])}.",
            "The effect is planted in a synthetic hospital. A placebo adapter, trained on the same notes without the",
            f"effect, gains {_interval(placebo['gain'])}.",
            END,
        )
    )


def _interval(gain: Sequence[float]) -> str:
    points, low, high = gain
    return f"{points:+.1f} (95% interval {low:+.1f} to {high:+.1f})"


def planted_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines as Markdown; none where nothing was planted.

    Args:
        summary: What `clinical_peft.report.readme_results.summarise` returned.
    """
    planted = summary["planted"]
    if not planted:
        return
    models = {model["model"]: model for model in summary["models"]}
    yield from (
        "**Adaptation helps where notes hold something to learn.** The effect is planted. In the synthetic hospital",
        "a patient's place of origin decides where survivors go, and only MIMIC-IV notes of other patients tell which",
        "place is of which kind ([the planted effect](docs/data.md#the-planted-effect)). The table shows that the",
        "pipeline finds such an effect. It says nothing about medicine.",
        "",
        "| model | task | AUROC | without the adapter | gain (95% interval over patients and seeds) |",
        "|---|---|---:|---:|---:|",
    )
    for gain in planted["gains"]:
        adapted, unadapted = models[gain["adapted"]], models[gain["unadapted"]]
        values = [model[METRIC][gain["task"]][0] for model in (adapted, unadapted)]
        points, low, high = gain["gain"]
        task = "coin (control)" if gain["task"] == COIN else "discharge destination"
        interval = f"{points:+.1f} ({low:+.1f} to {high:+.1f})"
        yield f"| {adapted['label']} | {task} | {values[0]:.1f} | {values[1]:.1f} | {interval} |"
    yield from (
        "",
        f"A reader who knew every place would be expected to reach {planted['best']:.1f}. The placebo adapter read the",
        "same notes with kinds drawn at random, and the coin is a label without any signal. Both should gain nothing.",
        "",
        "All models and tasks:",
        "",
    )
