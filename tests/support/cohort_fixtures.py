"""A small MIMIC-III hospital and the cohorts built from it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from tables_fixtures import write_csv

from clinical_peft.data.cohorts import build_cohort
from clinical_peft.recipes.switches import DATA_SWITCHES
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.tasks import find_task

PAPER = dict.fromkeys(DATA_SWITCHES, True)
NOTE_SWITCHES = ("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept")
CORRECTED = dict.fromkeys(DATA_SWITCHES, False)


def discharge_summary(complaint: str, exam: str = "Well.", family: str = "None.") -> str:
    return (
        f"Chief Complaint:\n{complaint}\n\nHistory of Present Illness:\nSick for a day.\n\nPhysical Exam:\n{exam}\n\n"
        f"Family History:\n{family}\n\nSocial History:\nLives alone.\n\nPertinent Results:\nNone.\n"
    )


class Hospital:
    """A small MIMIC-III folder: one adult patient per admission, ten days in hospital, two codes each."""

    def __init__(self, folder: Path, size: int = 40) -> None:
        self.folder = folder
        self.admissions: list[list[object]] = []
        self.notes: list[list[object]] = []
        self.diagnoses: list[list[object]] = []
        self.procedures: list[list[object]] = []
        for number in range(size):
            died = int(number % 4 == 0)
            hadm_id, subject_id = 1000 + number, 100 + number
            self.admissions.append(
                [subject_id, hadm_id, "2150-01-01 00:00:00", "2150-01-11 00:00:00", "EMERGENCY", died]
            )
            self.notes.append(
                [
                    number,
                    subject_id,
                    hadm_id,
                    "2150-01-11",
                    "Discharge summary",
                    "Report",
                    discharge_summary(f"c{number}"),
                ]
            )
            self.diagnoses += [[subject_id, hadm_id, 1, "4019"], [subject_id, hadm_id, 2, f"V1{number:02d}"]]
            self.procedures += [[subject_id, hadm_id, 1, "0331"], [subject_id, hadm_id, 2, "3310"]]

    def write(self) -> Path:
        write_csv(
            self.folder / "ADMISSIONS.csv",
            "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
            self.admissions,
        )
        write_csv(
            self.folder / "NOTEEVENTS.csv",
            "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CATEGORY,DESCRIPTION,TEXT,ISERROR",
            [[*note, ""] for note in self.notes],
        )
        write_csv(self.folder / "DIAGNOSES_ICD.csv", "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE", self.diagnoses)
        write_csv(self.folder / "PROCEDURES_ICD.csv", "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE", self.procedures)
        return self.folder


def build(task, mimic_iii, output, switches, *, splits="hash", pmv_split="core-patient", pmv_labels=None, **more):
    """Build notes and one cohort of a task, or of a built-in one by its name; return rows, classes and attrition."""
    task = find_task(task) if isinstance(task, str) else task
    notes = output / "admission.parquet"
    if not notes.exists():
        note_switches = {name: switches[name] for name in NOTE_SWITCHES}
        build_admission_notes(mimic_iii, notes, **note_switches)
    paths = [output / f"{task.name}.{suffix}" for suffix in ("parquet", "classes.json", "attrition.json")]
    build_cohort(
        task,
        admission_notes=notes,
        outcomes=MimicIII(mimic_iii, pmv_labels=pmv_labels),
        splits=splits,
        salt="salt",
        pmv_split=pmv_split,
        switches=switches,
        output=paths[0],
        classes_output=paths[1],
        attrition_output=paths[2],
        **more,
    )
    rows = pq.read_table(paths[0]).to_pylist()
    return rows, json.loads(paths[1].read_text()), json.loads(paths[2].read_text())
