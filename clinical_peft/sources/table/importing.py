"""A user's table of notes, read and split: what its corpus, its cohorts and its subgroups are made from."""

import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from clinical_peft.data.attrition import NOTES, Attrition
from clinical_peft.data.hash_split import SPLITS, empty_splits
from clinical_peft.data.near_duplicates import SHINGLE_WORDS, THRESHOLD, near_duplicate_groups
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.patients import with_source
from clinical_peft.data.user_tables import row_word
from clinical_peft.errors import DataError
from clinical_peft.files import PARTIAL, private_directory, write_json
from clinical_peft.sources.table.row_groups import in_row_groups
from clinical_peft.sources.table.rows import SUBGROUP, TIME
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.sources.table.splits import (
    BY_CUT,
    GIVEN,
    PLACED,
    RANK,
    UNPLACED,
    RowSplits,
    on_the_earlier_side,
    patients_in_two_splits,
)
from clinical_peft.sources.table.staging import StagedRows, stage_rows

logger = logging.getLogger(__name__)

_HELD_OUT = (RANK["validation"], RANK["test"])
_FEW = 10
"""Fewer notes are not counted out."""
IDS_BY_SPLIT = b"ids_by_split"
"""Key of the metadata of an imported table whose ids are `{split}/{id}`."""


@dataclass(frozen=True)
class Patients:
    """Who the patient of each row is.

    Attributes:
        numbers: One number per patient, uint64 of shape (rows,).
        names: Patient of each row where the table names none: the least id of its near-duplicates; None otherwise.
        type: Type of the names.
        divided: Rows of validation and test with near-duplicates in another split, where the table names splits but no
            patients.
    """

    numbers: np.ndarray
    names: Sequence[int | str] | None
    type: pa.DataType
    divided: int = 0


def import_table(
    spec: TableSpec,
    output: Path,
    attrition_output: Path,
    *,
    salt: str,
    near_duplicate_threshold: float = THRESHOLD,
    shingle_words: int = SHINGLE_WORDS,
    work: Path | None = None,
) -> dict[str, int]:
    """Read a user's table and split its patients.

    Notes are cleaned as those of `clinical_peft.data.note_files`; empty ones are dropped, equal ones are kept. Where
    the table names no patient, near-duplicate notes form one, whose name is their least id; where it also says of each
    row in which split it stands (a column, or one file per split), they do so within each split. Memory grows by about
    150 bytes a row; without a column of patients, by the texts.

    Args:
        spec: The table.
        output: Parquet file to write: hadm_id and subject_id (int64 where every one is a whole number in its shortest
            spelling, else strings), split, text, time, site, and a column per subgroup; rows ordered as in the file.
        attrition_output: JSON list of steps, each with the rows and patients left.
        salt: What a split by hash depends on.
        near_duplicate_threshold: Share of the shorter note's shingles that makes two notes near-duplicates.
        shingle_words: Words of a shingle.
        work: Folder for the rows while they are read; that of ``output`` if None.

    Returns:
        Counts: rows_read, empty_dropped, without_split_dropped, later_dropped, written, subjects.

    Raises:
        ConfigError: The split lacks something that it needs.
        DataError: A file is malformed or empty; an id is missing or repeated; a patient is in two given splits; a time
            or a split cannot be read; no row has a text; a split is empty.
    """
    folder = private_directory(Path(work) if work is not None else Path(output).parent)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as name:
        splits = RowSplits(spec, salt)
        staged = stage_rows(spec, Path(name) / "rows.arrow", splits)
        patients = _patients(spec, staged, near_duplicate_threshold, shingle_words)
        if spec.split.kind == "hash" and patients.names is not None:
            staged.ranks = np.array([splits.hashed(name) for name in patients.names], np.int8)
        attrition, counts = _drop_rows(spec, staged, patients)
        _write(spec, staged, patients, Path(output), attrition)
    write_json(attrition_output, attrition.steps)
    return counts


def _patients(spec: TableSpec, staged: StagedRows, threshold: float, words: int) -> Patients:
    """Take the patients that the table names, or form one of near-duplicates."""
    if spec.patient is not None:
        return Patients(staged.patients, None, staged.patient_kind.type)
    texts: list[str] = []
    ids: list[int | str] = []
    for rows, batch in staged.batches():
        texts += batch["text"].to_pylist()
        ids += _final_ids(spec, staged, rows, batch).to_pylist()
    groups = near_duplicate_groups(texts, threshold, words)
    splits = staged.ranks.tolist() if spec.split.kind in GIVEN else [UNPLACED] * len(ids)
    keys = list(zip(groups, splits, strict=True))
    least: dict[tuple[int, int], int | str] = {}
    for key, one in zip(keys, ids, strict=True):
        least[key] = min(least.get(key, one), one)
    numbers = {key: number for number, key in enumerate(least)}
    found = np.array([numbers[key] for key in keys], np.uint64)
    return Patients(found, [least[key] for key in keys], _id_type(staged), _divided(spec, keys))


