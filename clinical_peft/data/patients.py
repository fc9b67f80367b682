"""Identity of a patient across files: an id together with its table.

Two hospitals may number their patients alike. A cohort from a study's own table therefore carries the table's name in
the metadata of its Parquet schema, and so do the predictions made from it; a MIMIC cohort carries none.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from clinical_peft.errors import DataError

_KEY = b"source"


def with_source(schema: pa.Schema, source: str | None) -> pa.Schema:
    """Return a schema whose metadata names the own table that its rows come from; None names none."""
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != _KEY}
    if source is not None:
        metadata[_KEY] = source.encode()
    return schema.with_metadata(metadata) if metadata else schema.remove_metadata()


def source_of(schema: pa.Schema) -> str | None:
    """Return the name of the own table that a file's rows come from, or None for MIMIC's tables."""
    found = (schema.metadata or {}).get(_KEY)
    return found.decode() if found is not None else None


def patient_keys(subject_id: np.ndarray, source: str | None) -> np.ndarray:
    """Return one number per patient, which seeds what is drawn for that patient.

    Args:
        subject_id: Patient of each row, int64 or strings, of shape (N,).
        source: The own table that they stand in; None for MIMIC, whose numbers are their own keys.

    Returns:
        Keys, uint64 of shape (N,): MIMIC's subject_id, else the first 8 bytes of SHA-256 of ``{source}:{subject_id}``,
        big-endian.

    Raises:
        DataError: A patient of MIMIC has a negative number.
    """
    if source is None:
        if len(subject_id) and int(np.min(subject_id)) < 0:
            raise DataError("expected non-negative subject_id, found a negative one")
        return subject_id.astype(np.uint64)
    patients, row = np.unique(subject_id, return_inverse=True)
    digests = [hashlib.sha256(f"{source}:{patient}".encode()).digest()[:8] for patient in patients]
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)[row]


def id_array(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return a column of ids as int64 or, where they are strings, as strings of one width, of shape (N,)."""
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(), dtype=np.int64)
    return np.asarray(column.to_pylist(), dtype=np.str_)


def distinct_ids(ids: Iterable[Any], source: str | None) -> list[Any]:
    """Return ids that mean the same in every file of a study.

    Args:
        ids: Patients or admissions; None where a row has none.
        source: The own table that they stand in; None for MIMIC.

    Returns:
        MIMIC's ids as they are, else ``{source}:{id}``; None stays None.
    """
    if source is None:
        return list(ids)
    return [None if one is None else f"{source}:{one}" for one in ids]
