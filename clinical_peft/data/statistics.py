"""The statistics of the cohorts, as a table of a paper shows them."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.errors import DataError
from clinical_peft.files import read_json
from clinical_peft.hash_split import SPLITS


def dataset_statistics(cohorts: Iterable[Path]) -> list[dict[str, object]]:
    """Describe cohorts.

    Args:
        cohorts: Files ``{task}.parquet`` with ``{task}.classes.json`` beside them.

    Returns:
        For each cohort, in the order given: task, classes (their number), multilabel, the admissions in train,
        validation and test, patients, prevalence (share of label 1; None unless the task is binary),
        mean_cardinality (codes per admission; None unless the task is multilabel), mean_words.

    Raises:
        DataError: A file is missing or is not a cohort.
    """
    return [_describe(Path(path)) for path in cohorts]


def _describe(path: Path) -> dict[str, object]:
    classes = read_json(path.with_suffix("").with_suffix(".classes.json"))
    try:
        table = pq.read_table(path, columns=["subject_id", "split", "label"])
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a cohort (subject_id, split, label, text), found none") from None
    multilabel = pa.types.is_list(table["label"].type)
    binary = not multilabel and len(classes) == 2
    return {
        "task": path.stem,
        "classes": len(classes),
        "multilabel": multilabel,
        **{split: pc.sum(pc.equal(table["split"], split)).as_py() or 0 for split in SPLITS},
        "patients": pc.count_distinct(table["subject_id"]).as_py(),
        "prevalence": pc.mean(table["label"]).as_py() if binary else None,
        "mean_cardinality": pc.mean(pc.list_value_length(table["label"])).as_py() if multilabel else None,
        "mean_words": _mean_words(path),
    }


def _mean_words(path: Path) -> float:
    words = rows = 0
    for batch in pq.ParquetFile(path).iter_batches(columns=["text"], batch_size=1024):
        words += sum(len(text.split()) for text in batch["text"].to_pylist())
        rows += batch.num_rows
    return words / rows