def _divided(spec: TableSpec, keys: Sequence[tuple[int, int]]) -> int:
    """Count held-out notes with near-duplicates in another split, where a file names splits but no patients; warn.

    Args:
        spec: The table.
        keys: Group of near-duplicates and split of each row.
    """
    splits_of: dict[int, set[int]] = defaultdict(set)
    for group, split in keys:
        if split != UNPLACED:
            splits_of[group].add(split)
    if divided := sum(split in _HELD_OUT and len(splits_of[group]) > 1 for group, split in keys):
        logger.warning(
            "table %s: %s notes of validation and test have near-duplicates in another split, as the file says; "
            "metrics may be too good: name the patient, move the notes to one split, or use split: hash",
            spec.name,
            f"{divided:,}" if divided >= _FEW else "few",
        )
    return divided


def _drop_rows(spec: TableSpec, staged: StagedRows, patients: Patients) -> tuple[Attrition, dict[str, int]]:
    """Take the split of every row that is dropped, and count what each step leaves."""
    kind = spec.split.kind
    attrition = Attrition()
    of_no_text = staged.rows_read - len(staged)

    def count(step: str, kept: np.ndarray) -> int:
        rows = int(kept.sum())
        attrition.add(step, rows=rows, patients=len(np.unique(patients.numbers[kept])), unit=NOTES)
        return rows

    everyone = np.ones(len(staged), bool)
    read = len(np.unique(patients.numbers)) + of_no_text if patients.names is not None else staged.patients_read
    attrition.add(
        "in the file" if len(spec.paths) == 1 else "in the files", rows=staged.rows_read, patients=read, unit=NOTES
    )
    count("with a text", everyone)
    placed = staged.ranks != UNPLACED
    if kind in PLACED or kind in GIVEN - {"files"}:
        count(PLACED.get(kind, "of a named split"), placed)
    without_split, later = len(staged) - int(placed.sum()), 0
    if kind in BY_CUT:
        kept = on_the_earlier_side(patients.numbers, staged.ranks)
        later = int(placed.sum()) - count(BY_CUT[kind], kept)
        staged.ranks[~kept] = UNPLACED
    elif kind in GIVEN:
        _check_given(spec, staged, patients)
    if patients.divided:
        attrition.steps[-1]["repeated_in_another_split"] = patients.divided
    final = staged.ranks[staged.ranks != UNPLACED]
    _check_splits(spec, final)
    return attrition, {
        "rows_read": staged.rows_read,
        "empty_dropped": of_no_text,
        "without_split_dropped": without_split,
        "later_dropped": later,
        "written": len(final),
        "subjects": len(np.unique(patients.numbers[staged.ranks != UNPLACED])),
    }


def _check_given(spec: TableSpec, staged: StagedRows, patients: Patients) -> None:
    found = patients_in_two_splits(patients.numbers, staged.ranks)
    if found is None:
        return
    number, row = found
    path = spec.files[staged.files[row]]
    raise DataError(
        f"{path}: {row_word(path)} {staged.numbers[row]}, column {spec.patient}: expected each patient in "
        f"one split, found one of an earlier row's other split ({number:,} such patients); move the rows of each "
        "patient to one split"
    )


def _check_splits(spec: TableSpec, ranks: np.ndarray) -> None:
    if empty := empty_splits(ranks.tolist()):
        raise DataError(
            f"table {spec.name}: expected rows in every split, found none in {empty}; give more patients or "
            "another data.tables split"
        )


def _id_type(staged: StagedRows) -> pa.DataType:
    return pa.string() if staged.ids_repeat else staged.id_kind.type


def _final_ids(spec: TableSpec, staged: StagedRows, rows: slice, batch: pa.Table) -> pa.ChunkedArray:
    if not staged.ids_repeat:
        return batch["id"].cast(_id_type(staged))
    splits = list(spec.paths)
    named = zip(staged.files[rows].tolist(), batch["id"].to_pylist(), strict=True)
    return pa.chunked_array([pa.array([id_by_split(splits[file], one) for file, one in named], pa.string())])


def id_by_split(split: str, one: str) -> str:
    """Name a row whose id also stands in another file."""
    return f"{split}/{one}"


def _write(spec: TableSpec, staged: StagedRows, patients: Patients, output: Path, attrition: Attrition) -> None:
    groups = [(SUBGROUP + column, pa.string()) for column in spec.subgroups]
    schema = pa.schema(
        [
            ("hadm_id", _id_type(staged)),
            ("subject_id", patients.type),
            ("split", pa.string()),
            ("text", pa.string()),
            ("time", TIME),
            ("site", pa.string()),
            *groups,
        ]
    )
    metadata = attrition.metadata() | ({IDS_BY_SPLIT.decode(): "1"} if staged.ids_repeat else {})
    described = with_source(schema.with_metadata(metadata), spec.name)

    def tables() -> Iterator[pa.Table]:
        for rows, batch in staged.batches():
            ranks = staged.ranks[rows]
            names = patients.names[rows] if patients.names is not None else batch["patient"].cast(patients.type)
            columns = {
                "hadm_id": _final_ids(spec, staged, rows, batch),
                "subject_id": names,
                "split": [SPLITS[rank] if rank != UNPLACED else None for rank in ranks.tolist()],
                **{name: batch[name] for name in schema.names[3:]},
            }
            yield pa.table(columns, schema=schema).filter(pa.array(ranks != UNPLACED))

    with parquet_writer(output, described) as writer:
        for table in in_row_groups(tables()):
            writer.write_table(table.cast(described))
