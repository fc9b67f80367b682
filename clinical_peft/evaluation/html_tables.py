"""Tables as HTML: an element for the report, and a page of its own."""

from collections.abc import Mapping

from markupsafe import Markup, escape

from clinical_peft.evaluation.tables import EMPTY, PAPER, PAPER_DIFFERENCE, Table

PAGE_STYLE = """
body { margin: 1.5rem; color: #1d2329; font: 14px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .6rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #d7dce0; text-align: right; vertical-align: top; }
thead th { border-bottom: 2px solid #1d2329; vertical-align: bottom; }
.text, th:first-child, .none { text-align: left; }
button { font: inherit; background: none; border: 0; padding: 0; color: inherit; text-align: inherit; }
small { display: block; color: #5b6670; font-weight: 400; }
.published { color: #5b6670; font-weight: 400; }
p { color: #5b6670; max-width: 60rem; }
"""


def to_html(table: Table, links: Mapping[str, str] | None = None, *, hidden_caption: bool = False) -> Markup:
    """A `table` element whose columns a script can sort by; a bracket in a cell stands on a line of its own.

    Args:
        table: Table to write.
        links: Address by name of the row (`Table.row_names`); the last column of text links to it.
        hidden_caption: Leave the caption to what stands around the table.
    """
    caption = Markup("") if hidden_caption else Markup("<caption>{}</caption>\n").format(table.caption)
    head = Markup("").join(_html_title(table, column) for column in range(len(table.header)))
    lines = []
    for row in range(len(table.rows)):
        link = (links or {}).get(table.row_names[row]) if table.row_names else None
        cells = Markup("").join(_html_cell(table, row, column, link) for column in range(len(table.header)))
        lines.append(Markup("<tr>{}</tr>").format(cells))
    if not lines:
        lines.append(Markup('<tr><td class="none" colspan="{}">{}</td></tr>').format(len(table.header), EMPTY))
    body = Markup("\n").join(lines)
    element = Markup('<table class="sortable">\n{}<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>')
    return element.format(caption, head, body)


def _html_class(table: Table, column: int) -> Markup:
    if column < table.text_columns:
        return Markup(' class="text"')
    published = table.header[column] in (PAPER, PAPER_DIFFERENCE)
    return Markup(' class="published"') if published else Markup("")


def _html_title(table: Table, column: int) -> Markup:
    title = _two_lines(table.header[column], " (")
    return Markup('<th scope="col"{}><button type="button">{}</button></th>').format(_html_class(table, column), title)


def _html_cell(table: Table, row: int, column: int, link: str | None) -> Markup:
    cell = table.rows[row][column]
    text = _two_lines(cell, " (" if table.header[column] == PAPER_DIFFERENCE else " [") if column else escape(cell)
    if (row, column) in table.bold:
        text = Markup("<strong>{}</strong>").format(text)
    if link is not None and column == table.text_columns - 1:
        text = Markup('<a href="{}" title="MLflow run">{}</a>').format(link, text)
    element = Markup("<td{}>{}</td>") if column else Markup('<th scope="row"{}>{}</th>')
    return element.format(_html_class(table, column) if column else Markup(""), text)


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
