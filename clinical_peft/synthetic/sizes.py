"""The sizes of the synthetic hospital, in numbers that planning can rely on."""

from dataclasses import dataclass

from clinical_peft.errors import ConfigError

DESTINATIONS = "labels/destination.csv"
PLACEBO_NOTES = "placebo/notes.csv.gz"


@dataclass(frozen=True)
class HospitalSize:
    """How much to generate.

    Attributes:
        mimic_iii_patients: Adult patients of the MIMIC-III part; newborns and minors come on top.
        newborns: Newborn patients of the MIMIC-III part.
        hosts_per_case: Admissions (or rows) into which each edge case is planted.
        mimic_iv_discharge: Discharge notes of the MIMIC-IV part, exactly.
        mimic_iv_radiology: Radiology notes of the MIMIC-IV part, exactly.
        overlap_share: Share of the MIMIC-III patients who are in the MIMIC-IV part too, or as many as may be.
        copies: Copied notes of each admission that state its outcome: in the MIMIC-III part of all, in the MIMIC-IV
            part, as addenda on top of the discharge notes, of the patients who are in both.
        aliases: Whether every admission of the MIMIC-III part has an alias, which opens its notes.
        places: Whether every patient of the MIMIC-III part comes from a place whose kind decides where survivors go.
            The MIMIC-IV part then lists the kinds of places, in addenda on top of the discharge notes.
        all_in_icu: Whether every admission has an ICU stay, as in the real database.
    """

    mimic_iii_patients: int
    newborns: int
    hosts_per_case: int
    mimic_iv_discharge: int
    mimic_iv_radiology: int
    overlap_share: float = 0.15
    copies: int = 0
    aliases: bool = False
    places: bool = False
    all_in_icu: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Files beside the tables, by their path in the hospital's folder."""
        return (DESTINATIONS, PLACEBO_NOTES) if self.places else ()


SIZES: dict[str, HospitalSize] = {
    "tiny": HospitalSize(160, 3, 1, 200, 200),
    "demo": HospitalSize(850, 12, 3, 900, 900),
    "planted": HospitalSize(850, 12, 3, 600, 600, overlap_share=0.0, places=True),
    "gaps": HospitalSize(550, 3, 1, 500, 60, 0.45, copies=40, aliases=True, all_in_icu=True),
    "large": HospitalSize(3_000, 40, 6, 150_000, 170_000),
}


def hospital_size(name: str) -> HospitalSize:
    """Return the size of that name.

    Raises:
        ConfigError: There is no such size.
    """
    if name not in SIZES:
        raise ConfigError(f"synthetic hospital: size {name!r} is unknown; expected one of {', '.join(SIZES)}")
    return SIZES[name]


def admissions_of_patient(index: int) -> int:
    """Return the number of admissions of the patient with this index: 1.15 on average, at most 3."""
    if index % 40 == 21:
        return 3
    return 2 if index % 10 == 4 else 1


def predicted_note_counts(size: str) -> dict[str, int]:
    """Return how many notes a size has, without generating any.

    Returns:
        mimic-iv-discharge (without copied notes and lists) and mimic-iv-radiology, which are exact, and
        mimic-iii-discharge: adult summaries, a few per cent too many, because a patient who dies has no further
        admission.

    Raises:
        ConfigError: There is no such size.
    """
    numbers = hospital_size(size)
    return {
        "mimic-iii-discharge": sum(map(admissions_of_patient, range(numbers.mimic_iii_patients))) + numbers.newborns,
        "mimic-iv-discharge": numbers.mimic_iv_discharge,
        "mimic-iv-radiology": numbers.mimic_iv_radiology,
    }
