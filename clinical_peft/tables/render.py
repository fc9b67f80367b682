"""Tables as CSV, Markdown, LaTeX and HTML."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clinical_peft.files import write_text
from clinical_peft.tables.form import EMPTY, Table, one_line
from clinical_peft.tables.html_tables import to_page

LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "`": r"\textasciigrave{}",
        "|": r"\textbar{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "±": r"$\pm$",
        "−": "$-$",
        "†": r"$^\dagger$",
        "‡": r"$^\ddagger$",
        "→": r"$\rightarrow$",
        ">": r"$>$",
        "<": r"$<$",
        # A bracket at the start of a row would be read as the optional argument of the line break before it.
        "[": "{[}",
        "]": "{]}",
    }
)


def write_table(table: Table, stem: Path) -> list[Path]:
    """Write a table as `stem`.csv, .md, .tex and .html.

    Args:
        table: Table to write.
        stem: Path without a suffix.

    Returns:
        The four paths.
    """
    texts = {".csv": to_csv(table), ".md": to_markdown(table), ".tex": to_latex(table), ".html": to_page(table)}
    paths = []
    for suffix, text in texts.items():
        path = stem.with_name(stem.name + suffix)
        write_text(path, text)
        paths.append(path)
    return paths


def to_csv(table: Table) -> str:
    """The records as RFC 4180 text with line feeds; a missing value is empty, a boolean `true` or `false`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.fields)
    writer.writerows([_plain(record[field]) for field in table.fields] for record in table.records)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    # The csv module leaves a carriage return without quotation marks, where a reader takes it for the end of the row.
    return "" if value is None else value.replace("\r", "\n") if isinstance(value, str) else value


def to_markdown(table: Table) -> str:
    """The table for readers, with caption and notes."""
    align = ["---"] * table.text_columns + ["---:"] * (len(table.header) - table.text_columns)
    lines = [f"**{_escape_markdown(table.caption)}**", "", _markdown_row(table.header), _markdown_row(align)]
    lines += [_markdown_row(_cells(table, row, _escape_markdown, "**{}**")) for row in range(len(table.rows))]
    if not table.rows:
        lines += ["", EMPTY]
    for note in table.notes:
        lines += ["", _escape_markdown(note)]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape_markdown(text: str) -> str:
    """The text in one line, so that every form of Markdown shows its characters as they are."""
    text = one_line(text)
    for mark in ("\\", "|", "*", "_", "<", "`", "~"):
        text = text.replace(mark, "\\" + mark)
    # A bracket opens a link, a dollar mathematics, an ampersand a named character: only where it could.
    text = text.replace("](", "]\\(").replace("][", "]\\[")
    text = re.sub(r"\$(?=\S)", r"\\$", text)
    return re.sub(r"&(?=#?\w+;)", "&amp;", text)


def to_latex(table: Table) -> str:
    """A `table*` of the packages booktabs and graphicx, with caption, label and notes."""
    lines = [
        r"% Needs \usepackage{booktabs,graphicx}.",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_escape_latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{'l' * table.text_columns}{'r' * (len(table.header) - table.text_columns)}}}",
        r"\toprule",
        _latex_row([_escape_latex(title) for title in table.header]),
        r"\midrule",
        *(_latex_row(_cells(table, row, _escape_latex, r"\textbf{{{}}}")) for row in range(len(table.rows))),
    ]
    if not table.rows:
        lines.append(rf"\multicolumn{{{len(table.header)}}}{{l}}{{{EMPTY}}} \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\smallskip\footnotesize {_escape_latex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cells(table: Table, row: int, escape: Callable[[str], str], emphasis: str) -> list[str]:
    """The cells of a row, escaped, some in bold."""
    return [
        emphasis.format(escape(cell)) if (row, column) in table.bold else escape(cell)
        for column, cell in enumerate(table.rows[row])
    ]


def _escape_latex(text: str) -> str:
    """The text in one line; hyphens and dashes in a row stay apart, which LaTeX would join to a longer dash."""
    parts = re.split("(?<=[-–])(?=[-–])", one_line(text))
    return "{}".join(part.translate(LATEX_ESCAPES) for part in parts)
