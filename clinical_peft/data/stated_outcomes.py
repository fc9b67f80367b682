"""Outcomes that an admission note states, found by patterns per task.

An admission note should hold what was known at admission. A section that was cut wrongly, or an addendum, may tell
how the stay went. The patterns find such statements; they also find statements about an earlier stay, so that a count
is a reason to read, not a number of leaks.
"""

import re
from collections.abc import Mapping

from clinical_peft.data.death_phrases import TELLS_DEATH
from clinical_peft.data.sections import split_admission_note

RELATIVES_SECTION = "FAMILY HISTORY"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_POSTOPERATIVE_DAY = _pattern(r"\b(?:pod|post-?\s?op(?:erative)?\s+day)\s*+(?:#\s*+)?\d+")

STATEMENTS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "mortality": {
        "death": TELLS_DEATH,
        "disposition": _pattern(r"\b(?:disposition|discharge condition)\W{1,3}(?:expired|deceased|died|dead)\b"),
        "end_of_life_care": _pattern(
            r"\bcomfort (?:measures|care)\b|\bmade cmo\b|\bhospice\b|\bterminal(?:ly)? extubat|\bautopsy\b"
            r"|\bwithdraw(?:n|al)?\b[^.]{0,20}\b(?:care|support)\b"
        ),
    },
    "los": {
        "length_of_stay": _pattern(r"\blength of (?:hospital )?stay\b|\blos\b\W{0,3}\d+"),
        "hospital_day": _pattern(r"\bhosp(?:ital|\.)? day\s*+(?:(?:#|number\b|no\.?)\s*+)?\d+|\bhd\s?#\s*+\d+"),
        "postoperative_day": _POSTOPERATIVE_DAY,
        "stay_in_days": _pattern(
            r"\b(?:hospitali[sz](?:ed|ation)|stayed|(?:hospital|icu) (?:stay|course))\b[^.]{0,30}\bdays?\b"
        ),
        "discharge": _pattern(
            r"\b(?:day|time|date) of discharge\b|\b(?:on|at|upon) discharge\b|\bdischarged\b[^.]{0,40}\bday\b"
        ),
    },
    "pmv": {
        "tracheostomy": _pattern(r"\btrach(?:eostomy|eotomy|ed)?\b"),
        "ventilator_days": _pattern(
            r"\b(?:vent(?:ilator|ilation|ilated)?|intubat(?:ed|ion))\b[^.]{0,30}\b\d+\s*(?:x\s*)?(?:days?|weeks?)\b"
            r"|\bvent(?:ilator)? day\s*+(?:#\s*+)?\d+"
        ),
        "weaning": _pattern(
            r"\b(?:fail(?:ed|ure)?|difficult(?:y)?|unable)\b[^.]{0,15}\bwean|\bvent(?:ilator)?[- ]dependen"
            r"|\bprolonged (?:mechanical )?(?:ventilat|intubat|wean)"
        ),
        "extubation": _pattern(r"\bextubat(?:ed|ion)\b|\bre-?intubat"),
    },
    "diagnoses": {
        "diagnosis_list": _pattern(r"\b(?:discharge|final|principal|primary|secondary) diagnos[ei]s\b"),
        "code": _pattern(r"\bicd\W?(?:9|10)\b"),
    },
    "procedures": {
        "procedure_list": _pattern(r"\bmajor surgical or invasive procedures?\b|\bprocedures? performed\b"),
        "postoperative_day": _POSTOPERATIVE_DAY,
        "operation": _pattern(r"\btaken to (?:the )?(?:or|operating room|cath(?:eterization)? lab)\b"),
    },
}
"""Task to name of a statement to its pattern. A task that is not here has an outcome that no note can state."""

# In a note without any of its words a statement is not looked for, which most notes are spared by.
WORDS: Mapping[str, tuple[str, ...]] = {
    "death": ("expired", "died", "passed", "deceased", "death"),
    "disposition": ("disposition", "discharge condition"),
    "end_of_life_care": ("comfort", "cmo", "hospice", "terminal", "autopsy", "withdraw"),
    "length_of_stay": ("length of", "los"),
    "hospital_day": ("hosp", "hd"),
    "postoperative_day": ("pod", "post"),
    "stay_in_days": ("hospitali", "stayed", "stay", "course"),
    "discharge": ("discharge",),
    "tracheostomy": ("trach",),
    "ventilator_days": ("vent", "intubat"),
    "weaning": ("wean", "vent", "prolonged"),
    "extubation": ("extubat", "intubat"),
    "diagnosis_list": ("diagnos",),
    "code": ("icd",),
    "procedure_list": ("procedure",),
    "operation": ("taken to",),
}
# What stands for an ASCII letter where case does not count, and is not its upper case.
_LETTERS = str.maketrans({"\u0130": "i", "\u0131": "i", "\u017f": "s"})


def stated_outcomes(task: str, note: str) -> list[tuple[str, str]]:
    """Return the statements of a task's outcome in an admission note.

    Returns:
        (section title, name of the statement), each pair once, in the order of the note.
    """
    folded = fold(note)
    patterns = {
        name: pattern
        for name, pattern in STATEMENTS.get(task, {}).items()
        if any(word in folded for word in WORDS[name])
    }
    return [
        (section, name)
        for section, body in (split_admission_note(note).items() if patterns else ())
        for name, pattern in patterns.items()
        if pattern.search(body)
    ]


def fold(text: str) -> str:
    """Return a text in which every letter that a pattern takes for an ASCII one, whatever the case, is that one."""
    return (text if text.isascii() else text.translate(_LETTERS)).lower()


def states_outcome(task: str, note: str) -> bool:
    """Return whether an admission note states a task's outcome anywhere but in the history of the family."""
    return any(section != RELATIVES_SECTION for section, _ in stated_outcomes(task, note))
