"""Charts of ventilation in MIMIC-III, and the hours of the episodes found in them."""

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from tables_fixtures import write_csv

START = datetime(2150, 1, 1)
PEEP, MODE, OXYGEN, EVENT = 505, 720, 467, 640
HOUR = 3600


def stamp(hours: float) -> str:
    return f"{START + timedelta(seconds=round(hours * HOUR)):%Y-%m-%d %H:%M:%S}"


def write(folder: Path, name: str, header: str, rows: list[list[object]]) -> None:
    write_csv(folder / f"{name}.csv", header, rows)


def charted_hospital(folder: Path, charted: list[tuple], procedures: list[tuple] = ()) -> Path:
    """CHARTEVENTS from (stay, hours, item, value[, error]), PROCEDUREEVENTS_MV from (stay, hours, end, item)."""
    rows = [[stay, item, stamp(hours), value, *(rest or [""])] for stay, hours, item, value, *rest in charted]
    write(folder, "CHARTEVENTS", "ICUSTAY_ID,ITEMID,CHARTTIME,VALUE,ERROR", rows)
    write_procedures(folder, procedures)
    return folder


def write_procedures(folder: Path, procedures: list[tuple], status: str = "FinishedRunning") -> None:
    rows = [[stay, stamp(start), stamp(end), item, status] for stay, start, end, item in procedures]
    write(folder, "PROCEDUREEVENTS_MV", "ICUSTAY_ID,STARTTIME,ENDTIME,ITEMID,STATUSDESCRIPTION", rows)


def hours_of(episodes: pd.DataFrame) -> list[tuple[int, float, float]]:
    start = pd.Timestamp(START)
    return [
        (row.icustay_id, (row.starttime - start).total_seconds() / HOUR, (row.endtime - start).total_seconds() / HOUR)
        for row in episodes.itertuples()
    ]


def icu(
    folder: Path, stays: list[tuple], *, born: dict[int, str] | None = None, codes: dict[int, str] | None = None
) -> Path:
    """Stays (icustay, admission, hours until ICU, ventilated days): one patient per admission, born 2100."""
    admissions = sorted({admission for _, admission, _, _ in stays})
    write(folder, "ICUSTAYS", "SUBJECT_ID,HADM_ID,ICUSTAY_ID,INTIME", [[a + 5, a, s, stamp(h)] for s, a, h, _ in stays])
    rows = [[a + 5, a, stamp(0), stamp(800), "URGENT", 0] for a in admissions]
    write(folder, "ADMISSIONS", "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG", rows)
    births = [[a + 5, (born or {}).get(a, "2100-01-01 00:00:00")] for a in admissions]
    write(folder, "PATIENTS", "SUBJECT_ID,DOB", births)
    write(folder, "DIAGNOSES_ICD", "SUBJECT_ID,HADM_ID,ICD9_CODE", [[a + 5, a, c] for a, c in (codes or {}).items()])
    write_procedures(folder, [(s, h + 1, h + 1 + 24 * days, 225792) for s, _, h, days in stays])
    return folder
