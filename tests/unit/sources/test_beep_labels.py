"""BEEP's label file: an honest one is read, whatever wrote it; a malicious one is refused and nothing runs."""

import copyreg
import os
import pickle
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.plain_pickle import load_plain_pickle
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.beep_labels import beep_admissions, read_beep_labels

HONEST = {100001: (1, "x", "train"), 100002: [0, "val"], 100003: ("1", 2.5, None, "test")}
CANARY = "CLINICAL_PEFT_CANARY"


def stored(folder: Path, value, protocol: int = 4) -> Path:
    path = folder / "pmv_labels.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def program(folder: Path, content: bytes) -> Path:
    path = folder / "pmv_labels.pkl"
    path.write_bytes(content)
    return path


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Stateful:
    """Pickles as a new object with a state."""

    def __init__(self) -> None:
        self.state = 1


class Registered:
    """Pickles by a number of the extension registry."""


class Saver(pickle.Pickler):
    """Pickles strings by a persistent id."""

    def persistent_id(self, value):
        return "stored elsewhere" if value == "train" else None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_honest_file_of_every_protocol(tmp_path, protocol):
    assert load_plain_pickle(stored(tmp_path, HONEST, protocol)) == HONEST
    table = read_beep_labels(tmp_path / "pmv_labels.pkl")
    assert table.to_dict("list") == {
        "hadm_id": [100001, 100002, 100003],
        "label": [1, 0, 1],
        "split": ["train", "validation", "test"],
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.float64, np.dtype(">i4").type])
def test_numbers_that_numpy_stored_are_read_without_numpy(tmp_path, protocol, kind):
    path = stored(tmp_path, {np.int64(100001): (kind(1), "train"), np.int64(7): (kind(0), "test")}, protocol)
    assert load_plain_pickle(path) == {100001: (1, "train"), 7: (0, "test")}
    assert read_beep_labels(path)["hadm_id"].tolist() == [7, 100001]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
            max_leaves=8,
        ),
        max_size=5,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_plain_values_are_read_as_python_reads_them(tmp_path_factory, value, protocol):
    assert load_plain_pickle(stored(tmp_path_factory.mktemp("p"), value, protocol)) == value


MALICIOUS = {
    "os.system": (Calls(os.system, f"touch {CANARY}"), "'posix.system'"),
    "builtins.eval": (Calls(eval, f"open('{CANARY}', 'w')"), "'builtins.eval'"),
    "builtins.getattr": (Calls(getattr, "text", "upper"), "'builtins.getattr'"),
    "an object with a state": (Stateful(), "Stateful'"),
    "a class": (Stateful, "Stateful'"),
    "a whole numpy array": (np.zeros(2), "_reconstruct'"),
    "numpy's type of an object": ({1: (np.str_("x"), "train")}, "no number"),
    "a set": ({1: {2}}, "EMPTY_SET"),
    "a complex number": (1j, "complex'"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("case", MALICIOUS)
def test_a_pickle_that_would_call_something_is_refused(tmp_path, monkeypatch, protocol, case):
    value, found = MALICIOUS[case]
    monkeypatch.chdir(tmp_path)
    path = stored(tmp_path, {1: (value, "train")}, protocol)
    with pytest.raises(DataError, match=r"pmv_labels\.pkl: expected a pickle of plain values") as caught:
        load_plain_pickle(path)
    if protocol == 4:
        assert found in str(caught.value)
    assert not (tmp_path / CANARY).exists()


def test_the_canary_sings_when_python_reads_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with stored(tmp_path, MALICIOUS["os.system"][0]).open("rb") as handle:
        pickle.load(handle)
    assert (tmp_path / CANARY).exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"(S'true'\nios\nsystem\n.", "the opcode INST 'os system' at byte 9"),
        (b"(cos\nsystem\nS'true'\no.", "the global 'os.system'"),
        (b"cos\nsystem\n(S'true'\ntR.", "the global 'os.system'"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "the global 'os.system'"),
        (b"\x80\x02cnumpy\ndtype\n\x81.", "the opcode NEWOBJ"),
        (b"\x80\x02cnumpy\ndtype\nU\x02O8\x85R.", "no number"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n}\x85R.", "no number"),
        (b"\x80\x02}}b.", "a state set on something"),
        (b"\x80\x02]]U\x01a\x85R.", "no number"),
        (b"\x80\x05\x97.", "the opcode NEXT_BUFFER"),
        (b"Pstored elsewhere\n.", "the opcode PERSID"),
        (b"\x80\x02]]s.", "damaged"),
        (b"\x80\x02Rb.", "damaged"),
        (b"\x80\x02K\x01K\x02K\x03s.", "no dict"),
        (b"\x80\x02K\x01K\x02a.", "no list"),
        (b"\x80\x02})K\x01s.", "a key of type tuple"),
    ],
)
def test_programs_that_are_not_plain_are_refused(tmp_path, content, found):
    with pytest.raises(DataError) as caught:
        load_plain_pickle(program(tmp_path, content))
    assert found in str(caught.value)


