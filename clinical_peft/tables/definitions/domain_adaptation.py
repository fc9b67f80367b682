"""Table 2 of the paper: the perplexity of clinical notes before and after training each adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.form import PAPER_DIFFERENCE, Record, beside, difference, label_of, rounded
from clinical_peft.tables.published import published_adapter
from clinical_peft.tables.study_column import Column, digits
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable


@dataclass(frozen=True)
class Adapter:
    """The content of an adapter's perplexity file, its label, and the published row."""

    file: AdapterFile
    label: str
    published: Content
    is_of_paper: bool

    @property
    def trainable_percent(self) -> float | None:
        """Share of the parameters that are trained."""
        return rounded(100 * self.file.trainable_parameters / self.file.total_parameters, digits=6)

    def perplexity(self, when: str, split: str) -> float | None:
        """Perplexity of a split `before` or `after` training."""
        found = self.file.perplexity
        return rounded((found.before if when == "before" else found.after).get(split))

    def general(self, when: str) -> float | None:
        """Perplexity of general text, where it was measured."""
        return rounded(self.file.general.perplexity.get(when)) if self.file.general else None


def _rows(results: StudyResults) -> list[Adapter]:
    labels = results.labels
    return [
        Adapter(
            file,
            label_of(file.adapter, labels),
            published_adapter(labels.get(file.adapter, {}).get("published")) or {},
            results.is_of_paper(file.adapter),
        )
        for file in results.adapters
    ]


def _published(field: str, key: str, ours: Callable[[Adapter], float | None], count: int) -> Column:
    def beside_ours(row: Adapter) -> str:
        return beside(ours(row), row.published.get(key) if row.is_of_paper else None, count)

    return Column(
        f"published_{field}",
        lambda row: row.published.get(key),
        PAPER_DIFFERENCE,
        row_text=beside_ours,
        is_published=True,
    )


def _difference(field: str, key: str, ours: Callable[[Adapter], float | None]) -> Column:
    return Column(
        f"difference_{field}",
        lambda row: difference(ours(row), row.published.get(key)),
        meaning="ours minus the published one",
        is_published=True,
    )


def _parameters(row: Adapter) -> int:
    return row.file.trainable_parameters


def _train_after(row: Adapter) -> float | None:
    return row.perplexity("after", "train")


def _test_after(row: Adapter) -> float | None:
    return row.perplexity("after", "test")


def _notes(results: StudyResults, records: Sequence[Record]) -> tuple[str, ...]:
    published = results.beside_paper(", and the published ones,")
    return (
        f"Perplexities are per token of each base's own tokenizer: rows of different bases{published} "
        "do not share a unit.",
        *_corpora(records),
        *_existing(results),
        "General text is held-out text that is not clinical: a rise there is forgetting. A dash: not measured, as "
        "the study names no such text.",
        *_samples(results.adapters),
    )


def _corpora(records: Sequence[Record]) -> tuple[str, ...]:
    """Name the notes that the adapters read; held-out notes of different corpora are not the same ones."""
    corpora = list(dict.fromkeys(record["corpus"] for record in records))
    if not corpora:
        return ()
    if len(corpora) == 1:
        return (f"All notes are of corpus {corpora[0]}.",)
    return (f"Each adapter is measured on held-out notes of its own corpus, of {', '.join(corpora)}.",)


def _existing(results: StudyResults) -> tuple[str, ...]:
    """Name the adapters that the study did not train."""
    names = [label_of(one.adapter, results.labels) for one in results.adapters if not one.trained]
    if not names:
        return ()
    return (
        f"Not trained here: {'; '.join(names)}. The notes that such an adapter learned from are not known, so its "
        "perplexity may be too low.",
    )


def _seconds(row: Adapter) -> float | None:
    return rounded(row.file.seconds, 1) if row.file.trained else None


def _samples(adapters: Sequence[AdapterFile]) -> tuple[str, ...]:
    """Name the splits whose perplexity is that of a sample."""
    parts = []
    for split in SPLITS:
        counts = [(found.evaluated_tokens[split], found.tokens[split]) for found in adapters if found.evaluated_tokens]
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


TABLE = StudyTable(
    name="domain_adaptation",
    place=1,
    section="adaptation",
    needs=("perplexities",),
    columns=(
        Column("adapter", lambda row: row.file.adapter),
        Column("label", lambda row: row.label, "Adapter"),
        Column("base", lambda row: row.file.base, "Base"),
        Column("corpus", lambda row: row.file.corpus),
        Column("method", lambda row: row.file.method_type),
        Column("trainable_parameters", _parameters, "Trainable", digits(0)),
        Column("trainable_percent", lambda row: row.trainable_percent, "%", digits(4)),
        Column("train_perplexity", _train_after, "Train perplexity", digits(3)),
        Column("test_perplexity_before", lambda row: row.perplexity("before", "test"), "Test before", digits(3)),
        Column("test_perplexity_after", _test_after, "Test after", digits(3)),
        Column("train_seconds", _seconds, "Train time (s)", digits(0)),
        Column("tokens_per_second", lambda row: rounded(row.file.tokens_per_second, 1), "Tokens/s", digits(0)),
        _published("trainable_parameters", "trainable_parameters", _parameters, 0),
        _published("trainable_percent", "percent", lambda row: row.trainable_percent, 4),
        _published("train_perplexity", "train_perplexity", _train_after, 3),
        _published("test_perplexity", "test_perplexity", _test_after, 3),
        _published("train_seconds", "train_seconds", lambda row: rounded(row.file.seconds, 1), 0),
        Column("general_perplexity_before", lambda row: row.general("before"), "General text before", digits(3)),
        Column("general_perplexity_after", lambda row: row.general("after"), "General text after", digits(3)),
        _difference("trainable_parameters", "trainable_parameters", _parameters),
        _difference("trainable_percent", "percent", lambda row: row.trainable_percent),
        _difference("train_perplexity", "train_perplexity", _train_after),
        _difference("test_perplexity", "test_perplexity", _test_after),
    ),
    rows=_rows,
    shown=(
        *("base", "label", "trainable_parameters", "published_trainable_parameters"),
        *("trainable_percent", "published_trainable_percent", "train_perplexity", "published_train_perplexity"),
        *("test_perplexity_before", "test_perplexity_after", "published_test_perplexity"),
        *("train_seconds", "published_train_seconds", "tokens_per_second"),
        *("general_perplexity_before", "general_perplexity_after"),
    ),
    caption=lambda results, _: (
        "Perplexity of the clinical notes before and after training each adapter"
        + results.beside_paper(", beside the paper's Table 2")
        + "."
    ),
    notes=_notes,
    text_columns=2,
    row_name="adapter",
    run="adapters/adapters/{}",
)
