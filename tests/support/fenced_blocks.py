"""Fenced blocks of the documentation: the first line of each names its language and then its tag."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_run import REPOSITORY

PAGES = (
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    place: str
    language: str
    tag: str
    text: str


def blocks(pages: Sequence[Path] = PAGES) -> list[Block]:
    """Return the blocks of some pages, in order."""
    found = []
    for page in pages:
        text = page.read_text()
        for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            language, _, tag = match[1].partition(" ")
            line = text[: match.start()].count("\n") + 1
            found.append(Block(f"{page.relative_to(REPOSITORY)}:{line}", language, tag, match[2]))
    return found
