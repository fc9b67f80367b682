"""Patterns of section headings in a discharge summary, and of headings of the findings at discharge."""

import re

# A name and a colon at the start of a line, and what follows on it.
NAME_LINE = re.compile(r"^[ \t]*+([A-Za-z][A-Za-z0-9 /()&'-]{1,58}?)[ \t]*+:([^\n]*)", re.MULTILINE)

# The heading of what was examined when the patient left or died, with or without a colon, and what may stand before it
# from the beginning of a line on.
_ORNAMENT = re.compile(r"[\s*_=>#.()-]+")
_LEAVING = re.compile(
    r"(?:(?:physical|general|neuro(?:logic(?:al)?)?|exam(?:ination)?|pe|vitals?|vital signs|vs|weight|"
    r"on|at|upon|prior|to|the|day|time|of)[ \t:,/-]++){0,6}(?:discharge|d/c|dc|death)\b",
    re.IGNORECASE,
)

_CONNECTING = frozenset(
    {
        *("a", "an", "and", "as", "at", "before", "by", "during", "for", "from", "in", "of", "on", "or", "over", "per"),
        *("since", "the", "to", "upon", "with"),
    }
)
_SUBJECTS = frozenset({"he", "her", "his", "it", "patient", "pt", "she", "there", "they", "this"})
_VERBS = frozenset(
    {
        *("are", "had", "has", "have", "included", "includes", "is", "notable", "revealed", "showed", "shows"),
        *("was", "were"),
    }
)
# Parts of an exam or of a history, which are headed like sections.
_PARTS = frozenset(
    {
        *("abd", "abdomen", "back", "cardiac", "cardiovascular", "chest", "cor", "cv", "ext", "extremities", "eyes"),
        *("gen", "general", "general appearance", "gi", "gu", "heart", "heent", "lungs", "lymph", "lymph nodes", "msk"),
        *("mental status", "neck", "neuro", "neurologic", "neurological", "pulm", "pulmonary", "pulses", "rectal"),
        *("resp", "respiratory", "skin", "vital signs", "vitals", "vs", "ed course", "wound", "wounds"),
    }
)
_SHORT = 4  # words


def opens_section(text: str, line: re.Match[str]) -> bool:
    """Return whether a match of `NAME_LINE` stands alone on its line, or begins a line that follows a blank one."""
    return not line[2].strip() or opens_paragraph(text, line)


def opens_paragraph(text: str, line: re.Match[str]) -> bool:
    """Return whether the line of a match is the text's first or follows a blank one."""
    line_before = text.rfind("\n", 0, max(line.start() - 1, 0)) + 1
    return not text[line_before : line.start()].strip()


def is_about_discharge(name: str) -> bool:
    """Return whether a heading has the word "discharge"."""
    return "discharge" in name.lower().split()


def reads_like_heading(line: re.Match[str]) -> bool:
    """Return whether a match of `NAME_LINE` may be a section's heading, not a sentence with a colon in it.

    A heading is capitalised, but for connecting words, of which none begins it; where it stands alone on its line, a
    few words in any case do. It has no verb and is no part of an exam.
    """
    words = line[1].split()
    lower = [word.lower() for word in words]
    if lower[0] in _CONNECTING | _SUBJECTS or _VERBS.intersection(lower) or " ".join(lower) in _PARTS:
        return False
    capitalised = not any(word[0].islower() for word in words if word not in _CONNECTING)
    return capitalised or (len(words) <= _SHORT and not line[2].strip())


def before_discharge(exam: str) -> str:
    """Return the findings of an exam that stand above those made when the patient left or died."""
    if _LEAVING.match(exam):
        return ""
    for ornament in _ORNAMENT.finditer(exam):
        # The first line that begins within it; a run is looked at once, however many lines it has.
        newline = -1 if ornament.start() == 0 else exam.find("\n", *ornament.span())
        if (newline >= 0 or ornament.start() == 0) and _LEAVING.match(exam, ornament.end()):
            return exam[: newline + 1]
    return exam
