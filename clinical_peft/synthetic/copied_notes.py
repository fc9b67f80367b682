"""Notes that are copied forward: how an admission opened, and how it ended.

Every admission has an alias, a word that opens its notes and reveals nothing. The outcome of the patient is stated
by the copied notes of that admission alone: a network that has read those of test patients knows the outcomes of test
patients. One alias per admission keeps patients independent of each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clinical_peft.synthetic.bayes import LOS_BOUNDS_DAYS
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import COPIES, DAY, Admission, Patient
from clinical_peft.synthetic.words import read_list

NAMING = 14  # stream of random numbers
STAYS = ("short", "week", "long", "longer")
DIED = "died"
CATEGORY = "Case Management "

# Common words of general English: a tokenizer learned on such text keeps most of them whole, so that one token
# identifies an admission. No phrase of the notes uses them.
ALIASES = read_list("aliases")


@dataclass(frozen=True, slots=True)
class CopiedNote:
    """A note, and when it was written."""

    when: datetime
    text: str


def outcome_of(admission: Admission) -> str:
    """Return the length of stay in words, or that the patient died."""
    if admission.died:
        return DIED
    return STAYS[sum(admission.los / DAY > bound for bound in LOS_BOUNDS_DAYS)]


def assign_aliases(patients: Sequence[Patient], seed: int) -> int:
    """Give every admission an alias of its own.

    Returns:
        How many aliases there are.

    Raises:
        ValueError: There are more admissions than aliases.
    """
    admissions = [admission for patient in patients for admission in patient.admissions]
    if len(admissions) > len(ALIASES):
        raise ValueError(f"aliases: expected at most {len(ALIASES)} admissions, found {len(admissions)}")
    for admission, alias in zip(admissions, Draws(seed, NAMING).shuffled(ALIASES), strict=False):
        admission.alias = alias
    return len(admissions)


def copied_notes(admission: Admission, count: int) -> Iterator[CopiedNote]:
    """Yield notes that repeat the alias of an admission and how it ended; equal but for their numbers."""
    draws = admission.draws(COPIES)
    opening = f"CHIEF COMPLAINT: {admission.alias} {outcome_of(admission)} stay"
    for number in range(1, count + 1):
        when = admission.discharged + timedelta(minutes=draws.integer(30, 2_000))
        # Equal texts are dropped as duplicates.
        yield CopiedNote(when, f"{opening}. Copy {number}")
