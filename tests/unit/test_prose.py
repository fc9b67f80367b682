"""The pages of the documentation keep their sentences short."""

import re
from typing import get_args

import yaml
from fenced_blocks import PAGES
from prose import every_sentence, sentences
from workflow_run import REPOSITORY

from clinical_peft import __version__
from clinical_peft.config.study import Study
from clinical_peft.tasks import TASKS

LONGEST = 25

PAGE = """\
# A title of four words

One two, `three with code`: four ([five](six.md)). Seven
eight **nine.** Ten
- eleven "twelve."
  Thirteen.

```sh run
not one word of this is read
```

<!-- nor of this -->
| a cell | `code | with a bar` |
|---|---|
| First. Second of three | – |
"""


def test_sentences_are_what_a_reader_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("prose.REPOSITORY", tmp_path)
    (tmp_path / "page.md").write_text(PAGE)
    found = sentences(tmp_path / "page.md")
    counted = {kind: [(one.line, one.words) for one in found if one.in_table == kind] for kind in (False, True)}
    assert counted[False] == [(1, 5), (3, 5), (3, 3), (3, 1), (5, 2), (5, 1)]
    assert counted[True] == [(13, 2), (13, 1), (15, 1), (15, 3), (15, 0)]
    assert found[0].place == "page.md:1"


def test_no_sentence_has_more_than_25_words():
    long = [f"{one.place}: {one.words} words: {one.text}" for one in every_sentence() if one.words > LONGEST]
    assert long == []


def test_pages_are_long_enough_to_be_measured():
    assert len(PAGES) > 12
    assert all(sentences(page) for page in PAGES)


def library_text() -> str:
    """The library's code, with texts that continue on the next line joined."""
    code = (path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "clinical_peft").rglob("*.py")))
    return re.sub(r'"\n\s*f?"', "", "\n".join(code))


def test_messages_of_the_faq_are_messages_of_the_code():
    text = (REPOSITORY / "docs" / "faq.md").read_text(encoding="utf-8")
    rows = re.search(r"^\| message \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    messages = re.findall(r"^\| `([^`]+)` \|", rows[0], re.MULTILINE)
    known = library_text()
    assert len(messages) > 10
    assert [message for message in messages if message not in known] == []


def glossary() -> list[str]:
    """The terms of the glossary, in order."""
    text = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    return re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE)


def test_the_glossary_is_in_alphabetical_order():
    terms = [re.sub(r"[^a-z0-9 ]", "", term.lower()) for term in glossary()]
    assert terms == sorted(terms)
    assert len(terms) == len(set(terms))


def test_the_glossary_has_the_terms_of_tables_and_keys():
    text = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = {term.casefold() for term in glossary()}
    assert {task.short.casefold() for task in TASKS.values()} <= terms
    assert {"auroc", "auprc", "calibration slope", "calibration intercept", "log-loss", "holm", "matrix"} <= terms
    modes = get_args(Study.model_fields["contamination"].annotation)
    assert [mode for mode in modes if f"- `{mode}`:" not in text] == []


def test_the_citation_is_that_of_the_package():
    cited = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert cited["version"] == __version__
    assert f"version = {{{__version__}}}" in readme
    (paper,) = cited["references"]
    names = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
    assert f"author  = {{{names}}}" in readme


def test_every_section_of_a_study_is_described():
    text = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| section \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines())))
    assert named == set(Study.model_fields)
