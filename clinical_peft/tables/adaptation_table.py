"""Table 2 of the paper: the perplexity of clinical notes before and after training each adapter."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.tables.form import (
    PAPER_DIFFERENCE,
    Labels,
    Record,
    Table,
    beside,
    difference,
    in_order,
    label_of,
    number,
    rounded,
)
from clinical_peft.tables.published import published_adapter

ADAPTER_FIELDS = (
    "adapter",
    "label",
    "base",
    "corpus",
    "method",
    "trainable_parameters",
    "trainable_percent",
    "train_perplexity",
    "test_perplexity_before",
    "test_perplexity_after",
    "train_seconds",
    "tokens_per_second",
    "published_trainable_parameters",
    "published_trainable_percent",
    "published_train_perplexity",
    "published_test_perplexity",
    "published_train_seconds",
    "general_perplexity_before",
    "general_perplexity_after",
    "difference_trainable_parameters",
    "difference_trainable_percent",
    "difference_train_perplexity",
    "difference_test_perplexity",
)


def adapter_table(perplexities: Sequence[Mapping[str, Any]], labels: Labels) -> Table:
    """Build the table of adapters from the content of their perplexity files; see `paper_tables.build_tables`."""
    by_name = {perplexity["adapter"]: perplexity for perplexity in perplexities}
    records = [_adapter_record(by_name[name], labels) for name in in_order(list(by_name), labels)]
    shown = (
        ("trainable_parameters", 0, "Trainable"),
        ("published_trainable_parameters", 0, PAPER_DIFFERENCE),
        ("trainable_percent", 4, "%"),
        ("published_trainable_percent", 4, PAPER_DIFFERENCE),
        ("train_perplexity", 3, "Train perplexity"),
        ("published_train_perplexity", 3, PAPER_DIFFERENCE),
        ("test_perplexity_before", 3, "Test before"),
        ("test_perplexity_after", 3, "Test after"),
        ("published_test_perplexity", 3, PAPER_DIFFERENCE),
        ("train_seconds", 0, "Train time (s)"),
        ("published_train_seconds", 0, PAPER_DIFFERENCE),
        ("tokens_per_second", 0, "Tokens/s"),
        ("general_perplexity_before", 3, "General text before"),
        ("general_perplexity_after", 3, "General text after"),
    )
    rows = [
        (record["base"], record["label"], *(_adapter_cell(record, field, digits) for field, digits, _ in shown))
        for record in records
    ]
    return Table(
        name="domain_adaptation",
        caption="Perplexity of the clinical notes before and after training each adapter, beside the paper's Table 2.",
        fields=ADAPTER_FIELDS,
        records=tuple(records),
        header=("Base", "Adapter", *(title for _, _, title in shown)),
        rows=tuple(rows),
        notes=(
            "Perplexities are per token of each base's own tokenizer: rows of different bases, and the published ones, "
            "do not share a unit.",
            *_corpora(records),
            "General text is held-out text that is not clinical: a rise there is forgetting. A dash: not measured, as "
            "the study names no such text.",
            *_samples(perplexities),
        ),
        text_columns=2,
        row_names=tuple(record["adapter"] for record in records),
    )


def _corpora(records: Sequence[Record]) -> tuple[str, ...]:
    """Say which notes the adapters read; held-out notes of different corpora are not the same ones."""
    corpora = list(dict.fromkeys(record["corpus"] for record in records))
    if not corpora:
        return ()
    if len(corpora) == 1:
        return (f"All notes are of corpus {corpora[0]}.",)
    return (f"Each adapter is measured on held-out notes of its own corpus, of {', '.join(corpora)}.",)


def _samples(perplexities: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say of which splits the perplexity is that of a sample."""
    parts = []
    for split in SPLITS:
        counts = [
            (found["evaluated_tokens"][split], found["tokens"][split])
            for found in perplexities
            if "evaluated_tokens" in found
        ]
        if any(read < held for read, held in counts):
            read, held = (_span(numbers) for numbers in zip(*counts, strict=True))
            parts.append(f"{split} {read} of {held} tokens")
    if not parts:
        return ()
    same = "the same before and after and for all adapters of a base and corpus"
    return (f"Perplexity is that of a sample of rows, {same}, of: {'; '.join(parts)}.",)


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _adapter_record(perplexity: Mapping[str, Any], labels: Labels) -> Record:
    name, method = perplexity["adapter"], perplexity["method"]
    before, after = perplexity["perplexity"]["before"], perplexity["perplexity"]["after"]
    printed = published_adapter(labels.get(name, {}).get("published")) or {}
    general = (perplexity.get("general") or {}).get("perplexity", {})
    record = {
        "adapter": name,
        "label": label_of(name, labels),
        "base": perplexity["base"],
        "corpus": perplexity["corpus"],
        "method": method["type"] if isinstance(method, Mapping) else method,
        "trainable_parameters": perplexity["trainable_parameters"],
        "trainable_percent": rounded(
            100 * perplexity["trainable_parameters"] / perplexity["total_parameters"], digits=6
        ),
        "train_perplexity": rounded(after.get("train")),
        "test_perplexity_before": rounded(before.get("test")),
        "test_perplexity_after": rounded(after.get("test")),
        "train_seconds": rounded(perplexity.get("seconds"), 1),
        "tokens_per_second": rounded(perplexity.get("tokens_per_second"), 1),
        "published_trainable_parameters": printed.get("trainable_parameters"),
        "published_trainable_percent": printed.get("percent"),
        "published_train_perplexity": printed.get("train_perplexity"),
        "published_test_perplexity": printed.get("test_perplexity"),
        "published_train_seconds": printed.get("train_seconds"),
        "general_perplexity_before": rounded(general.get("before")),
        "general_perplexity_after": rounded(general.get("after")),
    }
    for field, ours in (
        ("trainable_parameters", "trainable_parameters"),
        ("trainable_percent", "trainable_percent"),
        ("train_perplexity", "train_perplexity"),
        ("test_perplexity", "test_perplexity_after"),
    ):
        record[f"difference_{field}"] = difference(record[ours], record[f"published_{field}"])
    return record


def _adapter_cell(record: Record, field: str, digits: int) -> str:
    ours = {"published_test_perplexity": "test_perplexity_after"}.get(field, field.removeprefix("published_"))
    return beside(record[ours], record[field], digits) if ours != field else number(record[field], digits)
