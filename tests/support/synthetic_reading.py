"""Reads a synthetic hospital back, and finds its planted edge cases without the generator's help."""

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pandas as pd

_SECTION = r"(?i){header}(.+?)\\n\\n[^(\\|\d|\.)]+?:"
_MAIN_HEADERS = ("chief complaint:", "present illness:", "medical history:")


class Hospital:
    """The tables of a hospital, every value a string and a missing one an empty string."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, name: str) -> pd.DataFrame:
        return self._read(self.folder / "mimic-iii" / f"{name}.csv.gz")

    def iv(self, name: str) -> pd.DataFrame:
        return self._read(self.folder / "mimic-iv-note" / f"{name}.csv.gz")

    def iv_table(self, name: str) -> pd.DataFrame:
        return self._read(self.folder / "mimic-iv" / f"{name}.csv.gz")

    @cached_property
    def iv_modes(self) -> pd.DataFrame:
        """Ventilator modes of MIMIC-IV, those of a ventilator that stands by left out."""
        chart = self.iv_table("icu/chartevents")
        return chart[chart.itemid.isin(["223849", "229314"]) & (chart.value != "Standby")]

    @staticmethod
    def _read(path: Path) -> pd.DataFrame:
        return pd.read_csv(path, dtype=str, keep_default_na=False, lineterminator="\n")

    @cached_property
    def notes(self) -> pd.DataFrame:
        return self.table("NOTEEVENTS")

    @cached_property
    def admissions(self) -> pd.DataFrame:
        frame = self.table("ADMISSIONS")
        times = {name: pd.to_datetime(frame[name]) for name in ("ADMITTIME", "DISCHTIME")}
        return frame.assign(SECONDS=(times["DISCHTIME"] - times["ADMITTIME"]).dt.total_seconds())

    @cached_property
    def patients(self) -> pd.DataFrame:
        return self.table("PATIENTS")

    @cached_property
    def diagnoses(self) -> pd.DataFrame:
        return self.table("DIAGNOSES_ICD")

    @cached_property
    def procedures(self) -> pd.DataFrame:
        return self.table("PROCEDURES_ICD")

    @cached_property
    def chart(self) -> pd.DataFrame:
        return self.table("CHARTEVENTS")

    @cached_property
    def summaries(self) -> pd.DataFrame:
        """Discharge summaries of adults."""
        newborn = self.admissions.loc[self.admissions.ADMISSION_TYPE == "NEWBORN", "HADM_ID"]
        notes = self.notes
        return notes[(notes.CATEGORY == "Discharge summary") & ~notes.HADM_ID.isin(newborn)]

    @cached_property
    def reports(self) -> pd.DataFrame:
        """First report of each adult admission."""
        frame = self.summaries
        frame = frame[(frame.DESCRIPTION == "Report") & (frame.HADM_ID != "") & (frame.TEXT != "")]
        return frame.drop_duplicates("HADM_ID")

    def saying(self, pattern: str) -> int:
        """Number of distinct texts of first reports in which a pattern occurs."""
        return int(self.reports.TEXT.drop_duplicates().str.contains(pattern, regex=True).sum())

    def admissions_with(self, table: pd.DataFrame, code: str) -> int:
        return table.loc[code == table.ICD9_CODE, "HADM_ID"].nunique()

    def split_of_code(self, code: str) -> set[str]:
        """Splits whose patients have a diagnosis code."""
        subjects = set(self.diagnoses.loc[code == self.diagnoses.ICD9_CODE, "SUBJECT_ID"])
        return {split for split, rows in self.split_lists.items() if subjects & set(rows)}

    @cached_property
    def split_lists(self) -> dict[str, list[str]]:
        return {
            split: pd.read_csv(self.folder / "splits" / f"mimic_{split}.csv", dtype=str).SUBJECT_ID.tolist()
            for split in ("train", "val", "test")
        }

    def admission_note_subjects(self) -> list[str]:
        """Subjects of CORe's steps 1 to 6, one per surviving admission."""
        frame = self.summaries[(self.summaries.HADM_ID != "") & (self.summaries.TEXT != "")]
        frame = frame.assign(ROW=frame.ROW_ID.astype(int)).sort_values(["CHARTDATE", "ROW"], kind="stable")
        frame = frame.drop_duplicates("TEXT", keep="last")
        subjects = []
        for _, group in frame.groupby("HADM_ID"):
            text = "\n\n".join(group.TEXT).strip().replace("\n", "\\n")
            found = (re.search(_SECTION.format(header=header), text) for header in _MAIN_HEADERS)
            if (group.DESCRIPTION == "Report").any() and any(match and match[1].strip() for match in found):
                subjects.append(group.SUBJECT_ID.iloc[0])
        return subjects

    def vent_seconds(self) -> pd.Series:
        """Seconds from first to last valid ventilator mode of each ICU stay."""
        modes = self.chart[self.chart.ITEMID.isin(["720", "223849"]) & (self.chart.VALUE != "Other/Remarks")]
        modes = modes[(modes.ERROR != "1") & (modes.ICUSTAY_ID != "")]
        times = pd.to_datetime(modes.CHARTTIME).groupby(modes.ICUSTAY_ID)
        return (times.max() - times.min()).dt.total_seconds()

    def first_gap_hours(self) -> pd.Series:
        """Hours from the first to the second ventilator mode of each ICU stay."""
        modes = self.chart[self.chart.ITEMID.isin(["720", "223849"])]
        times = pd.to_datetime(modes.CHARTTIME).groupby(modes.ICUSTAY_ID).apply(lambda t: t.sort_values().iloc[:2])
        spread = times.groupby(level=0)
        return (spread.max() - spread.min()).dt.total_seconds() / 3600


