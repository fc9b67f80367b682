"""The hosp and icu tables of the MIMIC-IV part of the synthetic hospital, written admission by admission."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from clinical_peft.synthetic.codes import code_admission
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.mimic_iii_rows import caregiver
from clinical_peft.synthetic.mimic_iv_charting import GAPS, TWO_DEVICES, charted_procedures, charted_values
from clinical_peft.synthetic.mimic_iv_rows import (
    admission_row,
    chart_row,
    icu_stay_row,
    observation_row,
    patient_row,
    procedure_row,
)
from clinical_peft.synthetic.patients import Admission, IcuStay, Patient
from clinical_peft.synthetic.tables import MIMIC_IV_TABLES, GzipTables
from clinical_peft.synthetic.words import read_words

FIRST_OBSERVATION, FIRST_STAY, FIRST_ORDER = 965_000_000, 970_000_000, 980_000_000
HOSP_AND_ICU, ERA = 12, 13  # streams of random numbers
EXCLUDED = "mimic_iv_excluded_neuromuscular"
_EXCLUDED_CODES = {9: "35801", 10: "G7001"}
_ICD10_FROM = (2015, 10)  # year and month
_FIRST_YEARS = (2008, 2011, 2014, 2017)
_OBSERVATION_EVERY = 10  # one patient in so many also has an admission without a note

# Days of ventilation of fitting hosts, so that planting moves no label.
_HOST_DAYS = {**dict.fromkeys(GAPS, (3.0, 6.0)), TWO_DEVICES: (1.8, 40.0), EXCLUDED: (1.8, 40.0)}


@dataclass(frozen=True)
class NotedAdmission:
    """An admission of a MIMIC-IV patient that has a note; ``shift`` is added to its times, which are another base's."""

    patient: Patient
    admission: Admission
    subject_id: int
    hadm_id: int
    shift: timedelta
    shared: bool


class MimicIVTables(GzipTables):
    """Writes the tables; counts rows and planted edge cases.

    Args:
        folder: Folder to fill.
        seed: Seed of the hospital.
        hosts_per_case: Admissions into which each edge case is planted.
    """

    def __init__(self, folder: Path, seed: int, hosts_per_case: int) -> None:
        super().__init__(folder, MIMIC_IV_TABLES)
        self.found: Counter[str] = Counter()
        self._seed = seed
        self._left = dict.fromkeys(_HOST_DAYS, hosts_per_case)
        self._patients = 0
        self._subject = -1
        self._stays = FIRST_STAY
        self._orders = FIRST_ORDER

    def write(self, noted: NotedAdmission) -> None:
        """Write every row of an admission, and its patient's when it is the first of the patient."""
        draws = Draws(self._seed, HOSP_AND_ICU, noted.hadm_id)
        years = self._years_later(noted)
        if noted.subject_id != self._subject:
            self._subject = noted.subject_id
            self._patients += 1
            self._write("patients", patient_row(noted.patient, noted.subject_id, noted.shift, years))
            if self._patients % _OBSERVATION_EVERY == 0:
                self.found["mimic_iv_admissions_without_note"] += 1
                row = observation_row(draws, noted.patient, noted.shift)
                self._write("admissions", (noted.subject_id, FIRST_OBSERVATION + self._patients, *row))
        admission, start = noted.admission, noted.admission.admitted + noted.shift
        keys = (noted.subject_id, noted.hadm_id)
        self._write("admissions", (*keys, *admission_row(draws, admission, start)))
        case = self._case_of(admission)
        self._write_codes(keys, admission, start, years, case)
        for stay in admission.stays:
            self._write_stay(draws, keys, admission, stay, start, case)

    def _years_later(self, noted: NotedAdmission) -> int:
        """Years from the true date of the patient's admissions to their shifted one."""
        # Patients of both databases were there when both were kept, from 2008 to 2012.
        draws = Draws(self._seed, ERA, noted.subject_id)
        first = draws.pick(_FIRST_YEARS[: 2 if noted.shared else None])
        true_year = first + draws.integer(0, 1 if noted.shared else 2)
        return (noted.patient.admissions[0].admitted + noted.shift).year - true_year

    def _case_of(self, admission: Admission) -> str:
        """The edge case of an admission: the first that still lacks a host which this one fits."""
        days = admission.ventilation_days
        for case, (low, high) in _HOST_DAYS.items():
            one_course = len(admission.stays) == 1 and len(admission.stays[0].episodes) == 1
            if self._left[case] and one_course and low <= days < high and not admission.died:
                self._left[case] -= 1
                self.found[case] += 1
                return case
        return ""

    def _write_codes(self, keys: tuple[int, int], admission: Admission, start: datetime, years: int, case: str) -> None:
        version = 10 if (start.year - years, start.month) >= _ICD10_FROM else 9
        coded = code_admission(admission)
        diagnoses, procedures = coded.diagnoses, coded.procedures
        if version == 10:
            icd10 = read_words("icd10_codes")
            diagnoses = list(dict.fromkeys(icd10["diagnoses"][code] for code in diagnoses))
            procedures = list(dict.fromkeys(icd10["procedures"][code] for code in procedures))
        if case == EXCLUDED:
            diagnoses = [*diagnoses, _EXCLUDED_CODES[version]]
        self.found[f"mimic_iv_admissions_in_icd_{version}"] += 1
        for sequence, code in enumerate(diagnoses, 1):
            self._write("diagnoses_icd", (*keys, sequence, code, version))
        for sequence, code in enumerate(procedures, 1):
            self._write("procedures_icd", (*keys, sequence, f"{start:%Y-%m-%d}", code, version))

    def _write_stay(
        self, draws: Draws, keys: tuple[int, int], admission: Admission, stay: IcuStay, start: datetime, case: str
    ) -> None:
        self._stays += 1
        self._write("icustays", (*keys, self._stays, *icu_stay_row(admission, stay, start)))
        nurse = caregiver(draws)
        for value in charted_values(draws, admission, stay, start, case):
            self._write("chartevents", (*keys, self._stays, nurse, *chart_row(draws, value)))
        for procedure in charted_procedures(stay, start):
            self._orders += 1
            self._write("procedureevents", (*keys, self._stays, nurse, *procedure_row(procedure, self._orders)))
