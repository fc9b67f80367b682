"""What a column of a table sorts by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.tables.html_tables import sort_keys

NUMBERS = st.integers(-10_000_000, 10_000_000).map(lambda tenths: tenths / 10)
BEHIND = ("", "%", "*", "†", "†‡ [1.0, 2.0]", " [−1.0, +2.0]", " [1.0, 2.0] ±0.4 =", " (−5.65)", " of 12")


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["+1.0 [+0.5, +1.5]", "−2.5 [−3.0, −2.0]", "–"], [1.0, -2.5, None]),
        (["57.65* (−5.65)", "1,266 (−1,206)"], [57.65, 1266.0]),
        (["5 of 12", "10 of 12", ""], [5.0, 10.0, None]),
        (["[57.9, 62.8]", "–", "[−0.4, 1.2]"], [57.9, None, -0.4]),
        (["< 0.001", "0.25"], [0.001, 0.25]),
        (["18 to 39", "80 and over"], None),
        (["12", "2011 - 2013"], None),
        (["5 notes, 2 labels", "nothing"], None),
        (["–", ""], None),
        (["37 / 63 / 48"], None),
        (["0a1b2c", "123456"], None),
        ([], None),
    ],
)
def test_a_column_is_numeric_only_if_every_cell_is(cells, keys):
    assert sort_keys(cells) == keys


@given(st.lists(st.tuples(NUMBERS, st.sampled_from(["{:,.1f}", "{:+,.1f}"]), st.sampled_from(BEHIND)), min_size=1))
def test_a_figure_is_read_back_whatever_stands_around_it(drawn):
    cells = [form.format(value).replace("-", "−") + behind for value, form, behind in drawn]
    assert sort_keys(cells) == [value for value, _, _ in drawn]
