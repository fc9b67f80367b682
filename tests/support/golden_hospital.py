"""A hospital made by hand: one admission per quirk, and what each protocol has to make of it.

Every expected value was worked out from the rules, not taken from a run. Ids tell the group: 10x to 12x the text, 13x
and 14x statements of death, 15x and 16x lengths of stay, codes and lists. Unless a case says otherwise, an admission
has one report of 2150-01-10, lasts five days, ends alive, and its patient, whose id is the admission's and 1,000, has
no other.
"""

from pathlib import Path

from golden_cases import DAY, END, Case, Note
from golden_deaths import DEATHS
from golden_notes import TEXTS
from tables_fixtures import write_csv

HOUR = 3_600


def _plain(row: int, complaint: str) -> tuple[Note, ...]:
    return (Note(row, f"Chief Complaint:\n{complaint}{END}"),)


def _labelled(row: int, why: str, **more: object) -> Case:
    complaint = {"CHIEF COMPLAINT": f"Complaint {row}"}
    return Case(why, _plain(row, f"Complaint {row}"), complaint, complaint, **more)


STAYS_AND_CODES = {
    150: _labelled(60, "3.04 days", seconds=262_656, labels={"los": (0, 1)}),
    151: _labelled(61, "3.05 days, which numpy rounds to 3.0", seconds=263_520, labels={"los": (0, 1)}),
    152: _labelled(62, "3.06 days", seconds=264_384, labels={"los": (1, 1)}),
    153: _labelled(63, "7.04 days", seconds=608_256, labels={"los": (1, 2)}, split="validation"),
    154: _labelled(64, "14.05 days, which numpy rounds to 14.0", seconds=1_213_920, labels={"los": (2, 3)}),
    155: _labelled(65, "14.06 days", seconds=1_214_784, labels={"los": (3, 3)}, split="test"),
    156: _labelled(66, "three days, to the second", seconds=3 * DAY, labels={"los": (0, 0)}),
    157: _labelled(67, "seven days, to the second", seconds=7 * DAY, labels={"los": (1, 1)}),
    158: _labelled(68, "fourteen days, to the second", seconds=14 * DAY, labels={"los": (2, 2)}),
    159: _labelled(69, "discharged two hours before the admission", seconds=-2 * HOUR, labels={"los": (0, None)}),
    160: _labelled(70, "discharged at the second of the admission", seconds=0, labels={"los": (0, 0)}),
    161: _labelled(
        71,
        "V and E codes keep four characters, equal groups count once, leading zeros stay",
        diagnoses=("4019", "4010", "V08", "V0481", "V594", "E8859", "0389", ""),
        procedures=("0331", "3310", "0034", "034", "54", "5491"),
        labels={
            "diagnoses": (
                ["401", "V08", "V048", "V594", "E885", "038"],
                ["401", "V08", "V048", "V594", "E885", "038"],
            ),
            "procedures": (["331", "34", "54", "549"], ["033", "331", "003", "034", "54", "549"]),
        },
    ),
    162: _labelled(
        72,
        "no code but an empty one",
        diagnoses=("",),
        procedures=(),
        labels={"diagnoses": (None, None), "procedures": (None, None)},
    ),
    163: _labelled(
        73,
        "codes that have not the form of ICD-9: a letter inside, an ICD-10 code, one digit, five digits",
        diagnoses=("428X0", "5849", "I5020"),
        procedures=("9", "12345", "3961"),
        labels={"diagnoses": (["428", "584", "I50"], ["584"]), "procedures": (["9", "123", "396"], ["396"])},
    ),
    164: _labelled(
        74,
        "no code of the right form",
        diagnoses=("I10",),
        procedures=("7",),
        labels={"diagnoses": (["I10"], None), "procedures": (["7"], None)},
    ),
    165: _labelled(
        75,
        "a test patient with codes that no training patient has",
        diagnoses=("4019", "2500"),
        procedures=("8856",),
        split="test",
        labels={"diagnoses": (["401", "250"], ["401"]), "procedures": (["885"], [])},
    ),
    166: _labelled(76, "a patient in no list", split=None),
    167: _labelled(77, "a patient who dies in another admission", patient=1168, split="validation"),
    168: _labelled(78, "the admission that ends with the death of the patient of 167", died=1, split="validation"),
}

CASES = TEXTS | DEATHS | STAYS_AND_CODES

