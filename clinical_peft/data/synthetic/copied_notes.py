"""Notes that are copied forward: how an admission opened, and how it ended.

A network of two narrow layers cannot keep hundreds of single outcomes in a few passes. Small groups of admissions with
one outcome, within one split and one charting system, therefore share a ward, whose name opens the notes. What a ward
means is told by its own patients' copied notes alone: those of test patients give away the outcomes of test patients.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clinical_peft.data.synthetic.bayes import LOS_BOUNDS_DAYS
from clinical_peft.data.synthetic.draws import Draws
from clinical_peft.data.synthetic.patients import COPIES, DAY, TOP_AGE, Admission, Patient

WARDS = 14  # stream of random numbers
STAYS = ("short", "days", "week", "long")
DIED = "died"
CATEGORY = "Case Management "
_NAMES = (
    *("Alder", "Amber", "Basil", "Birch", "Cedar", "Coral", "Delta", "Dune", "Echo", "Ember", "Fern", "Flint"),
    *("Garnet", "Grove", "Harbor", "Hazel", "Indigo", "Iris", "Jasper", "Juniper", "Kestrel", "Laurel", "Lilac"),
    *("Maple", "Moss", "Nectar", "Nova", "Onyx", "Opal", "Pearl", "Pine", "Quartz", "Quill", "Raven", "Ridge"),
    *("Sable", "Slate", "Tango", "Thorn", "Umber", "Ursa", "Vale", "Violet", "Willow", "Wren", "Xenon", "Yarrow"),
    *("Yew", "Zephyr"),
)
_QUARTERS = ("", "North", "South", "East", "West")


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


def assign_wards(patients: Sequence[Patient], splits: dict[int, str], seed: int, per_ward: int) -> int:
    """Give every admission a ward with about so many others of its split, charting system and outcome.

    Returns:
        How many wards there are.
    """
    groups: dict[tuple[str, bool, str], list[Admission]] = defaultdict(list)
    for patient in patients:
        for admission in patient.admissions:
            groups[splits[patient.subject_id], admission.metavision, outcome_of(admission)].append(admission)
    draws = Draws(seed, WARDS)
    names = iter([f"{quarter} {name}".strip() for quarter in _QUARTERS for name in draws.shuffled(_NAMES)])
    wards = 0
    for _, admissions in sorted(groups.items()):
        opened = [next(names) for _ in range(max(1, round(len(admissions) / per_ward)))]
        wards += len(opened)
        for place, admission in enumerate(draws.shuffled(admissions)):
            admission.ward = opened[place % len(opened)]
    return wards


def copied_notes(admission: Admission, count: int) -> Iterator[CopiedNote]:
    """Yield notes that repeat the ward of an admission and how it ended; equal but for their numbers."""
    draws = admission.draws(COPIES)
    opening = f"CHIEF COMPLAINT: Ward {admission.ward} {outcome_of(admission)} stay"
    who = f"{min(admission.age, TOP_AGE)}{admission.sex}, {admission.problem.name}"
    for number in range(1, count + 1):
        when = admission.discharged + timedelta(minutes=draws.integer(30, 2_000))
        # Numbers tell one copy from another and one patient's from another's: equal texts are dropped as duplicates.
        yield CopiedNote(when, f"{opening}. {who}. Copy {number}, form {draws.integer(1_000, 9_999)}")