def _exactly(days: float) -> Callable[[Hospital], int]:
    return lambda hospital: int((round(days * 86_400) == hospital.admissions.SECONDS).sum())


def _span(days: float) -> Callable[[Hospital], int]:
    return lambda hospital: int((hospital.vent_seconds() == round(days * 86_400)).sum())


def _says(pattern: str) -> Callable[[Hospital], int]:
    return lambda hospital: hospital.saying(pattern)


def _diagnosis(code: str) -> Callable[[Hospital], int]:
    return lambda hospital: hospital.admissions_with(hospital.diagnoses, code)


def _both(first: str, second: str) -> Callable[[Hospital], int]:
    def count(hospital: Hospital) -> int:
        codes = hospital.procedures.groupby("HADM_ID").ICD9_CODE.agg(set)
        return int(codes.map(lambda found: {first, second} <= found).sum())

    return count


def _summary_groups(test: Callable[[pd.DataFrame], bool]) -> Callable[[Hospital], int]:
    return lambda hospital: sum(
        test(group) for _, group in hospital.summaries.groupby("HADM_ID") if group.HADM_ID.iloc[0]
    )


def _without_header(*headers: str) -> Callable[[Hospital], int]:
    def count(hospital: Hospital) -> int:
        text = hospital.reports.TEXT.str.lower()
        lacking = pd.Series(True, index=text.index)
        for header in ("social history:", "past medical history:", "chief complaint:", "allergies:"):
            lacking &= text.str.contains(f"\n{header}", regex=False) != (header in headers)
        return int((lacking & text.str.contains("hospital course:", regex=False)).sum())

    return count


def _two_reports(group: pd.DataFrame) -> bool:
    return (group[group.TEXT != ""].DESCRIPTION == "Report").sum() == 2


def _same_day_addendum(group: pd.DataFrame) -> bool:
    return group.DESCRIPTION.tolist() == ["Report", "Addendum"] and group.CHARTDATE.nunique() == 1


def _age_at_first(hospital: Hospital) -> pd.Series:
    first = hospital.admissions.groupby("SUBJECT_ID").ADMITTIME.min()
    people = hospital.patients.set_index("SUBJECT_ID")
    born = people.DOB.str[:10].str.split("-").apply(lambda part: [int(x) for x in part])
    admitted = first.reindex(people.index).str[:10].str.split("-").apply(lambda part: [int(x) for x in part])
    return pd.Series(
        [a[0] - b[0] - (a[1:] < b[1:]) for a, b in zip(admitted, born, strict=True)],
        index=people.index,
    )


def _reintubated(hospital: Hospital) -> int:
    """Stays in which a ventilator setting follows an extubation by more than an hour."""
    moves = hospital.table("PROCEDUREEVENTS_MV")
    gone = moves[moves.ITEMID.isin(["227194", "225468"])].rename(columns={"STARTTIME": "CHARTTIME"})
    charted = hospital.chart[hospital.chart.ITEMID == "640"]
    ends = pd.concat([gone, charted])[["ICUSTAY_ID", "CHARTTIME"]].sort_values("CHARTTIME")
    first = ends.drop_duplicates("ICUSTAY_ID").set_index("ICUSTAY_ID").CHARTTIME
    modes = hospital.chart[hospital.chart.ITEMID.isin(["720", "223849"]) & (hospital.chart.ERROR != "1")]
    modes = modes[(modes.ICUSTAY_ID != "") & (modes.VALUE != "Other/Remarks")]
    later = modes[modes.ICUSTAY_ID.map(first).fillna("9") < modes.CHARTTIME]
    return later.ICUSTAY_ID.nunique()


