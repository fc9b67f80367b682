"""Tables as HTML: an element for the report, and a page of its own.

A cell of a column of numbers carries `data-sort`, the number to sort by; its title carries `data-numeric`. A column
holds numbers if every cell of it is one, dashes apart; all other columns sort as text.
"""

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from clinical_peft.tables.form import EMPTY, MISSING, PAPER, PAPER_DIFFERENCE, Table

PAGE_STYLE = """
body { margin: 1.5rem; color: #1d2329; font: 14px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .6rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #d7dce0; text-align: right; vertical-align: top; }
thead th { border-bottom: 2px solid #1d2329; vertical-align: bottom; }
.text, .none { text-align: left; }
button { font: inherit; background: none; border: 0; padding: 0; color: inherit; text-align: inherit; }
small { display: block; color: #5b6670; font-weight: 400; }
.published { color: #5b6670; font-weight: 400; }
p { color: #5b6670; max-width: 60rem; }
"""
# Longest text of a column that needs no more room than its words.
BRIEF = 12
_NUMBER = r"[+\-−]?\d[\d,]*(?:\.\d+)?"
# A bound, the number, and behind it a unit, marks, an interval, a spread, a difference in brackets or a whole.
_BEHIND = rf"(?:%|[*†‡=]|\[{_NUMBER}, {_NUMBER}\]|±{_NUMBER}|\({_NUMBER}\)|of {_NUMBER})"
_FIGURE = re.compile(rf"(?:[<>≤≥] ?)?({_NUMBER})(?: ?{_BEHIND})*|\[({_NUMBER}), {_NUMBER}\]")


def sort_keys(cells: Sequence[str]) -> list[float | None] | None:
    """What the cells of a column sort by.

    Args:
        cells: Texts of the column's cells.

    Returns:
        A number for each cell, None for a dash or an empty cell; None where the column is text: a cell is neither a
        number nor a dash, or all are dashes. An interval alone sorts by its lower end.
    """
    keys: list[float | None] = []
    for cell in cells:
        found = _FIGURE.fullmatch(cell)
        if found is None and cell not in ("", MISSING):
            return None
        text = (found[1] or found[2]) if found else ""
        keys.append(float(text.replace(",", "").replace("−", "-")) if text else None)
    return keys if any(key is not None for key in keys) else None


def to_html(table: Table, links: Mapping[str, str] | None = None, *, hidden_caption: bool = False) -> Markup:
    """A `table` element whose columns a script can sort by; a bracket in a cell stands on a line of its own.

    Args:
        table: Table to write.
        links: Address by name of the row (`Table.row_names`); the last column of text links to it.
        hidden_caption: Leave the caption to what stands around the table.
    """
    caption = Markup("") if hidden_caption else Markup("<caption>{}</caption>\n").format(table.caption)
    keys = [_keys_of_column(table, column) for column in range(len(table.header))]
    head = Markup("").join(_html_title(table, column, keys[column] is not None) for column in range(len(table.header)))
    lines = []
    for row in range(len(table.rows)):
        link = (links or {}).get(table.row_names[row]) if table.row_names else None
        cells = Markup("").join(
            _html_cell(table, row, column, link, found[row] if found else None) for column, found in enumerate(keys)
        )
        lines.append(Markup("<tr>{}</tr>").format(cells))
    if not lines:
        lines.append(Markup('<tr><td class="none" colspan="{}">{}</td></tr>').format(len(table.header), EMPTY))
    body = Markup("\n").join(lines)
    element = Markup('<table class="sortable">\n{}<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>')
    return element.format(caption, head, body)


def _keys_of_column(table: Table, column: int) -> list[float | None] | None:
    return None if column < table.text_columns else sort_keys([row[column] for row in table.rows])


def _html_class(table: Table, column: int) -> Markup:
    if column < table.text_columns:
        brief = all(len(row[column]) <= BRIEF for row in table.rows)
        return Markup(' class="text brief"' if brief else ' class="text"')
    published = table.header[column] in (PAPER, PAPER_DIFFERENCE)
    return Markup(' class="published"') if published else Markup("")


def _html_title(table: Table, column: int, numeric: bool) -> Markup:
    title = _two_lines(table.header[column], " (")
    attributes = _html_class(table, column) + Markup(" data-numeric" if numeric else "")
    return Markup('<th scope="col"{}><button type="button">{}</button></th>').format(attributes, title)


def _html_cell(table: Table, row: int, column: int, link: str | None, key: float | None) -> Markup:
    cell = table.rows[row][column]
    text = _two_lines(cell, " (" if table.header[column] == PAPER_DIFFERENCE else " [") if column else escape(cell)
    if (row, column) in table.bold:
        text = Markup("<strong>{}</strong>").format(text)
    if link is not None and column == table.text_columns - 1:
        text = Markup('<a href="{}" title="MLflow run">{}</a>').format(link, text)
    element = Markup("<td{}>{}</td>") if column else Markup('<th scope="row"{}>{}</th>')
    attributes = _html_class(table, column)
    if key is not None:
        attributes += Markup(' data-sort="{}"').format(key)
    return element.format(attributes, text)


def _two_lines(text: str, mark: str) -> Markup:
    first, found, rest = text.partition(mark)
    return escape(first) + Markup("<small>{}{}</small>").format(mark, rest) if found else escape(text)


def to_page(table: Table) -> str:
    """The table with caption and notes as an HTML page that loads nothing."""
    notes = Markup("\n").join(Markup("<p>{}</p>").format(note) for note in table.notes)
    return (
        Markup(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{}</title>\n<style>{}</style>\n'
            "</head>\n<body>\n{}\n{}\n</body>\n</html>\n"
        )
        .format(table.name, Markup(PAGE_STYLE), to_html(table), notes)
        .replace("\n\n</body>", "\n</body>")
    )
