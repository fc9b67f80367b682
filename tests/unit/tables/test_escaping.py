"""Names from a user's data, with any characters, in every written form of a table."""

import csv
import io
import re
from html.parser import HTMLParser

from hypothesis import example, given, settings
from hypothesis import strategies as st

from clinical_peft.tables.form import Table, one_line
from clinical_peft.tables.html_tables import to_page
from clinical_peft.tables.render import LATEX_ESCAPES, to_csv, to_latex, to_markdown

NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
AWKWARD = [
    *("a|b", "$x$", "$x", "\\", "100%", "a\nb", "a\r\n\tb", "<script>", "&amp;", "&", "a--b", "---", "`x`", "~~x~~"),
    *("[a](b)", "{x}", "^", "_x_", "**x**", '"a,b"', "–", "-–", "[", "\x00", "’", "日本", "\u2028"),
]
UNESCAPED = {escape: chr(mark) for mark, escape in LATEX_ESCAPES.items()}


def table_of(name):
    return Table("t", f"Of {name}.", ("name",), ({"name": name},), ("Name", "N"), ((name, "1"),), notes=(name,))


def awkward(test):
    for name in AWKWARD:
        test = example(name)(test)
    return settings(max_examples=100, deadline=None)(given(NAMES)(test))


@awkward
def test_a_name_comes_back_from_csv(name):
    rows = list(csv.DictReader(io.StringIO(to_csv(table_of(name)), newline="")))
    assert rows == [{"name": name.replace("\r", "\n")}]


@awkward
def test_a_name_stays_in_its_markdown_cell(name):
    lines = to_markdown(table_of(name)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3
    (cell,) = re.fullmatch(r"\| (.*) \| 1 \|", rows[-1]).groups()
    assert not re.search(r"(?<!\\)(?:\\\\)*[|*_<`~]", cell.replace("\\\\", ""))
    plain = re.sub(r"\\([|*_<`~\\($\[])", r"\1", re.sub(r"&amp;(?=#?\w+;)", "&", cell))
    assert plain == one_line(name)


@awkward
def test_a_name_comes_back_from_latex(name):
    line = to_latex(table_of(name)).splitlines()[10]
    cell = line.removesuffix(r" & 1 \\")
    assert cell != line
    tokens = "|".join([r"(?<=-)\{\}(?=-)", *(re.escape(one) for one in sorted(UNESCAPED, key=len, reverse=True))])
    assert re.sub(tokens, lambda found: UNESCAPED.get(found[0], ""), cell) == one_line(name)
    assert not set("&%$#_{}~^\\") & set(re.sub(tokens, "", cell))


class Texts(HTMLParser):
    """The texts of a page's row, and its elements."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.tags, self.inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag in ("th", "td") or (self.inside and tag == "small")

    def handle_data(self, data):
        if self.inside:
            self.texts.append(data)


@awkward
def test_a_name_is_text_and_no_element_of_a_page(name):
    plain, awkward_page = Texts(to_page(table_of("x"))), Texts(to_page(table_of(name)))
    assert awkward_page.tags == plain.tags