def _self_extubated(hospital: Hospital) -> int:
    moves = hospital.table("PROCEDUREEVENTS_MV")
    stays = set(moves.loc[moves.ITEMID == "225468", "ICUSTAY_ID"])
    return len(stays | set(hospital.chart.loc[hospital.chart.VALUE == "Self Extubation", "ICUSTAY_ID"]))


def _duplicates(hospital: Hospital) -> int:
    texts = hospital.summaries[hospital.summaries.TEXT != ""].groupby("TEXT").SUBJECT_ID.nunique()
    return int((texts > 1).sum())


def _no_summary(hospital: Hospital) -> int:
    adults = hospital.admissions[hospital.admissions.ADMISSION_TYPE != "NEWBORN"]
    return int((~adults.HADM_ID.isin(hospital.summaries.HADM_ID)).sum())


def _late_bedside_notes(hospital: Hospital) -> int:
    modes = hospital.chart[hospital.chart.ITEMID.isin(["720", "223849"])]
    start = pd.to_datetime(modes.groupby("HADM_ID").CHARTTIME.min())
    notes = hospital.notes[hospital.notes.CATEGORY.str.startswith(("Nursing", "Respiratory"))]
    waited = pd.to_datetime(notes.CHARTTIME) - notes.HADM_ID.map(start)
    return int((waited.dt.total_seconds() > 48 * 3600).sum())


def _without_procedures(hospital: Hospital) -> int:
    adults = hospital.admissions[hospital.admissions.ADMISSION_TYPE != "NEWBORN"]
    return int((~adults.HADM_ID.isin(hospital.procedures.HADM_ID)).sum())


def _e_codes(hospital: Hospital) -> int:
    codes = hospital.diagnoses
    return codes.loc[codes.ICD9_CODE.str.startswith("E"), "HADM_ID"].nunique()


def _iv_gap(hours: float) -> Callable[[Hospital], int]:
    def count(hospital: Hospital) -> int:
        times = pd.to_datetime(hospital.iv_modes.charttime).groupby(hospital.iv_modes.stay_id)
        first = times.nsmallest(2).groupby(level=0)
        return int(((first.max() - first.min()).dt.total_seconds() == round(hours * 3600)).sum())

    return count


def _iv_two_devices(hospital: Hospital) -> int:
    chart = hospital.iv_table("icu/chartevents")
    devices = chart[chart.itemid == "226732"].groupby(["stay_id", "charttime"]).size()
    return int((devices > 1).sum())


def _iv_without_note(hospital: Hospital) -> int:
    return int((~hospital.iv_table("hosp/admissions").hadm_id.isin(hospital.iv("discharge").hadm_id)).sum())


def _iv_excluded(hospital: Hospital) -> int:
    return int(hospital.iv_table("hosp/diagnoses_icd").icd_code.isin(["35801", "G7001"]).sum())


def _iv_coded_in(version: str) -> Callable[[Hospital], int]:
    def count(hospital: Hospital) -> int:
        codes = hospital.iv_table("hosp/diagnoses_icd")
        return codes.loc[codes.icd_version == version, "hadm_id"].nunique()

    return count


def _iv_texts(test: Callable[[pd.Series], pd.Series]) -> Callable[[Hospital], int]:
    return lambda hospital: int(test(hospital.iv("discharge").text).sum())


