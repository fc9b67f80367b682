"""Patients and admissions across files: an id together with the table that it stands in."""

import numpy as np
import pyarrow as pa
import pytest

from clinical_peft.data.patients import distinct_ids, id_array, patient_keys, source_of, with_source
from clinical_peft.errors import DataError


def test_equal_numbers_of_two_tables_are_two_people():
    numbers = np.array([7, 8, 7])
    ours, theirs, mimic = (patient_keys(numbers, source) for source in ("ours", "theirs", None))
    assert mimic.tolist() == [7, 8, 7]
    assert (ours[0] == ours[2], ours[0] != ours[1]) == (True, True)
    assert not {*ours} & {*theirs}
    assert not {*ours} & {*mimic}
    assert distinct_ids([7, None], "ours") == ["ours:7", None]
    assert distinct_ids([7, None], None) == [7, None]


def test_leading_zeros_make_another_patient():
    keys = patient_keys(np.array(["0012", "12"]), "ours")
    assert keys[0] != keys[1]
    assert keys.dtype == np.uint64


def test_a_negative_number_of_mimic_is_refused():
    with pytest.raises(DataError, match="expected non-negative subject_id"):
        patient_keys(np.array([-1]), None)


def test_a_source_is_named_beside_other_metadata():
    schema = pa.schema([("a", pa.int64())], metadata={"steps": "x"})
    named = with_source(schema, "ours")
    assert (source_of(named), named.metadata[b"steps"]) == ("ours", b"x")
    assert source_of(with_source(named, None)) is None
    # An empty mapping would be stored, and change the bytes of MIMIC's files.
    assert with_source(pa.schema([("a", pa.int64())]), None).metadata is None


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_ids_of_a_table_keep_their_characters(kind):
    found = id_array(pa.chunked_array([["0012", "12", "ä"]], kind))
    assert found.tolist() == ["0012", "12", "ä"]
    assert found.dtype.kind == "U"
    assert id_array(pa.chunked_array([[3, 4]], pa.int32())).dtype == np.int64
