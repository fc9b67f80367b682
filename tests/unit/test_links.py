"""Links of the documentation lead to pages, titles and pictures that exist."""

import re
from pathlib import Path

import pytest
from fenced_blocks import PAGES
from workflow_run import REPOSITORY

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
PICTURES = (".png", ".svg", ".jpg")


def text_of(page: Path) -> str:
    """A page without its code, where brackets mean something else."""
    text = re.sub(r"^( *)```[^\n]*\n.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "`code`", text)


def anchor(title: str) -> str:
    """The fragment by which GitHub finds a title."""
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """The fragments of a page's titles; a title that stands twice gets a number."""
    text = re.sub(r"^( *)```[^\n]*\n.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for title in re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE):
        name = anchor(title)
        times = sum(other == name or re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None for other in found)
        found.append(f"{name}-{times}" if times else name)
    return set(found)


def fault(page: Path, picture: bool, target: str) -> str | None:
    """What is wrong with a link, if anything is."""
    if re.match(r"[a-z]+:", target):
        known = re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[^\s]*)?", target)
        return None if known else "expected an address that begins with https:// and a host"
    path, _, fragment = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    if not found.exists() or REPOSITORY not in (found, *found.parents):
        return "no such file"
    if picture:
        return None if found.suffix in PICTURES else "not a picture"
    if fragment and fragment not in anchors(found):
        return "no such title"
    return None


def faults(page: Path) -> list[str]:
    """The faults of a page's links, each with its target."""
    found = [(target, fault(page, bool(mark), target)) for mark, _, target in LINK.findall(text_of(page))]
    return [f"{page.relative_to(REPOSITORY)}: {target}: {wrong}" for target, wrong in found if wrong]


def test_every_link_leads_somewhere():
    assert [wrong for page in PAGES for wrong in faults(page)] == []
    assert sum(len(LINK.findall(text_of(page))) for page in PAGES) > 50


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("other.md", None),
        ("other.md#what-it-is-for", None),
        ("#top", None),
        ("https://arxiv.org/abs/2307.03042", None),
        ("missing.md", "no such file"),
        ("../outside.md", "no such file"),
        ("other.md#what-it-was-for", "no such title"),
        ("#what-it-is-for", "no such title"),
        ("http://example.org", "expected an address that begins with https:// and a host"),
        ("https://localhost/page", "expected an address that begins with https:// and a host"),
    ],
)
def test_a_broken_link_is_found(tmp_path, monkeypatch, target, wrong):
    monkeypatch.setattr("test_links.REPOSITORY", tmp_path / "docs")
    (tmp_path / "docs").mkdir()
    (tmp_path / "outside.md").write_text("# Outside\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## What `it` is for\n")
    page = tmp_path / "docs" / "page.md"
    page.write_text(f"# Top\n\n[words]({target})\n")
    assert faults(page) == ([] if wrong is None else [f"page.md: {target}: {wrong}"])


def test_a_picture_that_does_not_exist_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("test_links.REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("![the report](report.png) and ![a page](page.md)\n")
    assert faults(page) == ["page.md: report.png: no such file", "page.md: page.md: not a picture"]


def test_titles_that_stand_twice_get_numbers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Runs\n\n## Runs\n\n```sh run\n# no title\n```\n\n## [Runs](a.md), again: 5 %\n")
    assert anchors(page) == {"runs", "runs-1", "runs-again-5-"}
