"""The paper's Tables 1 to 4, for printing beside a study's own results."""

import json
from functools import cache
from importlib import resources
from typing import Any

from clinical_peft.tasks import PAPER_TASKS

PUBLISHED_METRIC = "auroc"
# Printed averages are rounded to 0.01, and so is each of the five values they average.
ROUNDING = 0.011
PAPER_SOURCE = "mimic-iii"
PAPER_BASES = frozenset(
    {
        "huggyllama/llama-7b",
        "chaoyi-wu/PMC_LLAMA_7B",
        "bionlp/bluebert_pubmed_mimic_uncased_L-12_H-768_A-12",
        "GanjinZero/UMLSBert_ENG",
        "emilyalsentzer/Bio_ClinicalBERT",
        "bvanaken/CORe-clinical-outcome-biobert-v1",
    }
)
"""Bases of the paper by their names on the Hub."""


@cache
def published() -> dict[str, Any]:
    """The published results as stored beside this module; key `source` names where they come from."""
    text = resources.files("clinical_peft.tables").joinpath("published.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


def published_statistics(task: str) -> dict[str, Any] | None:
    """Table 1: classes, multilabel, train, validation and test of a task, or None."""
    table = published()["table1_dataset_statistics"]
    return dict(zip(table["columns"], table[task], strict=True)) if task in table else None


def published_adapter(row: str | None) -> dict[str, Any] | None:
    """Table 2: results of a row named `base/method`, for instance `llama-7b/lora`, or None.

    Returns:
        trainable_parameters, percent (as number), train_perplexity, test_perplexity, train_seconds.
    """
    base, _, method = (row or "").partition("/")
    values = published()["table2_domain_adaptation"].get(base, {})
    if base == "columns" or method not in values:
        return None
    parameters, percent, train, test, clock = values[method]
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return {
        "trainable_parameters": parameters,
        "percent": float(percent.rstrip("%")),
        "train_perplexity": train,
        "test_perplexity": test,
        "train_seconds": hours * 3600 + minutes * 60 + seconds,
    }


def published_auroc(row: str | None) -> dict[str, float] | None:
    """Tables 3 and 4: AUROC in percent by task, and `macro_average` as printed, or None."""
    for name in ("table3_downstream_auroc", "table4_lora_baselines_auroc"):
        table = published()[name]
        if row in table and row != "columns":
            return dict(zip((*PAPER_TASKS, "macro_average"), table[row], strict=True))
    return None


def published_table(row: str) -> str | None:
    """`main` for a row of Table 3, `lora_baselines` for one of Table 4, else None."""
    if row == "columns":
        return None
    if row in published()["table3_downstream_auroc"]:
        return "main"
    return "lora_baselines" if row in published()["table4_lora_baselines_auroc"] else None


def row_mean(metrics: dict[str, float]) -> float:
    """Mean of a published row's five tasks, in percent."""
    return sum(metrics[task] for task in PAPER_TASKS) / len(PAPER_TASKS)


def average_is_row_mean(metrics: dict[str, float]) -> bool:
    """Whether a printed macro average is the mean of its row."""
    return abs(metrics["macro_average"] - row_mean(metrics)) <= ROUNDING
