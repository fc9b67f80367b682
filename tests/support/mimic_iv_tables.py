"""Hand-made MIMIC-IV tables for tests."""

from datetime import datetime, timedelta
from pathlib import Path

from tables_fixtures import write_csv

START = datetime(2150, 1, 1)
ADMISSIONS = "subject_id,hadm_id,admittime,dischtime,hospital_expire_flag"
NOTES = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text"
CHART = "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning"


def stamp(hours: float) -> str:
    return f"{START + timedelta(seconds=round(hours * 3600)):%Y-%m-%d %H:%M:%S}"


def write(folder: Path, name: str, header: str, rows: list[list[object]]) -> None:
    write_csv(folder / f"{name}.csv", header, rows)


def write_admissions(folder: Path, admissions: dict[int, int], *, ages: dict[int, int] | None = None) -> None:
    """hosp/admissions and hosp/patients from hadm_id -> subject_id; 60 years old in 2149 where no age is given."""
    rows = [[subject, hadm_id, stamp(0), stamp(100), 0] for hadm_id, subject in admissions.items()]
    write(folder, "hosp/admissions", ADMISSIONS, rows)
    people = [[s, "F", (ages or {}).get(s, 60), 2149, "2008 - 2010", ""] for s in sorted(set(admissions.values()))]
    write(folder, "hosp/patients", "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod", people)


def write_notes(folder: Path, notes: list[tuple[int, int, str, int, str]]) -> None:
    """discharge from (subject_id, hadm_id, note_type, note_seq, text), charted hour by hour."""
    rows = [
        [f"{subject}-{kind}-{seq}", subject, hadm_id, kind, seq, stamp(place), "", text]
        for place, (subject, hadm_id, kind, seq, text) in enumerate(notes)
    ]
    write(folder, "note/discharge", NOTES, rows)


def write_chart(folder: Path, charted: list[tuple]) -> None:
    """icu/chartevents from (stay_id, hours, itemid, value[, hours stored])."""
    rows = [
        [1, 1, stay, 1, stamp(hours), stamp(*stored) if stored else "", item, value, "", "", 0]
        for stay, hours, item, value, *stored in charted
    ]
    write(folder, "icu/chartevents", CHART, rows)
