"""Damaged tables of cohorts: each kind is one error that names the file and quotes no field, and no cohort is written.

`test_bad_tables.py` has every kind of damage; here each table that a cohort reads gets those of the table in
docs/data.md that need no more than one file.
"""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cohort_fixtures import CORRECTED, PAPER, build
from golden_hospital import write_hospital

from clinical_peft.errors import DataError

SECRET = "Mrs Smith"
# Table -> task that reads it and a column that it cannot do without.
TABLES = {
    "NOTEEVENTS": ("los", "TEXT"),
    "ADMISSIONS": ("los", "DISCHTIME"),
    "DIAGNOSES_ICD": ("diagnoses", "ICD9_CODE"),
    "PROCEDURES_ICD": ("procedures", "HADM_ID"),
    "ICUSTAYS": ("pmv", "ICUSTAY_ID"),
    "PATIENTS": ("pmv", "DOB"),
    "PROCEDUREEVENTS_MV": ("pmv", "ITEMID"),
}


def half_of_a_gzip_file(data: bytes, column: str) -> bytes:
    zipped = gzip.compress(data, mtime=0)
    return zipped[: len(zipped) // 2]


def flipped_bits(data: bytes, column: str) -> bytes:
    zipped = bytearray(gzip.compress(data, mtime=0))
    zipped[-6] ^= 0xFF  # of the checksum
    return bytes(zipped)


def renamed_column(data: bytes, column: str) -> bytes:
    return data.replace(column.encode(), f"{column}_2".encode(), 1)


def without_header(data: bytes, column: str) -> bytes:
    return data.partition(b"\n")[2]


def row_of(value: bytes) -> Callable[[bytes, str], bytes]:
    """A further row with one value in every field."""
    return lambda data, column: data + b",".join([value] * _fields(data)) + b"\n"


def too_many_fields(data: bytes, column: str) -> bytes:
    return data + b",".join([SECRET.encode()] * (_fields(data) + 1)) + b"\n"


def _fields(data: bytes) -> int:
    return data.partition(b"\n")[0].count(b",") + 1


DAMAGES: dict[str, tuple[str, Callable[[bytes, str], bytes], str]] = {
    "half of a gzip file": ("csv.gz", half_of_a_gzip_file, "cannot be read"),
    "gzip file with flipped bits": ("csv.gz", flipped_bits, "cannot be read|cut off or damaged"),
    "renamed column": ("csv", renamed_column, "expected column"),
    "no header": ("csv", without_header, "expected column|does not look like a header"),
    "NUL byte": ("csv", row_of(b"Mrs\0Smith"), "found a NUL byte"),
    "invalid UTF-8": ("csv", row_of(b"\xff"), "expected UTF-8 text"),
    "too many fields": ("csv", too_many_fields, r"expected \d+ fields, found \d+"),
    "a quotation mark that is never closed": ("csv", row_of(b'"Mrs'), "expected quotation marks around a whole field"),
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    return write_hospital(tmp_path_factory.mktemp("hospital"))


@pytest.mark.parametrize("switches", [PAPER, CORRECTED], ids=["paper", "corrected"])
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_one_error_and_no_cohort(hospital, tmp_path, damage, name, switches):
    task, column = TABLES[name]
    suffix, spoil, message = DAMAGES[damage]
    tables, output = tmp_path / "tables", tmp_path / "out"
    shutil.copytree(hospital, tables)
    good = (tables / f"{name}.csv").read_bytes()
    (tables / f"{name}.csv").unlink()
    path = tables / f"{name}.{suffix}"
    path.write_bytes(spoil(good, column))
    with pytest.raises(DataError, match=message) as caught:
        build(task, tables, output, switches, splits=hospital.parent / "splits")
    assert str(path) in str(caught.value)
    assert "Smith" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(output.glob(f"{task}*"))
