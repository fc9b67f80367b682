"""Cleaning: the column operations give what the definitions give, and the definitions what the protocols ask for."""

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clinical_peft.data import note_cleaning
from clinical_peft.data.note_cleaning import clean_flattened, clean_structured, flatten_texts, structure_texts

MARKS = ["[**", "**]", "[", "*", "]", "[**Name**]", "_"]
LINE_ENDS = ["\n", " \n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", " " * 17 + "\n"]
SPACES = [" ", "  ", "\t", "\x1f", "\xa0", "\u3000"]
PIECES = st.sampled_from([*MARKS, *LINE_ENDS, *SPACES, "é", "â", "𝄞", "a", "word"])
TEXTS = st.lists(PIECES, max_size=14).map("".join)
COLUMNS = st.lists(st.none() | TEXTS | st.text(max_size=6), max_size=8)
CLEANINGS = [(clean_flattened, flatten_texts), (clean_structured, structure_texts)]


@pytest.mark.parametrize(("definition", "columnwise"), CLEANINGS)
@settings(deadline=None, max_examples=200)
@given(column=COLUMNS, before=st.integers(0, 3), after=st.integers(0, 3), piece=st.sampled_from([1, 40, 512 << 10]))
@example(column=["a  ", "  b", "", "\n", None, " \n"], before=0, after=0, piece=512 << 10)
@example(column=["x" + " " * 40 + "\ny", " " * 40, " " * 40 + "\n"], before=1, after=0, piece=512 << 10)
def test_a_column_is_cleaned_as_its_notes_are(monkeypatch_module, definition, columnwise, column, before, after, piece):
    monkeypatch_module.setattr(note_cleaning, "_PIECE", piece)
    whole = pa.array([*["other  note \n"] * before, *column, *["[**z**] "] * after], pa.string())
    cleaned = columnwise(whole[before : before + len(column)])
    assert cleaned.to_pylist() == [definition(text or "") for text in column]
    cleaned.validate(full=True)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize(("definition", "columnwise"), CLEANINGS)
def test_every_character_is_treated_alike_everywhere(definition, columnwise):
    characters = [chr(code) for code in range(1, 0x11000) if not 0xD800 <= code < 0xE000]
    for form in ("{0}a{0}", "a {0} b", "a{0}\nb", "{0}"):
        texts = [form.format(character) for character in characters]
        assert columnwise(pa.array(texts)).to_pylist() == [definition(text) for text in texts]


@settings(deadline=None)
@given(TEXTS)
def test_cleaning_is_idempotent_and_leaves_one_kind_of_line_end(text):
    cleaned = clean_structured(text)
    assert clean_structured(cleaned) == cleaned
    assert cleaned.split("\n") == (cleaned.splitlines() or [""])
    flat = clean_flattened(text)
    assert "\n" not in flat
    assert "  " not in flat
    assert "[**" not in flat


def test_what_the_two_cleanings_do_to_a_note():
    note = "Name: [**Known\nname**]\r\nwell,  ok \n\n[**2150-1-1**] "
    assert clean_flattened(note) == "Name: Known name \r well, ok 2150-1-1 "
    assert clean_structured(note) == "Name: ___\nwell,  ok\n\n___"
