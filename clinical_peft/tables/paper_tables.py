"""The paper's four tables with a study's figures, each beside the published one."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.tables.adaptation_table import adapter_table
from clinical_peft.tables.auroc_tables import auroc_table
from clinical_peft.tables.form import (
    MISSING,
    PAPER_DIFFERENCE,
    TASK_LABELS,
    Labels,
    Record,
    Table,
    beside,
    difference,
    number,
    rounded,
)
from clinical_peft.tables.published import published_statistics

STATISTICS_FIELDS = ("classes", "multilabel", "train", "validation", "test")
COUNTED_FIELDS = ("classes", "train", "validation", "test")
EXTRA_STATISTICS_FIELDS = ("patients", "prevalence", "mean_cardinality", "mean_words")


def build_tables(
    *,
    statistics: Sequence[Mapping[str, Any]],
    perplexities: Sequence[Mapping[str, Any]],
    aggregate: Mapping[str, Any],
    labels: Labels,
) -> dict[str, Table]:
    """Build the four tables.

    Machine-readable columns (CSV), one row per ...:
        dataset_statistics, per task: task, classes, multilabel, train, validation, test (admissions), patients,
            prevalence, mean_cardinality, mean_words, the first five with the prefix `published_`, and for the four
            numbers among them ours minus the published ones with the prefix `difference_`.
        domain_adaptation, per adapter: adapter, label, base, method, trainable_parameters, trainable_percent,
            train_perplexity, test_perplexity_before, test_perplexity_after, train_seconds, tokens_per_second,
            published_trainable_parameters, published_trainable_percent, published_train_perplexity,
            published_test_perplexity, published_train_seconds, of general text general_perplexity_before and
            general_perplexity_after, and for the first four published ones `difference_...`, ours less the published.
        downstream_main and downstream_lora_baselines, per model and task (the paper's five, macro_average, control):
            model, label, task, auroc_percent (mean over seeds), low_percent, high_percent (interval of that mean over
            patients, at `level`), level, seeds, seed_sd_percent, test_admissions, test_patients, classes_scored,
            classes, published_percent, difference_percent (ours less the published one; empty for a macro_average over
            other than the paper's five tasks), for macro_average published_row_mean_percent and
            published_average_is_row_mean, and protocol and cohort_sha256.
    Only columns that end in `_seconds` or `_per_second` differ between two runs of the same study.

    Args:
        statistics: One mapping per task: task, classes, multilabel, train, validation, test, and where known patients,
            prevalence, mean_cardinality, mean_words.
        perplexities: Content of the perplexity files.
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        labels: By adapter or model, in the order of printing: `label`; `published`, the row of the paper's table,
            written `base/method` for an adapter (optional, defaults to a model's name); `table`, `main` or
            `lora_baselines` (optional, defaults to where the published row stands, else `main`).

    Returns:
        dataset_statistics, domain_adaptation, downstream_main and downstream_lora_baselines.
    """
    return {
        "dataset_statistics": _statistics_table(statistics),
        "domain_adaptation": adapter_table(perplexities, labels),
        "downstream_main": auroc_table("downstream_main", "main", aggregate, labels),
        "downstream_lora_baselines": auroc_table("downstream_lora_baselines", "lora_baselines", aggregate, labels),
    }


def _yes_no(value: bool | None) -> str:
    return MISSING if value is None else "yes" if value else "no"


def _statistics_table(statistics: Sequence[Mapping[str, Any]]) -> Table:
    order = list(TASK_LABELS)
    records = []
    for row in sorted(statistics, key=lambda row: order.index(row["task"])):
        ours = {field: row[field] for field in STATISTICS_FIELDS}
        ours |= {field: rounded(row.get(field)) for field in EXTRA_STATISTICS_FIELDS}
        printed = published_statistics(row["task"]) or {}
        published_fields = {f"published_{field}": printed.get(field) for field in STATISTICS_FIELDS}
        differences = {f"difference_{field}": difference(row[field], printed.get(field)) for field in COUNTED_FIELDS}
        records.append({"task": row["task"], **ours, **published_fields, **differences})
    rows = [
        (
            TASK_LABELS[record["task"]],
            _yes_no(record["multilabel"]),
            *(cell for field in COUNTED_FIELDS for cell in _counted_cells(record, field)),
        )
        for record in records
    ]
    titles = [title for field in ("Classes", "Train", "Validation", "Test") for title in (field, PAPER_DIFFERENCE)]
    return Table(
        name="dataset_statistics",
        caption="Classes and admissions of each task, beside those of the paper's Table 1.",
        fields=(
            "task",
            *STATISTICS_FIELDS,
            *EXTRA_STATISTICS_FIELDS,
            *(f"published_{field}" for field in STATISTICS_FIELDS),
            *(f"difference_{field}" for field in COUNTED_FIELDS),
        ),
        records=tuple(records),
        header=("Task", "Multilabel", *titles),
        rows=tuple(rows),
    )


def _counted_cells(record: Record, field: str) -> tuple[str, str]:
    return number(record[field]), beside(record[field], record[f"published_{field}"])