def test_objects_of_the_extension_registry_are_refused(tmp_path):
    copyreg.add_extension(__name__, "Registered", 240)
    try:
        path = stored(tmp_path, {1: (Registered, "train")}, 2)
        assert pickle.loads(path.read_bytes())  # from now on in the registry's cache
        with pytest.raises(DataError, match="the opcode EXT1"):
            load_plain_pickle(path)
    finally:
        copyreg.remove_extension(__name__, "Registered", 240)


def test_a_persistent_id_is_refused(tmp_path):
    path = tmp_path / "pmv_labels.pkl"
    with path.open("wb") as handle:
        Saver(handle, 4).dump(HONEST)
    with pytest.raises(DataError, match="the opcode BINPERSID"):
        load_plain_pickle(path)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_plain_values_or_one_error(tmp_path_factory, content):
    path = program(tmp_path_factory.mktemp("p"), content)
    with suppress(DataError):
        load_plain_pickle(path)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_one_error(tmp_path_factory, data):
    content = bytearray(pickle.dumps(HONEST, 4))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = program(tmp_path_factory.mktemp("p"), bytes(content))
    with suppress(DataError):
        assert set(read_beep_labels(path)["label"]) <= {0, 1}


def test_size_presence_and_length_are_checked(tmp_path):
    path = stored(tmp_path, HONEST)
    with pytest.raises(DataError, match=r"expected at most 10 bytes, found \d+"):
        load_plain_pickle(path, largest=10)
    with pytest.raises(DataError, match="found none"):
        load_plain_pickle(tmp_path / "absent.pkl")
    with pytest.raises(DataError, match="not a pickle, or a damaged one"):
        load_plain_pickle(program(tmp_path, pickle.dumps(HONEST)[:-5]))
    huge = b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a."
    with pytest.raises(DataError, match="not a pickle, or a damaged one"):
        load_plain_pickle(program(tmp_path, huge))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2], "expected a dict with an entry per HADM_ID, found list of 2"),
        ({}, "found dict of 0"),
        ({"1": (1, "train")}, "entry 1: expected a HADM_ID as key, found str of 1"),
        ({1.5: (1, "train")}, "expected a HADM_ID as key, found float"),
        ({True: (1, "train")}, "expected a HADM_ID as key, found bool"),
        ({2**63: (1, "train")}, "expected a HADM_ID as key, found int"),
        ({1: (True, "train")}, "expected the label 0 or 1 first, found bool"),
        ({1: ("1e0", "train")}, "expected the label 0 or 1 first, found str of 3"),
        ({-1: (1, "train")}, "expected a HADM_ID as key, found int"),
        ({float("inf"): (1, "train")}, "expected a HADM_ID as key, found float"),
        ({1: (1, "train"), 2: "train"}, r"entry 2: expected \(label, ..., split\), found str of 5"),
        ({1: ("train",)}, r"expected \(label, ..., split\), found tuple of 1"),
        ({1: (2, "train")}, "expected the label 0 or 1 first, found int"),
        ({1: ([], "train")}, "expected the label 0 or 1 first, found list of 0"),
        ({1: (1, "dev")}, "expected one of train, val, test last, found str of 3"),
        ({1: (1, 0)}, "expected one of train, val, test last, found int"),
    ],
)
def test_a_file_of_another_shape_is_an_error_without_content(tmp_path, value, expected):
    with pytest.raises(DataError, match=expected):
        read_beep_labels(stored(tmp_path, value))


def test_admissions_that_the_hospital_does_not_know_are_counted(tmp_path):
    (tmp_path / "ADMISSIONS.csv").write_text("SUBJECT_ID,HADM_ID\n5,100001\n5,100003\n6,9\n")
    attrition = Attrition()
    labels, split_of = beep_admissions(stored(tmp_path, HONEST), tmp_path, attrition)
    assert labels.to_dict("list") == {"hadm_id": [100001, 100003], "subject_id": [5, 5], "label": [1, 1]}
    assert split_of == {100001: "train", 100003: "test"}
    assert [(step["rows"], step["patients"]) for step in attrition.steps] == [(3, 1), (2, 1)]


@pytest.mark.parametrize("label", [1, 1.0, "1", "1.0", " 1"])
def test_a_label_in_any_spelling(tmp_path, label):
    assert read_beep_labels(stored(tmp_path, {7.0: (label, "train")}, 4)).to_dict("list") == {
        "hadm_id": [7],
        "label": [1],
        "split": ["train"],
    }


def test_a_global_that_is_no_name_is_not_printed(tmp_path):
    (tmp_path / "p.pkl").write_bytes(b"\x80\x04\x8c\x0cMrs Smith, 5\x8c\x04seen\x93.")
    with pytest.raises(DataError, match=r"the global 'a name of 17 characters'") as caught:
        load_plain_pickle(tmp_path / "p.pkl")
    assert "Smith" not in str(caught.value)
