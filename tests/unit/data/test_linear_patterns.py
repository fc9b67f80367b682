"""What is looked for in the text of notes: as before by the expressions below, in time that grows with the text."""

import re
import resource
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.headings import before_discharge
from clinical_peft.data.note_cleaning import normalise_marks
from clinical_peft.data.sections import SECTION_HEADERS, split_admission_note, unanchored_sections
from clinical_peft.data.stated_outcomes import fold, stated_outcomes
from clinical_peft.tasks import TASKS
from clinical_peft.tasks.death_phrases import without_death_phrases

CPU_SECONDS = 60  # all texts by all functions take some five; a quadratic expression takes minutes for a single text

# The expressions that define what is found. Their time grows with the square of the text, or worse.
MARK = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
LEAVING = re.compile(
    r"^[\s*_=>#.()-]*(?:(?:physical|general|neuro(?:logic(?:al)?)?|exam(?:ination)?|pe|vitals?|vital signs|vs|weight|"
    r"on|at|upon|prior|to|the|day|time|of)[ \t:,/-]+){0,6}(?:discharge|d/c|dc|death)\b",
    re.IGNORECASE | re.MULTILINE,
)
UNANCHORED = {
    title: re.compile(rf"(?i){header}:(.+?)\\n\\n[^(\\|\d.)]+?:") for title, header in SECTION_HEADERS.items()
}
ORIGINAL_REMOVED = re.compile(
    r"((?:physical exam|medication on admission):[^\n]*?)(?:patient|pt)?\s+(?:had\s|has\s)?"
    r"(?:expired|died|passed away|deceased)",
    re.IGNORECASE,
)
ORIGINAL_DROPPED = re.compile(
    r"(?:patient|pt)\s+(?:had\s|has\s)?(?:expired|died|passed away|deceased)"
    r"|he expired|pronounced expired|time of death",
    re.IGNORECASE,
)
DEATH = r"(?:expired|died|passed\s+away|deceased)\b"
REMOVED = re.compile(rf"\s*\b(?:(?:the\s+)?(?:patient|pt)\s+)?(?:(?:had|has|is)\s+)?\b{DEATH}", re.IGNORECASE)
TITLES = re.compile(rf"(?:\A|\n\n)({'|'.join(SECTION_HEADERS)}): ")
DAYS = {
    ("los", "postoperative_day"): r"\b(?:pod|post-?\s?op(?:erative)?\s+day)\s*#?\s*\d+",
    ("los", "hospital_day"): r"\bhosp(?:ital|\.)? day\s*(?:#|number\b|no\.?)?\s*\d+|\bhd\s?#\s*\d+",
}


def texts(*pieces: str) -> st.SearchStrategy[str]:
    """Texts of pieces in any order, among them what separates words and what no pattern looks for."""
    return st.lists(st.sampled_from([*pieces, " ", "  ", "\n", "\n\n", "\t", ".", "x", "A", "7"]), max_size=25).map(
        "".join
    )


@settings(deadline=None)
@given(texts("[", "[**", "**]", "*", "]"))
def test_marks_are_what_the_expression_finds(text):
    assert normalise_marks(text) == MARK.sub("___", text)


@settings(deadline=None, max_examples=300)
@given(texts("On ", "exam", " at ", ":", "-", "=", "*", "/", "discharge", "D/C", "death", "dc.", "vital signs", "("))
def test_findings_at_discharge_begin_where_the_pattern_does(text):
    match = LEAVING.search(text)
    assert before_discharge(text) == (text[: match.start()] if match else text)


@settings(deadline=None, max_examples=300)
@given(texts("Allergies:", "Social History:", "CHIEF COMPLAINT:", "Other:", ":", "\\", "(", "|"))
def test_unanchored_sections_are_what_the_original_finds(text):
    escaped = text.replace("\n", "\\n")
    found = {title: pattern.search(escaped) for title, pattern in UNANCHORED.items()}
    assert unanchored_sections(text) == {
        title: match.group(1).replace("\\n", " ").strip() if match else "" for title, match in found.items()
    }


PHRASES = ("patient", "pt", "the ", "had", "has ", "is", "died", "expired", "passed away", "passed  away", "deceased")


@settings(deadline=None, max_examples=500)
@given(
    texts("PHYSICAL EXAM: ", "medication on admission:", "FAMILY HISTORY: ", "time of death", "he expired", *PHRASES)
)
def test_phrases_of_death_are_removed_as_the_original_does(text):
    removed = ORIGINAL_REMOVED.sub(r"\1", text)
    assert without_death_phrases(text, original=True) == (None if ORIGINAL_DROPPED.search(removed) else removed)


