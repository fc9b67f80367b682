"""The sections of a discharge summary that are known at admission.

Two ways of cutting them: the original's unanchored patterns (van Aken et al., EACL 2021, whose task code defines the
cohorts), quirks included, and patterns that are anchored to the start of a line.
"""

import re

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
_TITLES = re.compile(rf"(?:\A|\n\n)({'|'.join(SECTION_HEADERS)}): ")

# The unanchored way looks at a text whose newlines are written as a backslash and an n. A section ends at a blank line
# that is followed, on one line, by text without parentheses, bars, full stops or digits and then a colon.
_UNANCHORED = {
    title: re.compile(rf"(?i){header}:(.+?)\\n\\n[^(\\|\d.)]+?:") for title, header in SECTION_HEADERS.items()
}

# The anchored way takes a header at the start of a line, with the words that usually stand before it or after it.
_BEFORE = {
    "PRESENT ILLNESS": r"(?:history of (?:the )?)?",
    "MEDICAL HISTORY": r"(?:past |prior )?",
    "PHYSICAL EXAM": r"(?:admission )?",
}
_AFTER = {"PHYSICAL EXAM": r"(?:ination)?(?: (?:on|at|upon) admission)?"}
_ANCHORED = {
    title: re.compile(
        rf"^[ \t]*{_BEFORE.get(title, '')}{header}{_AFTER.get(title, '')}[ \t]*:", re.IGNORECASE | re.MULTILINE
    )
    for title, header in SECTION_HEADERS.items()
}
# A section ends where the next header starts: one of ours or of these on any line, any other after a blank line.
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
_NEXT_HEADERS = (
    re.compile(rf"^[ \t]*(?:{'|'.join(_OTHER_HEADERS)})[^\n:]{{0,40}}:", re.IGNORECASE | re.MULTILINE),
    re.compile(r"\n[ \t]*\n[ \t]*[A-Za-z][^\n:.]{0,58}:"),
    *_ANCHORED.values(),
)


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
    found = {title: pattern.search(escaped) for title, pattern in _UNANCHORED.items()}
    return {title: match.group(1).replace("\\n", " ").strip() if match else "" for title, match in found.items()}


def anchored_sections(text: str) -> dict[str, str]:
    """Cut a discharge summary at headers that start a line; the last section reaches to the end of the text.

    A section that holds nothing but an empty de-identification mark is empty.

    Args:
        text: One discharge summary, or several and their addenda joined by blank lines.

    Returns:
        A text without newlines per section title, empty where the section is not found.
    """
    own = {title: pattern.search(text) for title, pattern in _ANCHORED.items()}
    starts = [match.start() for pattern in _NEXT_HEADERS for match in pattern.finditer(text)]
    sections = {}
    for title, match in own.items():
        end = min((start for start in starts if match and start >= match.end()), default=len(text))
        body = " ".join(text[match.end() : end].split("\n")).strip() if match else ""
        sections[title] = "" if body.startswith("[]") else body
    return sections


def admission_note(sections: dict[str, str]) -> str:
    """Join the eight sections under their titles, empty ones included, with blank lines between them."""
    return "\n\n".join(f"{title}: {sections[title]}" for title in SECTION_HEADERS)


def split_admission_note(note: str) -> dict[str, str]:
    """Return the sections of an admission note, the inverse of `admission_note`.

    Returns:
        A body per title that the note has; a text without any title is one body under an empty title.
    """
    parts = _TITLES.split(note)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    return ({"": parts[0]} if parts[0].strip() else {}) | sections
