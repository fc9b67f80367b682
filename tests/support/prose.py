"""Sentences of Markdown pages: what a reader reads, without code blocks, comments and addresses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fenced_blocks import PAGES
from workflow_run import REPOSITORY

GENERATED = re.compile(r"<!-- (?:results|methods)[^\n]*-->\n.*?<!-- end[^\n]*-->", re.DOTALL)
END = re.compile(r"(?<=[.!?])[\"')*_\]]*\s+(?=[\"'(*_\[]*[A-Z0-9`§†])")
ITEM = re.compile(r"\s*(?:[-*]|\d+\.)\s+")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a page, and whether it stands in the cell of a table."""

    page: Path
    line: int
    text: str
    in_table: bool

    @property
    def words(self) -> int:
        """Number of words; a span of code is one word, signs alone are none."""
        return len([word for word in self.text.split() if re.search(r"\w", word)])

    @property
    def place(self) -> str:
        """Page and line, as in `docs/data.md:7`."""
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blanked(match: re.Match[str]) -> str:
    """As many empty lines as a match has, so that lines keep their numbers."""
    return "\n" * match[0].count("\n")


def prose_lines(text: str) -> list[str]:
    """Lines of a page without code blocks, comments and generated parts, which become empty lines."""
    text = re.sub(r"^( *)```[^\n]*\n.*?^\1```$", blanked, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", blanked, GENERATED.sub(blanked, text), flags=re.DOTALL)
    return text.split("\n")


def plain(text: str) -> str:
    """Text as it is read: code or a list of names in code is one word, links and pictures are their titles."""
    text = re.sub(r"Code(?:, Code)+", "Code", re.sub(r"``.+?``|`[^`]+`", "Code", text))
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*\*|__", "", text)


def paragraphs(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Paragraphs, items of lists and titles, each with the number of its first line; rows of tables are left out."""
    first, words = 0, ""
    for number, line in enumerate([*lines, ""], 1):
        item = ITEM.match(line)
        if words and (item or not line.strip() or line.startswith(("#", "|"))):
            yield first, words
            words = ""
        if not line.strip() or line.startswith("|"):
            continue
        first = number if not words else first
        words = f"{words} {line[len(item[0]) if item else 0 :].strip()}".strip()
        if line.startswith("#"):
            yield number, words.lstrip("# ")
            words = ""


def cells(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Cells of tables, each with the number of its line."""
    for number, line in enumerate(lines, 1):
        if line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line):
            for cell in re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "`code`", line.strip().strip("|"))):
                yield number, cell.strip()


def sentences(page: Path) -> list[Sentence]:
    """Every sentence of a page, in order: those of paragraphs and lists first, then those of tables."""
    lines = prose_lines(page.read_text(encoding="utf-8"))
    found = []
    for in_table, parts in ((False, paragraphs(lines)), (True, cells(lines))):
        for number, words in parts:
            found += [Sentence(page, number, text, in_table) for text in END.split(plain(words)) if text]
    return found


def every_sentence() -> list[Sentence]:
    """The sentences of all pages."""
    return [sentence for page in PAGES for sentence in sentences(page)]