@settings(deadline=None, max_examples=300)
@given(texts(*PHRASES))
def test_phrases_of_death_are_removed_as_by_the_expression(text):
    body = text.replace("\n", " ")
    removed = REMOVED.sub("", body).lstrip()
    expected = f"PHYSICAL EXAM: {removed}"
    found = without_death_phrases(f"PHYSICAL EXAM: {body}", original=False)
    assert found in (expected, None)
    assert (found is None) == bool(re.search(rf"\b(?:patient|pt)\s+(?:(?:had|has|is)\s+)?{DEATH}", expected, re.I))


@settings(deadline=None)
@given(texts("ALLERGIES: ", "CHIEF COMPLAINT: ", "FAMILY HISTORY:", "ALLERGIES"))
def test_notes_are_divided_as_by_the_expression(text):
    parts = TITLES.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert split_admission_note(text) == ({"": parts[0]} if parts[0].strip() else {}) | sections


@settings(deadline=None)
@given(texts("POD", "post-op day", "hospital day", "hosp. day", "HD", "#", "number", "no", "no.", " day "))
def test_days_are_found_as_by_the_expression(text):
    for (task, name), expression in DAYS.items():
        assert bool(TASKS[task].stated_outcomes[name].regex.search(text)) == bool(
            re.search(expression, text, re.IGNORECASE)
        )


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.stated_outcomes], ids=lambda task: task.name)
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_no_statement_is_overlooked_for_want_of_its_words(task, data):
    name = data.draw(st.sampled_from(sorted(task.stated_outcomes)))
    statement = task.stated_outcomes[name]
    text = data.draw(st.from_regex(statement.regex))
    assert any(word in fold(text) for word in statement.words)
    found = {section for section, other in stated_outcomes(task, text) if other == name}
    assert found == {section for section, body in split_admission_note(text).items() if statement.regex.search(body)}


def test_letters_that_count_as_one_another_are_folded():
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    assert {
        letter for letter in re.findall("[a-z]", every, re.IGNORECASE) if not re.fullmatch("[a-z]", fold(letter))
    } == set()


_ALL_TEXTS = """
import sys
from clinical_peft.tasks.death_phrases import without_death_phrases
from clinical_peft.data.headings import before_discharge
from clinical_peft.sources.mimic_iv.sections import known_at_admission
from clinical_peft.data.note_cleaning import clean_flattened, clean_structured, normalise_marks, structure_texts
from clinical_peft.data.sections import anchored_sections, split_admission_note, unanchored_sections
from clinical_peft.data.source_notes import _passages
from clinical_peft.tasks import TASKS
from clinical_peft.data.near_duplicates import shingle_codes
import pyarrow as pa

SIZE = 100_000
repeated = [
    *(" ", "\\n", "\\t", "\\r", "\\u2028", " \\n", "[**", "[", "*", "**]", "[** ", ":", "-", "=", "_", "."),
    *("7", "A", "a", "a:", "a ", "a\\n", "a:\\n", "on ", "on-", "on discharge ", "discharge ", "d/c\\n"),
    *("the ", "pt ", "patient\\t", "passed ", "had "),
    *("Allergies:", "Allergies:\\n", "physical exam:", "PHYSICAL EXAM: ", "hospital course:"),
    *("medication on admission:\\n", "Hospital course ", "post op day ", "hospital day #", "vent day ", "intubated "),
    *("wean", "\\n\\n", "\\\\n", "icd-", "("),
]
starts = ["", "Physical Exam: ", "PHYSICAL EXAM: pt", "Allergies:", "hospital day", "POD", "vent day #", "[**", "on"]
ends = ["", "x", "died", ":", "discharge", "\\n\\nOther:"]
functions = [
    clean_flattened, clean_structured, normalise_marks, before_discharge, known_at_admission, anchored_sections,
    unanchored_sections, split_admission_note, lambda text: list(_passages(text)), lambda text: shingle_codes([text]),
    lambda text: without_death_phrases(text, original=True), lambda text: without_death_phrases(text, original=False),
    lambda text: structure_texts(pa.array([text])),
    lambda text: [said.regex.search(text) for task in TASKS.values() for said in task.stated_outcomes.values()],
]
number = int(sys.argv[1])
for place, piece in enumerate(repeated):
    # Every piece after every start and before every end, over the runs that the pieces have.
    start, end = starts[(place + number) % len(starts)], ends[(place + number) % len(ends)]
    text = start + piece * (SIZE // len(piece)) + end
    for function in functions:
        function(text)
"""


@pytest.mark.parametrize("number", range(2))
def test_no_text_takes_longer_than_its_length_asks_for(number):
    done = subprocess.run(
        [sys.executable, "-c", _ALL_TEXTS, str(number)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
