"""The notes and patients that a study validates and tests with, and the texts that repeat them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.column_names import describe_names
from clinical_peft.data.near_duplicates import Codes, ShingleIndex, shingle_codes
from clinical_peft.data.note_cleaning import clean_flattened, clean_structured
from clinical_peft.data.sections import split_admission_note
from clinical_peft.errors import DataError
from clinical_peft.hash_split import HELD_OUT_SPLITS

BATCH_ROWS = 1024


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
        subjects: Their patients.
        others: Patients of the same cohorts who are in no validation or test split.
        index: Shingles of their admission notes, one entry per distinct text.
        admissions: For each entry of the index, the (task, split) of each admission with that text.
    """

    subjects: frozenset[int]
    others: frozenset[int]
    index: ShingleIndex
    admissions: Sequence[Sequence[tuple[str, str]]]


def read_held_out(cohorts: Iterable[Path], repetition: Repetition, *, flattened: bool) -> HeldOut:
    """Read the validation and test admissions of cohorts.

    Args:
        cohorts: Files ``{task}.parquet``.
        repetition: How notes are compared.
        flattened: Whether the notes that they will be compared with were cleaned as in the original.

    Raises:
        DataError: A file is missing or is not a cohort.
    """
    subjects: dict[bool, set[int]] = {True: set(), False: set()}
    admissions: dict[str, list[tuple[str, str]]] = {}
    for path in map(Path, cohorts):
        for subject_id, split, text in read_rows(path, ["subject_id", "split", "text"]):
            subjects[split in HELD_OUT_SPLITS].add(subject_id)
            if split in HELD_OUT_SPLITS:
                admissions.setdefault(text, []).append((path.stem, split))
    codes = (repetition.codes_of_admission_note(text, flattened=flattened) for text in admissions)
    return HeldOut(
        subjects=frozenset(subjects[True]),
        others=frozenset(subjects[False] - subjects[True]),
        index=ShingleIndex(codes),
        admissions=list(admissions.values()),
    )


def open_parquet(path: Path, columns: Sequence[str]) -> pq.ParquetFile:
    """Open a table of notes or a cohort.

    Raises:
        DataError: The file is missing, not Parquet, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a Parquet file, found none; build it again") from None
    missing = [column for column in columns if column not in file.schema_arrow.names]
    if missing:
        found = describe_names(file.schema_arrow.names, columns)
        raise DataError(f"{path}: expected column {', '.join(missing)}; found {found}; build the file again")
    return file


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Read the rows of a table of notes or of a cohort at constant memory.

    Args:
        path: Parquet file.
        columns: Columns, in the order of the values in a row.

    Raises:
        DataError: As for `open_parquet`.
    """
    for batch in open_parquet(path, columns).iter_batches(BATCH_ROWS, columns=list(columns)):
        yield from zip(*(batch[column].to_pylist() for column in columns), strict=True)
