"""The MIMIC-III part of the synthetic hospital."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from clinical_peft.synthetic import mimic_iii_rows as rows
from clinical_peft.synthetic.charting import charted_procedures, charted_values
from clinical_peft.synthetic.codes import CodedAdmission, code_admission
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.note_events import SUMMARY, copied_rows, newborn_summary, note_rows
from clinical_peft.synthetic.patients import Admission, Patient
from clinical_peft.synthetic.planting import (
    ASYMPTOMATIC_HIV_CASE,
    DIAGNOSIS_CASES,
    ONE_SPLIT_CASES,
    PROCEDURE_CASES,
    WITHOUT_DICTIONARY_ROW,
    Plan,
)
from clinical_peft.synthetic.tables import MIMIC_III_COLUMNS, GzipTables
from clinical_peft.synthetic.words import read_words

FIRST_SUBJECT, FIRST_ADMISSION, FIRST_STAY, FIRST_ORDER = 900_000_000, 910_000_000, 920_000_000, 930_000_000
TABLES, NEWBORNS = 9, 10  # streams of random numbers
NEWBORN_CODES = ("V3000", "V3001")
_NEWBORN_EXTRA = ("V290", "V053", "7746", "76528")
_NEWBORN_PROCEDURES = ("9955", "640", "9983")


class MimicIII(GzipTables):
    """Writes the tables patient by patient; counts rows and what a reader will find in them.

    Args:
        folder: Folder to fill.
        seed: Seed of the hospital.
        plan: Edge cases.
        hosts: Admissions by id.
        copies: Copied notes of each admission.
    """

    def __init__(self, folder: Path, seed: int, plan: Plan, hosts: Mapping[int, Admission], copies: int = 0) -> None:
        super().__init__(folder, MIMIC_III_COLUMNS)
        self.found: Counter[str] = Counter()
        self.coded: dict[int, CodedAdmission] = {}
        self._seed = seed
        self._plan = plan
        self._hosts = hosts
        self._copies = copies
        self._stays = FIRST_STAY
        self._orders = FIRST_ORDER

    def write_patient(self, patient: Patient) -> None:
        """Write every row of an adult patient."""
        draws = Draws(self._seed, TABLES, patient.index)
        demographics = rows.demographics_of(draws)
        self._write("PATIENTS", rows.patient_row(patient))
        self.found["age_300"] += patient.admissions[0].admitted.year - patient.born.year >= 300
        for admission in patient.admissions:
            self._write("ADMISSIONS", rows.admission_row(draws, admission, demographics))
            for note in note_rows(admission, self._plan, self._hosts):
                self._write("NOTEEVENTS", note)
            for row in copied_rows(admission, self._copies):
                self._write("NOTEEVENTS", row)
            self._write_codes(draws, admission)
            self._write_stays(draws, admission)

    def _write_codes(self, draws: Draws, admission: Admission) -> None:
        coded = self.coded[admission.hadm_id] = code_admission(admission)
        case = self._plan.codes.get(admission.hadm_id, "")
        diagnoses: list[str | None] = list(coded.diagnoses)
        procedures = list(coded.procedures)
        if case in DIAGNOSIS_CASES:
            diagnoses.append(DIAGNOSIS_CASES[case])
        elif case in ONE_SPLIT_CASES:
            diagnoses.append(ONE_SPLIT_CASES[case][1])
        elif case == ASYMPTOMATIC_HIV_CASE and "V08" not in diagnoses:
            diagnoses.append("V08")
        elif case in PROCEDURE_CASES:
            procedures = [code for code in procedures if code not in PROCEDURE_CASES[case]]
            procedures += PROCEDURE_CASES[case]
        self.found["admissions_with_e_codes"] += any(code is not None and code[0] == "E" for code in diagnoses)
        self.found["admissions_without_procedures"] += not procedures
        self._write_code_rows("DIAGNOSES_ICD", admission.subject_id, admission.hadm_id, diagnoses)
        self._write_code_rows("PROCEDURES_ICD", admission.subject_id, admission.hadm_id, procedures)

    def _write_code_rows(self, table: str, subject_id: int, hadm_id: int, codes: Sequence[str | None]) -> None:
        for sequence, code in enumerate(codes, 1):
            self._write(table, (subject_id, hadm_id, sequence, code))

    def _write_stays(self, draws: Draws, admission: Admission) -> None:
        case = self._plan.chart.get(admission.hadm_id, "")
        for stay in admission.stays:
            self._stays += 1
            self._write("ICUSTAYS", rows.icu_stay_row(admission, stay, self._stays))
            for value in charted_values(draws, admission, stay, case):
                self.found["charted_values_with_trailing_space"] += value.value.endswith(" ")
                self._write("CHARTEVENTS", rows.chart_row(draws, admission, self._stays, value))
            for procedure in charted_procedures(admission, stay, case):
                self._orders += 1
                row = rows.procedure_row(draws, admission, self._stays, procedure, self._orders)
                self._write("PROCEDUREEVENTS_MV", row)

    def write_newborns(self, first_subject: int, first_admission: int, count: int) -> None:
        """Write newborn patients, whose admissions no task uses but whose codes stand in the tables."""
        for number in range(count):
            self._write_newborn(Draws(self._seed, NEWBORNS, number), first_subject + number, first_admission + number)
        self.found["newborn_admissions"] = count

    def _write_newborn(self, draws: Draws, subject_id: int, hadm_id: int) -> None:
        born = datetime(draws.integer(2102, 2190), draws.integer(1, 12), draws.integer(1, 28), draws.integer(0, 23))
        left = born + timedelta(minutes=draws.integer(2_000, 9_000))
        sex = "M" if draws.chance(0.5) else "F"
        birthday = rows.stamp(born.replace(hour=0))
        self._write("PATIENTS", (subject_id, sex, birthday, None, None, None, 0))
        row = (subject_id, hadm_id, rows.stamp(born), rows.stamp(left), None, "NEWBORN", "PHYS REFERRAL/NORMAL DELI")
        social = ("HOME", "Private", *rows.demographics_of(draws))
        self._write("ADMISSIONS", (*row, *social, None, None, "NEWBORN", 0, 0))
        note = (left.strftime("%Y-%m-%d"), None, None, SUMMARY, "Report", None, None, newborn_summary(draws))
        self._write("NOTEEVENTS", (subject_id, hadm_id, *note))
        diagnoses = [draws.pick(NEWBORN_CODES), *draws.shuffled(_NEWBORN_EXTRA)[:2]]
        self._write_code_rows("DIAGNOSES_ICD", subject_id, hadm_id, diagnoses)
        self._write_code_rows("PROCEDURES_ICD", subject_id, hadm_id, [draws.pick(_NEWBORN_PROCEDURES)])

    def write_dictionaries(self) -> None:
        """Write the dictionaries, in which some codes have no row."""
        for table, kind in (("D_ICD_DIAGNOSES", "diagnoses"), ("D_ICD_PROCEDURES", "procedures")):
            titles = read_words("icd9_titles")[kind]
            kept = {code: title for code, title in titles.items() if code not in WITHOUT_DICTIONARY_ROW}
            for row in rows.dictionary_rows(kept):
                self._write(table, row)
        for row in rows.item_rows():
            self._write("D_ITEMS", row)
