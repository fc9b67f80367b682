"""The sections of a MIMIC-IV discharge summary that are known at admission.

The hospital's template puts every header on a line of its own, its body below. What is written at discharge (an
exam, medications, a diagnosis) stands under headers of its own, or under a heading inside the section of the exam.
"""

import re

from clinical_peft.data.headings import NAME_LINE, before_discharge, is_about_discharge, opens_section
from clinical_peft.data.sections import SECTION_HEADERS

Sections = dict[str, str]

# Header in lower case -> title in an admission note.
_TITLES = {
    **{header: title for title, header in SECTION_HEADERS.items()},
    "chief complaints": "CHIEF COMPLAINT",
    "history of present illness": "PRESENT ILLNESS",
    "history of the present illness": "PRESENT ILLNESS",
    "past medical history": "MEDICAL HISTORY",
    "prior medical history": "MEDICAL HISTORY",
    "medication on admission": "MEDICATION ON ADMISSION",
    "admission medications": "MEDICATION ON ADMISSION",
    "physical examination": "PHYSICAL EXAM",
    "admission physical exam": "PHYSICAL EXAM",
    "admission physical examination": "PHYSICAL EXAM",
    "physical exam on admission": "PHYSICAL EXAM",
    "physical examination on admission": "PHYSICAL EXAM",
}
_OTHER_HEADERS = frozenset(
    {
        *("name", "unit no", "admission date", "date of birth", "sex", "service", "attending"),
        *("major surgical or invasive procedure", "pertinent results", "brief hospital course", "hospital course"),
        *("summary of hospital course", "transitional issues", "facility", "followup instructions"),
        *("follow-up instructions", "addendum"),
    }
)
_NO_LETTER_OR_DIGIT = re.compile(r"[\W_]*")


def known_at_admission(text: str) -> Sections:
    """Cut a discharge summary at its headers.

    A header is one of the template's; it stands alone on its line, or begins a line that follows a blank one. A
    section reaches to the next header. A header whose section is already filled is words of another section. The
    physical exam ends where the findings at discharge begin, and any header with the word "discharge" ends a section.

    Args:
        text: One discharge summary or addendum.

    Returns:
        A text on one line per section title, empty where the section is not found or holds nothing but
        de-identification marks.
    """
    found = dict.fromkeys(SECTION_HEADERS, "")
    title, start = "", 0
    for match in NAME_LINE.finditer(text):
        name = " ".join(match[1].lower().split())
        next_title = _TITLES.get(name, "")
        if not next_title and name not in _OTHER_HEADERS and not is_about_discharge(name):
            continue
        if not opens_section(text, match) or found.get(next_title):
            continue
        body = _body(title, text[start : match.start()])
        if title and title == next_title and not body:
            continue  # "Admission physical exam:" right below "Physical exam:"
        if title:
            found[title] = body
        title, start = next_title if next_title != title else "", match.start(2)
    if title:
        found[title] = _body(title, text[start:])
    return found


def merged_sections(summaries: list[Sections], addenda: list[Sections]) -> Sections:
    """Take each section from the first note of an admission that has it, summaries before addenda.

    An addendum is written at discharge or later: an exam in it is never that of the admission.
    """
    exam = {"PHYSICAL EXAM": ""}
    notes = [*summaries, *(sections | exam for sections in addenda)]
    return {title: next((sections[title] for sections in notes if sections[title]), "") for title in SECTION_HEADERS}


def _body(title: str, text: str) -> str:
    body = before_discharge(text) if title == "PHYSICAL EXAM" else text
    return "" if _NO_LETTER_OR_DIGIT.fullmatch(body) else " ".join(body.split())