# Case -> what a reader of the tables counts.
DETECTORS: dict[str, Callable[[Hospital], int]] = {
    "newborn_admissions": lambda h: int((h.admissions.ADMISSION_TYPE == "NEWBORN").sum()),
    "null_hadm_id": lambda h: int((h.notes.HADM_ID == "").sum()),
    "null_text": lambda h: int((h.notes.TEXT == "").sum()),
    "iserror": lambda h: int((h.notes.ISERROR == "1").sum()),
    "duplicate_text_across_patients": _duplicates,
    "addendum_only": _summary_groups(lambda group: (group.DESCRIPTION == "Addendum").all()),
    "same_day_addendum": _summary_groups(_same_day_addendum),
    "several_reports": _summary_groups(_two_reports),
    "no_summary": _no_summary,
    "missing_sections": _without_header("social history:", "past medical history:"),
    "allergies_in_addendum_only": _without_header("allergies:"),
    "no_complaint_illness_or_history": _without_header("past medical history:", "chief complaint:"),
    "exam_is_last_section": lambda h: int((~h.reports.TEXT.str.contains("(?i)\nbrief hospital course:")).sum()),
    "empty_brackets": _says(r"(?i)past medical history:\n\[\]\n"),
    "digit_in_next_header": _says(r"\n\nPart 2 of history:"),
    "discharge_exam_first": _says(r"Discharge Physical Exam:\n[^:]+:[^:]+:[^:]+(?i:physical exam):"),
    "carriage_returns": _says("\r\n"),
    "unicode_line_breaks": _says("\u2028"),
    "quotes_and_commas": _says('"a brick, heavy"'),
    "death_exam_patient_expired": _says(r"Patient expired\."),
    "death_exam_pt_has_passed_away": _says(r"pt has passed away"),
    "death_exam_without_subject": _says(r"No pulse, deceased"),
    "death_medication_patient_had_died": _says(r"patient had died"),
    "death_exam_twice": _says(r"Pt expired.*the patient died"),
    "death_patient_died": _says(r"The patient died despite"),
    "death_he_or_she_expired": _says(r"on the unit she expired"),
    "death_time_of_death": _says(r"Time of death"),
    "false_death_attempt_died": _says(r"attempt died"),
    "false_death_relative_a_patient": _says(r"dialysis patient died"),
    "false_death_relative_a_pt": _says(r"our pt passed away"),
    "false_death_roommate": _says(r"patient has deceased"),
    "false_death_crew_pronounced": _says(r"pronounced expired"),
    "near_death_prescription_expired": _says(r"prescription had expired"),
    "near_death_mother_died": _says(r"Mother died of stroke"),
    "near_death_cousin_passed_away": _says(r"cousin passed away"),
    "near_death_time_of_departure": _says(r"time of departure"),
    "null_icd9_code": lambda h: int((h.diagnoses.ICD9_CODE == "").sum()),
    "asymptomatic_hiv_v08": _diagnosis("V08"),
    "excluded_head_or_neck_cancer": _diagnosis("1430"),
    "excluded_neuromuscular": _diagnosis("35801"),
    "excluded_burns": _diagnosis("94830"),
    "excluded_donor": _diagnosis("V594"),
    "train_only_code": _diagnosis("0340"),
    "test_only_code": _diagnosis("0529"),
    "procedures_0331_and_3310": _both("0331", "3310"),
    "procedures_0034_and_034": _both("0034", "034"),
    "admissions_with_e_codes": _e_codes,
    "age_300": lambda h: int((_age_at_first(h) >= 300).sum()),
    "age_17": lambda h: int((_age_at_first(h) == 17).sum()),
    "los_3_04_days": _exactly(3.04),
    "los_3_05_days": _exactly(3.05),
    "los_7_04_days": _exactly(7.04),
    "los_negative": lambda h: int((h.admissions.SECONDS < 0).sum()),
    "ventilated_1_74_days": _span(1.74),
    "ventilated_1_76_days": _span(1.76),
    "ventilated_6_74_days": _span(6.74),
    "ventilated_6_76_days": _span(6.76),
    "gap_7_9_hours": lambda h: int((h.first_gap_hours().sub(7.9).abs() < 1e-6).sum()),
    "gap_8_1_hours": lambda h: int((h.first_gap_hours().sub(8.1).abs() < 1e-6).sum()),
    "reintubation": _reintubated,
    "long_second_stay": lambda h: int((h.table("ICUSTAYS").groupby("HADM_ID").size() > 1).sum()),
    "null_icustay_id": lambda h: int((h.chart.ICUSTAY_ID == "").sum()),
    "error_rows": lambda h: int((h.chart.ERROR == "1").sum()),
    "excluded_ventilator_value": lambda h: int(h.chart.VALUE.isin(["Other", "Other/Remarks"]).sum()),
    "self_extubation": _self_extubated,
    "late_bedside_note": _late_bedside_notes,
    "admissions_without_procedures": _without_procedures,
    "charted_values_with_trailing_space": lambda h: int(h.chart.VALUE.str.endswith(" ").sum()),
    "mimic_iv_admissions_in_icd_9": _iv_coded_in("9"),
    "mimic_iv_admissions_in_icd_10": _iv_coded_in("10"),
    "mimic_iv_admissions_without_note": _iv_without_note,
    "mimic_iv_excluded_neuromuscular": _iv_excluded,
    "mimic_iv_gap_13_9_hours": _iv_gap(13.9),
    "mimic_iv_gap_14_1_hours": _iv_gap(14.1),
    "mimic_iv_two_devices_at_once": _iv_two_devices,
    "mimic_iv_empty": _iv_texts(lambda text: text == ""),
    "mimic_iv_duplicate": _iv_texts(lambda text: text.duplicated() & (text != "")),
    "mimic_iv_carriage_return": _iv_texts(lambda text: text.str.contains("\r")),
    "mimic_iv_unicode_break": _iv_texts(lambda text: text.str.contains("\u2028")),
}
