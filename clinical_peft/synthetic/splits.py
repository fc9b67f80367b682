"""Split lists of the synthetic hospital: by patient, every outcome in every split."""

from collections.abc import Sequence
from pathlib import Path

from clinical_peft.synthetic.bayes import COHORT_DAYS, PROLONGED_DAYS
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import Patient
from clinical_peft.synthetic.tables import write_csv

SPLITS = ("train", "val", "test")
SPLITTING = 8  # stream of random numbers
# Along the patients ordered by outcome, so that ten patients with one outcome suffice to put it in every split.
_PATTERN = ("train", "train", "val", "train", "test", "train", "train", "train", "test", "train")


def assign_splits(patients: Sequence[Patient], seed: int) -> dict[int, str]:
    """Return train, val or test (70/10/20) for each subject, spread evenly over deaths and prolonged ventilation."""
    draws = Draws(seed, SPLITTING)
    ordered = sorted(draws.shuffled(patients), key=_outcomes)
    return {patient.subject_id: _PATTERN[place % len(_PATTERN)] for place, patient in enumerate(ordered)}


def _outcomes(patient: Patient) -> tuple[bool, int]:
    days = max(admission.ventilation_days for admission in patient.admissions)
    return patient.admissions[-1].died, (days >= COHORT_DAYS) + (days >= PROLONGED_DAYS)


def write_split_lists(
    folder: Path, patients: Sequence[Patient], splits: dict[int, str], without_note: set[int]
) -> None:
    """Write mimic_{train,val,test}.csv: one row per admission that has an admission note, as CORe's lists have."""
    folder.mkdir()
    for split in SPLITS:
        rows = [
            (patient.subject_id,)
            for patient in patients
            if splits[patient.subject_id] == split
            for admission in patient.admissions
            if admission.hadm_id not in without_note
        ]
        write_csv(folder / f"mimic_{split}.csv", ("SUBJECT_ID",), rows)
