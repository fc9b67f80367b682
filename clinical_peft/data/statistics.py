"""The statistics of the cohorts: the paper's Table 1 and what it leaves out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.hidden_splits import WHOLE
from clinical_peft.disclosure.counts import SMALLEST_CELL, few, hidden_in_margin, shown, shown_margin
from clinical_peft.errors import DataError
from clinical_peft.files import read_json

_BATCH_ROWS = 1024
CLASS_COUNTS = "class_counts"
"""Key of the admissions of each class by split, in the order of the splits; it is not published."""


def dataset_statistics(cohorts: Iterable[Path], tokenizers: Mapping[str, Path] | None = None) -> list[dict[str, Any]]:
    """Describe cohorts.

    Args:
        cohorts: Files ``{task}.parquet`` with ``{task}.classes.json`` beside them.
        tokenizers: By base, its folder with tokenizer.json, to measure notes in its tokens too.

    Returns:
        For each cohort, in the order given: task, classes (their number), multilabel, the admissions in train,
        validation and test, patients, prevalence (share of label 1; None unless the task is binary),
        class_shares (by class; None for a multilabel task), class_counts (of each split, by class, likewise),
        mean_cardinality (codes per admission) and
        without_code (admissions with no class of the label space; both None unless the task is multilabel),
        lengths: by ``words`` (between white space) and base (tokens of the bare text), {mean, median, p95,
        longest}; and mean_words.

    Raises:
        DataError: A file is missing or is not a cohort, or a base has no tokenizer.json.
    """
    return [_describe(Path(path), tokenizers or {}) for path in cohorts]


def publishable(row: Mapping[str, Any], hidden_splits: Collection[str] = ()) -> dict[str, Any]:
    """Return the publishable part of a cohort's description; small counts and shares are None.

    Args:
        row: One of those that `dataset_statistics` returned.
        hidden_splits: Splits that are hidden beside those of the study's other tasks, from
            `clinical_peft.data.hidden_splits.hidden_splits`.

    Returns:
        The same, with `admissions`, those of all splits together.
    """
    admissions = sum(row[split] for split in SPLITS)
    hidden = [place for place, split in enumerate(SPLITS) if split in hidden_splits]
    splits = dict(zip(SPLITS, shown_margin([row[split] for split in SPLITS], hidden), strict=True))
    is_untold = WHOLE in hidden_splits
    shares = None if is_untold or _tell_hidden_classes(row.get(CLASS_COUNTS) or ()) else row["class_shares"]
    if shares is not None:
        counts = shown_margin([round(share * admissions) for share in shares])
        shares = [None if count is None else share for share, count in zip(shares, counts, strict=True)]
    return {
        **{name: value for name, value in row.items() if name != CLASS_COUNTS},
        **splits,
        "admissions": None if is_untold else shown(admissions),
        **{name: None if is_untold else shown(row[name]) for name in ("patients", "without_code")},
        "class_shares": shares,
        "prevalence": None if shares is None or row["prevalence"] is None else shares[1],
    }


def _describe(path: Path, tokenizers: Mapping[str, Path]) -> dict[str, Any]:
    classes = read_json(path.with_suffix("").with_suffix(".classes.json"))
    try:
        table = pq.read_table(path, columns=["subject_id", "split", "label"])
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a cohort (subject_id, split, label, text), found none") from None
    multilabel = pa.types.is_list(table["label"].type)
    cardinality = pc.list_value_length(table["label"]) if multilabel else None
    shares = None if multilabel else _shares(table["label"].to_pylist(), len(classes))
    lengths = _lengths(path, tokenizers)
    return {
        "task": path.stem,
        "classes": len(classes),
        "multilabel": multilabel,
        **{split: pc.sum(pc.equal(table["split"], split)).as_py() or 0 for split in SPLITS},
        "patients": pc.count_distinct(table["subject_id"]).as_py(),
        "prevalence": shares[1] if shares is not None and len(classes) == 2 else None,
        "class_shares": shares,
        CLASS_COUNTS: None if multilabel else _class_counts(table, len(classes)),
        "mean_cardinality": pc.mean(cardinality).as_py() if multilabel else None,
        "without_code": pc.sum(pc.equal(cardinality, 0)).as_py() if multilabel else None,
        "lengths": lengths,
        "mean_words": lengths["words"]["mean"],
    }


def _class_counts(table: pa.Table, classes: int) -> list[list[int]]:
    counts = Counter(zip(table["split"].to_pylist(), table["label"].to_pylist(), strict=True))
    return [[counts[split, label] for label in range(classes)] for split in SPLITS]


def _tell_hidden_classes(counts: Sequence[Sequence[int]]) -> bool:
    """Return whether the cases of a class that metrics do not show are too few to be published.

    Metrics show the held-out splits; where they hide a class, they hide another with it.

    Args:
        counts: Admissions of each class by split.
    """
    if not counts:
        return False
    hidden = [set(range(len(counts[0]))), *(hidden_in_margin(cells) for cells in counts[1:])]
    for label in range(len(counts[0])):
        cells = [split[label] for split, places in zip(counts, hidden, strict=True) if label in places]
        if few(cells) and sum(cells) < SMALLEST_CELL + len(cells):
            return True
    return False


def _shares(labels: list[int], classes: int) -> list[float]:
    counts = Counter(labels)
    return [counts[label] / len(labels) for label in range(classes)]


def _lengths(path: Path, tokenizers: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    counters = {name: _tokenizer(folder) for name, folder in tokenizers.items()}
    counts: dict[str, list[int]] = {name: [] for name in ("words", *counters)}
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(columns=["text"], batch_size=_BATCH_ROWS):
        texts = batch["text"].to_pylist()
        counts["words"] += [len(text.split()) for text in texts]
        for name, tokenizer in counters.items():
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            counts[name] += [len(encoding.ids) for encoding in encoded]
    return {name: _distribution(found) for name, found in counts.items()}


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{path}: expected a tokenizer, found none; prepare the base again")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # As the networks read them: a note that spells a special token does not hold one.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _distribution(counts: list[int]) -> dict[str, float]:
    values = np.asarray(counts)
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.quantile(values, 0.95)),
        "longest": int(values.max()),
    }
