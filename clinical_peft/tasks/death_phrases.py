"""Phrases in an admission note that give a patient's death away."""

import re

# The original's three patterns. ``pt`` also ends other words ("attempt died"), the subject may be missing in the two
# sections of `_ORIGINAL_SECTION`, only the first phrase of each is removed, and relatives count as the patient.
_ORIGINAL_SECTION = re.compile("(?:physical exam|medication on admission):", re.IGNORECASE)
_ORIGINAL_REMOVED = re.compile(  # a run of blanks counts from its beginning
    r"(?:patient|pt|(?<!\s))\s++(?:had\s|has\s)?(?:expired|died|passed away|deceased)", re.IGNORECASE
)
_ORIGINAL_DROPPED = re.compile(
    r"(?:patient|pt)\s++(?:had\s|has\s)?(?:expired|died|passed away|deceased)"
    r"|he expired|pronounced expired|time of death",
    re.IGNORECASE,
)

_DEATH = r"(?:expired|died|passed\s+away|deceased)\b"
_REMOVED = re.compile(
    rf"(?<!\s)\s*+\b(?:(?:the\s++)?(?:patient|pt)\s++)?(?:(?:had|has|is)\s++)?\b{_DEATH}", re.IGNORECASE
)
STATED_DEATH = (
    rf"\b(?:patient|pt)\s+(?:(?:had|has|is)\s+)?{_DEATH}|\bs?he\s+expired\b|\bpronounced\s+expired\b"
    r"|\btime\s+of\s+death\b"
)
"""Pattern of a statement that the patient died; case is ignored."""

_STATED_DEATH = re.compile(STATED_DEATH, re.IGNORECASE)
_REMOVED_FROM = ("PHYSICAL EXAM: ", "MEDICATION ON ADMISSION: ")
_IGNORED_IN = "FAMILY HISTORY: "


def without_death_phrases(note: str, *, original: bool) -> str | None:
    """Take a patient's death out of an admission note.

    Physical exam and medication lose the phrase only, because they do not tell more about it; a phrase elsewhere
    tells the outcome at length.

    Args:
        note: Admission note, its sections separated by blank lines.
        original: Match as the original does, false hits included. Otherwise match whole words, remove every phrase,
            and leave the family history alone.

    Returns:
        The note, or None when it is dropped.
    """
    if original:
        note = _without_original_phrases(note)
        return None if _ORIGINAL_DROPPED.search(note) else note
    sections = [
        _without_phrases(section) if section.startswith(_REMOVED_FROM) else section for section in note.split("\n\n")
    ]
    is_stated = any(_STATED_DEATH.search(section) for section in sections if not section.startswith(_IGNORED_IN))
    return None if is_stated else "\n\n".join(sections)


def _without_original_phrases(note: str) -> str:
    """Remove from each of the two sections the first phrase that begins on the line of its title."""
    phrases = _ORIGINAL_REMOVED.finditer(note)
    phrase, kept, done, line_end = next(phrases, None), [], 0, -1
    for title in _ORIGINAL_SECTION.finditer(note):
        while phrase and phrase.start() < title.end():
            phrase = next(phrases, None)
        if phrase is None:
            break
        if line_end < title.end():
            line_end = note.find("\n", title.end()) % (len(note) + 1)  # the note's end, where there is none
        if title.start() >= done and phrase.start() <= line_end:
            kept.append(note[done : phrase.start()])
            done = phrase.end()
    return "".join([*kept, note[done:]])


def _without_phrases(section: str) -> str:
    title, mark, body = section.partition(": ")
    return title + mark + _REMOVED.sub("", body).lstrip()
