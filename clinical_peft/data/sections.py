"""The sections of a discharge summary that are known at admission.

Two methods of cutting them: the original's unanchored patterns (van Aken et al., EACL 2021, whose task code defines the
cohorts), quirks included, and patterns that are anchored to the start of a line.
"""

import re

from clinical_peft.data.headings import (
    NAME_LINE,
    before_discharge,
    is_about_discharge,
    opens_paragraph,
    opens_section,
    reads_like_heading,
)

# Title in an admission note -> header in a discharge summary, in the order of an admission note.
SECTION_HEADERS = {
    "CHIEF COMPLAINT": "chief complaint",
    "PRESENT ILLNESS": "present illness",
    "MEDICAL HISTORY": "medical history",
    "MEDICATION ON ADMISSION": "medications on admission",
    "ALLERGIES": "allergies",
    "PHYSICAL EXAM": "physical exam",
    "FAMILY HISTORY": "family history",
    "SOCIAL HISTORY": "social history",
}
MAIN_SECTIONS = ("CHIEF COMPLAINT", "PRESENT ILLNESS", "MEDICAL HISTORY")
_TITLE = re.compile(rf"({'|'.join(SECTION_HEADERS)}): ")
_LATER_TITLES = re.compile(rf"\n\n{_TITLE.pattern}")

# The unanchored one reads a text whose newlines are written as a backslash and an n. A section ends at a blank line
# that is followed, on one line, by text without parentheses, bars, full stops or digits and then a colon.
_UNANCHORED_HEADERS = {title: re.compile(rf"(?i){header}:") for title, header in SECTION_HEADERS.items()}
_UNANCHORED_END = re.compile(r"\\n\\n[^(\\|\d.)]+?:")

# The anchored one takes a header at the start of a line, with the words that usually stand before it or after it, and
# takes the header of one section twice in a row ("Physical Exam:", then "Admission Physical Exam:") for one.
_BEFORE = {
    "PRESENT ILLNESS": r"(?:history of (?:the )?)?",
    "MEDICAL HISTORY": r"(?:past |prior )?",
    "PHYSICAL EXAM": r"(?:admission )?",
}
_ANCHORED_HEADERS = SECTION_HEADERS | {
    "MEDICATION ON ADMISSION": r"medications? on admission",
    "PHYSICAL EXAM": r"physical exam(?:ination)?(?: (?:on|at|upon) admission)?",
}
_HEADER_LINES = {
    title: rf"[ \t]*+{_BEFORE.get(title, '')}{header}[ \t]*+:" for title, header in _ANCHORED_HEADERS.items()
}
_ANCHORED = {
    title: re.compile(rf"^(?:{line}\s*^)*{line}", re.IGNORECASE | re.MULTILINE) for title, line in _HEADER_LINES.items()
}
# A section ends where the next header starts: one of ours or of these on any line, one about the discharge, or
# any other after a blank line, unless nothing stands between ("Physical Exam:", a blank line, "Findings: pale"): then
# it is a heading inside the section.
_OTHER_HEADERS = (
    "admission date",
    "discharge date",
    "date of birth",
    "service",
    "attending",
    "addendum",
    "major surgical or invasive procedure",
    "review of systems",
    "pertinent results",
    "(?:brief )?hospital course",
    "discharge [a-z]+",
    "follow-?up [a-z]+",
)
_KNOWN_HEADERS = (
    re.compile(rf"^[ \t]*+(?:{'|'.join(_OTHER_HEADERS)})[^\n:]{{0,40}}:", re.IGNORECASE | re.MULTILINE),
    *_ANCHORED.values(),
)
_BLANKS = re.compile(r"\s*")


def unanchored_sections(text: str) -> dict[str, str]:
    """Cut a discharge summary as the original does.

    A header counts anywhere in a line; digits, full stops and parentheses hide the header that follows; a section
    that no header follows after a blank line is lost.

    Args:
        text: One discharge summary, or several and their addenda joined by blank lines.

    Returns:
        A text without newlines per section title, empty where the section is not found.
    """
    escaped = text.replace("\n", "\\n")
    return {title: _unanchored_body(escaped, header) for title, header in _UNANCHORED_HEADERS.items()}


def _unanchored_body(escaped: str, header: re.Pattern[str]) -> str:
    """The section of the first header, of a character at least; none ends after a later one if not after the first."""
    begin = header.search(escaped)
    end = _UNANCHORED_END.search(escaped, begin.end() + 1) if begin else None
    return escaped[begin.end() : end.start()].replace("\\n", " ").strip() if begin and end else ""


def anchored_sections(text: str) -> dict[str, str]:
    """Cut a discharge summary at headers that start a line; the last section reaches to the end of the text.

    The physical exam ends where the findings at discharge begin. A section that holds nothing but an empty
    de-identification mark is empty.

    Args:
        text: One discharge summary, or several and their addenda joined by blank lines.

    Returns:
        A text without newlines per section title, empty where the section is not found.
    """
    own = {title: pattern.search(text) for title, pattern in _ANCHORED.items()}
    known = [match.start() for pattern in _KNOWN_HEADERS for match in pattern.finditer(text)]
    others = []
    for line in NAME_LINE.finditer(text):
        if is_about_discharge(line[1]) and opens_section(text, line):
            known.append(line.start())
        elif reads_like_heading(line) and opens_paragraph(text, line):
            others.append(line.start())
    return {
        title: _anchored_body(title, text, match.end(), known, others) if match else "" for title, match in own.items()
    }


def _anchored_body(title: str, text: str, begin: int, known: list[int], others: list[int]) -> str:
    """The section whose header ends at ``begin``, given where the known headers start and all that could be one."""
    blanks = _BLANKS.match(text, begin)
    first = blanks.end() if blanks else begin
    ends = [start for start in known if start >= begin] + [start for start in others if start > first]
    body = text[begin : min(ends, default=len(text))]
    if title == "PHYSICAL EXAM":
        body = before_discharge(body)
    body = " ".join(body.split("\n")).strip()
    return "" if body.startswith("[]") else body


def admission_note(sections: dict[str, str]) -> str:
    """Join the eight sections under their titles, empty ones included, with blank lines between them."""
    return "\n\n".join(f"{title}: {sections[title]}" for title in SECTION_HEADERS)


def split_admission_note(note: str) -> dict[str, str]:
    """Return the sections of an admission note, the inverse of `admission_note`.

    Returns:
        A body per title that the note has; a text without any title is one body under an empty title.
    """
    first = _TITLE.match(note)
    parts = ["", first[1], *_LATER_TITLES.split(note[first.end() :])] if first else _LATER_TITLES.split(note)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    return ({"": parts[0]} if parts[0].strip() else {}) | sections
