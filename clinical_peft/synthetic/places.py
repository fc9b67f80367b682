"""Places that patients come from: what a network can learn from the notes of other patients, and from nothing else.

Every patient of the MIMIC-III part comes from a place of their own, a rare word that opens their notes. A place has
beds of one of two kinds, and where a survivor goes follows the kind with probability `FOLLOWS`. No admission note names
the kind. Lists of beds do, in addenda to the notes of MIMIC-IV patients: they name every place and mention no patient.
A place belongs to one patient, so that whatever the split, training notes say nothing of a test patient's place.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from clinical_peft.synthetic.bayes import expected_auroc
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import DESTINATION, FACILITY, HOME, Admission, Patient
from clinical_peft.synthetic.words import read_list

ASSIGNING, LISTING = 15, 16  # streams of random numbers
Kind = Literal["nursing", "housing"]
KINDS: tuple[Kind, Kind] = ("nursing", "housing")
USUAL_DESTINATION: dict[Kind, str] = {"nursing": FACILITY, "housing": HOME}
FOLLOWS = 0.9
HEADING = "Beds"
PLACES_A_LIST = 12
LISTS_A_PLACE = 16
LABEL_COLUMNS = ("id", "label")

# Common words of general English that no phrase of the notes uses: a tokenizer learned on such text keeps them whole.
PLACES = read_list("places")


def assign_places(patients: Sequence[Patient], seed: int) -> dict[str, Kind]:
    """Give every patient a place of their own, and every survivor a destination.

    Args:
        patients: Adult patients of the MIMIC-III part; their admissions are changed.
        seed: Seed of the hospital.

    Returns:
        The kind of each patient's place: half of them are of each kind.

    Raises:
        ValueError: There are more patients than places.
    """
    if len(patients) > len(PLACES):
        raise ValueError(f"places: expected at most {len(PLACES)} patients, found {len(patients)}")
    chosen = Draws(seed, ASSIGNING).shuffled(PLACES)[: len(patients)]
    kinds = {place: KINDS[number % 2] for number, place in enumerate(chosen)}
    for patient, place in zip(patients, chosen, strict=True):
        for admission in patient.admissions:
            admission.place = place
            if not admission.died:
                admission.destination = _destination(admission, kinds[place])
    return kinds


def _destination(admission: Admission, kind: Kind) -> str:
    usual = USUAL_DESTINATION[kind]
    if admission.draws(DESTINATION).chance(FOLLOWS):
        return usual
    return HOME if usual == FACILITY else FACILITY


def bed_lists(kinds: Mapping[str, Kind], seed: int) -> list[str]:
    """Return the lists of beds: every place stands in `LISTS_A_PLACE` of them, always with its kind.

    Args:
        kinds: Kind of each place.
        seed: Seed of the hospital.
    """
    draws = Draws(seed, LISTING)
    lists = []
    for _ in range(LISTS_A_PLACE):
        order = draws.shuffled(sorted(kinds))
        for start in range(0, len(order), PLACES_A_LIST):
            lists.append(_bed_list(f"{place} {kinds[place]}" for place in order[start : start + PLACES_A_LIST]))
    return lists


def _bed_list(beds: Iterable[str]) -> str:
    return f"{HEADING}: {', '.join(beds)}"


def is_bed_list(text: str) -> bool:
    """Whether a note is one of the lists of beds."""
    return text.startswith(f"{HEADING}: ")


def scrambled(bed_list: str, draws: Draws) -> str:
    """Return a list of the same places in the same order, each with a kind drawn at random.

    Args:
        bed_list: One of the lists of `bed_lists`.
        draws: Random numbers.
    """
    beds = bed_list.removeprefix(f"{HEADING}: ").split(", ")
    return _bed_list(f"{bed.split(' ')[0]} {draws.pick(KINDS)}" for bed in beds)


def destination_rows(patients: Sequence[Patient]) -> list[tuple[int, str]]:
    """Return the rows of the label file: id and destination of every admission that ended alive.

    Args:
        patients: Patients with places.
    """
    return [
        (admission.hadm_id, admission.destination)
        for patient in patients
        for admission in patient.admissions
        if admission.destination
    ]


def destination_auroc(admissions: Sequence[Admission], kinds: Mapping[str, Kind]) -> float:
    """Return the AUROC that a reader who knew the kind of every place, and nothing else, would be expected to reach.

    Args:
        admissions: Admissions with places; those that ended in death do not count.
        kinds: Kind of each place.
    """
    usual = [USUAL_DESTINATION[kinds[admission.place]] for admission in admissions if not admission.died]
    facility = [FOLLOWS if destination == FACILITY else 1 - FOLLOWS for destination in usual]
    return expected_auroc(facility, facility, [1 - share for share in facility])
