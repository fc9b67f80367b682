"""The pages of the documentation keep their sentences short."""

from fenced_blocks import PAGES
from prose import every_sentence, sentences

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
