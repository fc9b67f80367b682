"""The notes and patients that a study validates and tests with, and the texts that repeat them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from clinical_peft.data.cohort_files import require_ids
from clinical_peft.data.column_names import describe_names
from clinical_peft.data.hash_split import HELD_OUT_SPLITS
from clinical_peft.data.near_duplicates import shingle_codes
from clinical_peft.data.note_cleaning import clean_flattened, clean_structured
from clinical_peft.data.patients import distinct_ids, source_of
from clinical_peft.data.sections import split_admission_note
from clinical_peft.data.shingle_index import Codes, RepeatedNotes, distinct
from clinical_peft.errors import DataError

BATCH_ROWS = 1024
GROUPS_PER_PART = 4  # row groups of 8 MB of text: half a minute or less, so that a killed job loses little


@dataclass(frozen=True)
class Repetition:
    """When a text repeats a note.

    Attributes:
        threshold: Least share of the note's shingles that the text holds, above 0, at most 1.
        shingle_words: Words of a shingle.
    """

    threshold: float
    shingle_words: int

    def codes(self, *blocks: str) -> Codes:
        """Shingles of a whole note, or of parts of one."""
        return shingle_codes(blocks, self.shingle_words)

    def codes_of_admission_note(self, text: str, *, flattened: bool = False) -> Codes:
        """Shingles of an admission note, within its sections.

        Args:
            text: Admission note.
            flattened: Clean it as the original cleans notes, for a comparison with notes so cleaned. These keep what
                de-identification marks hold; where the admission note does not (``marks_kept`` is off), the shingles
                around a mark differ, so that a copy counts as a near one.
        """
        clean = clean_flattened if flattened else clean_structured
        return shingle_codes(map(clean, split_admission_note(text).values()), self.shingle_words)


@dataclass(frozen=True)
class HeldOut:
    """Validation and test admissions of cohorts.

    Attributes:
        subjects: Their patients, as `read_rows` names them.
        others: Patients of the same cohorts who are in no validation or test split.
        index: Finds their admission notes, one entry per distinct text.
        admissions: For each entry of the index, the (task, split) of each admission with that text.
        training: By digest of a training note's text, the tasks that train with it, in the order of the cohorts.
    """

    subjects: frozenset[Any]
    others: frozenset[Any]
    index: RepeatedNotes
    admissions: Sequence[Sequence[tuple[str, str]]]
    training: Mapping[bytes, tuple[str, ...]]


def read_held_out(cohorts: Iterable[Path], repetition: Repetition, *, flattened: bool) -> HeldOut:
    """Read the validation and test admissions of cohorts.

    Args:
        cohorts: Files ``{task}.parquet``.
        repetition: How notes are compared.
        flattened: Whether the notes that they will be compared with were cleaned as in the original.

    Raises:
        DataError: A file is missing or is not a cohort.
    """
    subjects: dict[bool, set[Any]] = {True: set(), False: set()}
    admissions: dict[bytes, list[tuple[str, str]]] = {}
    training: dict[bytes, tuple[str, ...]] = {}
    task_lists: dict[tuple[str, ...], tuple[str, ...]] = {}  # a few, each held once
    codes: list[Codes] = []
    for path in map(Path, cohorts):
        for subject_id, split, text in read_rows(path, ["subject_id", "split", "text"]):
            subjects[split in HELD_OUT_SPLITS].add(subject_id)
            digest = text_digest(text)
            if split not in HELD_OUT_SPLITS:
                tasks = training.get(digest, ())
                with_task = tasks if path.stem in tasks else (*tasks, path.stem)
                training[digest] = task_lists.setdefault(with_task, with_task)
                continue
            if digest not in admissions:
                codes.append(distinct(repetition.codes_of_admission_note(text, flattened=flattened)))
            admissions.setdefault(digest, []).append((path.stem, split))
    return HeldOut(
        subjects=frozenset(subjects[True]),
        others=frozenset(subjects[False] - subjects[True]),
        index=RepeatedNotes(_handed_over(codes), repetition.threshold),
        admissions=list(admissions.values()),
        training=training,
    )


def text_digest(text: str) -> bytes:
    """Return a 128-bit digest of a text."""
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def _handed_over(codes: list[Codes]) -> Iterator[Codes]:
    """Yield the items of a list in order, and let go of each."""
    codes.reverse()
    while codes:
        yield codes.pop()


def open_parquet(path: Path, columns: Sequence[str]) -> pq.ParquetFile:
    """Open a table of notes or a cohort.

    Raises:
        DataError: The file is missing, not Parquet, or lacks a column, or ids are no whole numbers.
    """
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a Parquet file, found none; build it again") from None
    missing = [column for column in columns if column not in file.schema_arrow.names]
    if missing:
        found = describe_names(file.schema_arrow.names, columns)
        raise DataError(f"{path}: expected column {', '.join(missing)}; found {found}; build the file again")
    require_ids(path, file.schema_arrow, columns)
    return file


def read_rows(path: Path, columns: Sequence[str], part: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Read the rows of a table of notes or of a cohort at constant memory.

    Args:
        path: Parquet file.
        columns: Columns, in the order of the values in a row. Patients of an own table are named with the table, so
            that equal numbers of two hospitals are two people (`clinical_peft.data.patients.distinct_ids`).
        part: Number of a part, of as many as `count_parts` gives; None for all rows.

    Raises:
        DataError: As for `open_parquet`.
    """
    file = open_parquet(path, columns)
    groups = range(file.num_row_groups) if part is None else groups_of_part(file, part)
    source = source_of(file.schema_arrow)
    for batch in file.iter_batches(BATCH_ROWS, columns=list(columns), row_groups=list(groups)):
        values = [distinct_ids(batch[name].to_pylist(), source if name == "subject_id" else None) for name in columns]
        yield from zip(*values, strict=True)


def count_parts(path: Path) -> int:
    """Return how many parts the row groups of a file make."""
    return -(-open_parquet(path, []).num_row_groups // GROUPS_PER_PART)


def groups_of_part(file: pq.ParquetFile, part: int) -> range:
    """Return the row groups of a part."""
    return range(part * GROUPS_PER_PART, min((part + 1) * GROUPS_PER_PART, file.num_row_groups))
