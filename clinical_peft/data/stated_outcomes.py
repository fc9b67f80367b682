"""Outcomes that an admission note states, found by the patterns of its task (`clinical_peft.tasks`).

An admission note should hold what was known at admission. A section that was cut wrongly, or an addendum, may tell
how the stay went. The patterns find such statements; they also find statements about an earlier stay, so that a count
is a reason to read, not a number of leaks.
"""

from clinical_peft.data.sections import split_admission_note
from clinical_peft.tasks import Task

RELATIVES_SECTION = "FAMILY HISTORY"


# What stands for an ASCII letter where case does not count, and is not its upper case.
_LETTERS = str.maketrans({"\u0130": "i", "\u0131": "i", "\u017f": "s"})


def stated_outcomes(task: Task, note: str) -> list[tuple[str, str]]:
    """Return the statements of a task's outcome in an admission note.

    Returns:
        (section title, name of the statement), each pair once, in the order of the note.
    """
    folded = fold(note)
    statements = [
        (name, statement)
        for name, statement in task.stated_outcomes.items()
        if not statement.words or any(word in folded for word in statement.words)
    ]
    return [
        (section, name)
        for section, body in (split_admission_note(note).items() if statements else ())
        for name, statement in statements
        if statement.regex.search(body)
    ]


def fold(text: str) -> str:
    """Return a text in which every letter that a pattern takes for an ASCII one, whatever the case, is that one."""
    return (text if text.isascii() else text.translate(_LETTERS)).lower()


def states_outcome(task: Task, note: str) -> bool:
    """Return whether an admission note states a task's outcome anywhere but in the history of the family."""
    return any(section != RELATIVES_SECTION for section, _ in stated_outcomes(task, note))
