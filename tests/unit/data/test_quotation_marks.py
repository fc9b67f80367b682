"""Quotation marks: found out of place wherever RFC 4180 has none, however the file is cut into blocks."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.quotation_marks import QuotationMarks

CONTENT = st.text(st.sampled_from('a ",\n\r'), max_size=30).map(str.encode)


def first_out_of_place(data: bytes) -> int | None:
    """The grammar of RFC 4180, byte by byte: in an unquoted field, in a quoted one, or after a mark inside that."""
    state = "begin"
    for place, byte in enumerate(data):
        if byte in b",\r\n" and state != "quoted":
            state = "begin"
        elif byte == ord('"'):
            if state == "unquoted":
                return place
            state = {"begin": "quoted", "quoted": "marked", "marked": "quoted"}[state]
        elif state == "marked":
            return place - 1
        elif state == "begin":
            state = "unquoted"
    return None


@settings(deadline=None, max_examples=1000)
@given(CONTENT, st.lists(st.integers(0, 30), max_size=4))
def test_a_mark_is_out_of_place_where_the_grammar_says_so(data, cuts):
    marks, found, start = QuotationMarks(), None, 0
    for end in [*sorted(cuts), len(data)]:
        block = data[start:end]
        if block and found is None:
            place = marks.misplaced(block)
            found = None if place is None else start + place
            start = end
    assert found == first_out_of_place(data)
    if found is None:
        assert marks.count == data.count(b'"')
        assert marks.last == (data[-1] if data else ord("\n"))


@given(st.lists(st.lists(st.text(st.sampled_from('a ",\n\r'), max_size=8), min_size=1, max_size=3), max_size=8))
def test_what_a_writer_quotes_is_in_place(rows):
    handle = io.StringIO(newline="")
    csv.writer(handle).writerows(rows)
    assert QuotationMarks().misplaced(handle.getvalue().encode()) is None