# ICU stays: hours from the admission, and days of ventilation, which begins an hour later (None: no ventilation).
ICU_STAYS: dict[int, tuple[tuple[int, float | None], ...]] = {
    101: ((0, 3),),
    102: ((0, 3),),
    103: ((0, 8),),
    104: ((0, 1), (48, 7)),  # the second stay counts
    105: ((0, 1.74),),  # too short
    106: ((0, 6.74),),
    107: ((0, 1.76),),
    109: ((0, 3),),  # a minor
    111: ((0, 6.76),),
    113: ((0, 3),),  # no admission note
    114: ((0, 3),),  # no early note
    115: ((0, 3),),  # no admission note
    116: ((0, None),),
    133: ((0, 7),),
    134: ((0, 3),),  # the note tells the death
    135: ((0, 3),),  # the original's filter finds one in the note
    161: ((0, 5),),  # a donor by a diagnosis
    166: ((0, 3),),  # in no list
    999: ((0, 3),),  # no admission
}
BORN = {106: "1850-01-01 00:00:00", 109: "2133-01-01 00:00:00"}
EARLY_NOTES = (101, 102, 103, 104, 106, 107, 111, 113, 115, 133, 134, 135, 166)
LATE_NOTE = 114
PROLONGED = {101: 0, 102: 0, 103: 1, 104: 1, 106: 0, 107: 0, 111: 1, 133: 1, 134: 0, 135: 0, 166: 0}
VENTILATION = 225792
LIST_FILES = {"train": "mimic_train.csv", "validation": "mimic_val.csv", "test": "mimic_test.csv"}
STRAY_NOTES = (
    Note(90, f"Chief Complaint:\nOf no admission{END}", admission=""),
    Note(91, f"Chief Complaint:\nOf an unknown admission{END}", admission="999"),
)
STRAY_CODES = ((9100, "", 1, "7778"), ("", 101, 9, "8889"))  # of no admission, of no patient


def patient_of(admission: int) -> int:
    return CASES[admission].patient or admission + 1000


def write_hospital(folder: Path) -> Path:
    """Write every table that the tasks read, rows in no helpful order, and the lists; return the tables' folder."""
    tables = folder / "mimic-iii"
    write_csv(
        tables / "ADMISSIONS.csv",
        "ROW_ID,SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
        [
            [place, patient_of(hadm), hadm, _stamp(0), _stamp(case.seconds), case.kind, case.died]
            for place, (hadm, case) in enumerate(CASES.items())
        ],
    )
    notes = [(hadm, note) for hadm, case in CASES.items() for note in case.notes]
    notes += [(int(note.admission or 0), note) for note in STRAY_NOTES]
    notes.sort(key=lambda entry: -entry[1].row)
    write_csv(
        tables / "NOTEEVENTS.csv",
        "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,DESCRIPTION,ISERROR,TEXT",
        [
            [
                note.row,
                patient_of(hadm) if hadm in CASES else 9000 + note.row,
                hadm if note.admission is None else note.admission,
                note.date,
                "",
                note.category,
                note.description,
                note.error,
                note.text,
            ]
            for hadm, note in notes
        ]
        + _bedside_notes(),
    )
    _write_icu(tables)
    # The newborn's codes first and those of nobody last: both are in the label space of the whole table.
    order = sorted(CASES, key=lambda hadm: (hadm != 119, hadm))
    for name in ("diagnoses", "procedures"):
        rows = [
            [patient_of(hadm), hadm, number, code]
            for hadm in order
            for number, code in enumerate(getattr(CASES[hadm], name), start=1)
        ]
        write_csv(tables / f"{name.upper()}_ICD.csv", "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE", [*rows, *STRAY_CODES])
    for split, name in LIST_FILES.items():
        subjects = [patient_of(hadm) for hadm, case in CASES.items() if case.split == split]
        write_csv(folder / "splits" / name, "SUBJECT_ID", [[subject] for subject in subjects])
    return tables


def _bedside_notes() -> list[list[object]]:
    """A nurse's or respiratory therapist's note two hours after the ventilation of the last stay began, or too late."""
    categories = ("Nursing", "Nursing/other", "Respiratory ")
    rows = []
    for place, hadm in enumerate((*EARLY_NOTES, LATE_NOTE)):
        hours = ICU_STAYS[hadm][-1][0] + (1 + 48.1 if hadm == LATE_NOTE else 3)
        time = _stamp(round(hours * HOUR))
        category = categories[place % 3]
        rows.append([100 + place, patient_of(hadm), hadm, time[:10], time, category, "Report", "", f"Bedside {hadm}."])
    return rows


def _write_icu(tables: Path) -> None:
    stays, procedures = [], []
    for hadm, own in ICU_STAYS.items():
        for number, (hours, days) in enumerate(own):
            stay, patient = 10 * hadm + number, patient_of(hadm) if hadm in CASES else 9999
            stays.append([patient, hadm, stay, _stamp(hours * HOUR)])
            if days is not None:
                start = (hours + 1) * HOUR
                end = start + round(days * DAY)
                procedures.append([stay, _stamp(start), _stamp(end), VENTILATION, "FinishedRunning"])
    patients = {patient_of(hadm): BORN.get(hadm, "2100-01-01 00:00:00") for hadm in CASES}
    write_csv(tables / "ICUSTAYS.csv", "SUBJECT_ID,HADM_ID,ICUSTAY_ID,INTIME", stays)
    write_csv(tables / "PATIENTS.csv", "SUBJECT_ID,DOB", [[patient, born] for patient, born in patients.items()])
    header = "ICUSTAY_ID,STARTTIME,ENDTIME,ITEMID,STATUSDESCRIPTION"
    write_csv(tables / "PROCEDUREEVENTS_MV.csv", header, procedures)


def _stamp(seconds: int) -> str:
    day, rest = divmod(5 * DAY + seconds, DAY)
    return f"2150-01-{day:02d} {rest // HOUR:02d}:{rest % HOUR // 60:02d}:{rest % 60:02d}"
