"""The labels of the six tasks, from the tables alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clinical_peft.data.attrition import CODES, Attrition
from clinical_peft.data.consistency import check_key, check_one_patient
from clinical_peft.data.icd9 import has_icd9_form, icd9_groups
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.data.original_reader import MISSING_WORDS, read_as_numbers
from clinical_peft.data.prolonged_ventilation import ventilated_admissions
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import FLAG, INTEGER, TEXT, TIME, read_table
from clinical_peft.data.ventilation import find_episodes
from clinical_peft.data.ventilation_table import read_intervals
from clinical_peft.errors import ConfigError, DataError


@dataclass(frozen=True)
class Task:
    """A prediction task.

    Attributes:
        classes: Names of the classes in the order of the integer labels; empty for a multilabel task, whose label
            space comes from the data.
        code_table: Table of the codes of a multilabel task.
    """

    name: str
    classes: tuple[str, ...] = ()
    code_table: str | None = None

    @property
    def multilabel(self) -> bool:
        """Whether a label is a list of codes."""
        return self.code_table is not None

    @property
    def binary(self) -> bool:
        """Whether a label is 0 or 1."""
        return len(self.classes) == 2


TASKS = {
    task.name: task
    for task in (
        Task("los", ("up to 3 days", "over 3 to 7 days", "over 7 to 14 days", "over 14 days")),
        Task("mortality", ("survived", "died")),
        Task("pmv", ("not prolonged", "prolonged")),
        Task("diagnoses", code_table="DIAGNOSES_ICD"),
        Task("procedures", code_table="PROCEDURES_ICD"),
        Task("control", ("tails", "heads")),
    )
}
LABEL_COLUMNS = ["hadm_id", "subject_id", "label"]
DISCHARGED_ALIVE = "discharged alive"
ENDING_AFTER_START = "that do not end before they begin"
LOS_UPPER_DAYS = (3, 7, 14)  # upper bounds, included, of the first three classes
_DAY_SECONDS = 86_400
_IDS = {"HADM_ID": "hadm_id", "SUBJECT_ID": "subject_id"}
_MALFORMED_KEPT = "malformed_codes_kept"


def find_task(name: str) -> Task:
    """Return a task by its name; an unknown name is a ConfigError."""
    if name not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(TASKS)}, found {name}")
    return TASKS[name]


def switch_on(switches: Mapping[str, bool], name: str) -> bool:
    """Return a data switch (True: as the original does); one that is not given is a ConfigError."""
    if name not in switches:
        raise ConfigError(f"switches: expected a value for {name}, found none")
    return switches[name]


def label_table(
    task: str,
    mimic_iii: Path,
    switches: Mapping[str, bool],
    *,
    ventilation: Path | None = None,
    salt: str = "",
) -> pd.DataFrame:
    """Return the label of every admission that has one, whether it has a note or not.

    Args:
        task: los (admissions that end alive), mortality, pmv, diagnoses, procedures or control.
        mimic_iii: Folder with the tables of the task.
        switches: los_rounded and negative_stays_kept for los, malformed_codes_kept for diagnoses and procedures,
            procedure_codes_as_integers for procedures.
        ventilation: Episodes for pmv as `write_intervals` writes them; found anew when None.
        salt: What the coin of the control task depends on.

    Returns:
        hadm_id, subject_id (int64) and label (int64, or a list of codes in the table's order), ordered by hadm_id.

    Raises:
        ConfigError: The task is unknown or its switch not given.
        DataError: A table is missing or malformed, names an admission twice or gives it to two patients.
    """
    if find_task(task).multilabel:
        return code_labels(code_table(task, mimic_iii, switches))
    if task == "pmv":
        episodes = read_intervals(ventilation) if ventilation else find_episodes(mimic_iii)[0]
        return ventilated_admissions(mimic_iii, episodes, Attrition())[LABEL_COLUMNS]
    return admission_labels(task, mimic_iii, switches, salt)


def admission_labels(task: str, folder: Path, switches: Mapping[str, bool], salt: str) -> pd.DataFrame:
    """Return the labels that the table of admissions gives, of MIMIC-III or of MIMIC-IV.

    Args:
        task: los, mortality or control.
        folder: Folder with ADMISSIONS.
        switches: los_rounded and negative_stays_kept for los.
        salt: What the coin of the control task depends on.

    Returns:
        As `label_table`.

    Raises:
        DataError: The table is missing, malformed or names an admission twice.
    """
    if task == "los":
        labels = _lengths_of_stay(folder, switches)
        labels = labels[labels["alive"] & labels["in_order"]]
    else:
        labels = _admissions(folder, {})
        if task == "mortality":
            labels = labels.dropna().assign(label=labels["hospital_expire_flag"])
        else:
            labels["label"] = [control_label(hadm_id, salt) for hadm_id in labels["hadm_id"]]
    return labels.astype({"label": "int64"})[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def code_labels(codes: pd.DataFrame) -> pd.DataFrame:
    """Collect rows of codes (hadm_id, subject_id, code) into one list per admission, each code once, in their order.

    Rows without admission or patient are in no list.
    """
    codes = codes.drop_duplicates(["hadm_id", "code"]).dropna().astype({"hadm_id": "int64", "subject_id": "int64"})
    labels = codes.groupby(["hadm_id", "subject_id"])["code"].agg(list).rename("label").reset_index()
    return labels[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def code_table(
    task: str, mimic_iii: Path, switches: Mapping[str, bool], attrition: Attrition | None = None
) -> pd.DataFrame:
    """Return the shortened ICD-9 codes of a multilabel task, one row per coded row of the table, in its order.

    Diagnoses keep 3 characters, 4 when they begin with V or E. Procedures keep 3, leading zeros included unless
    procedure_codes_as_integers is on, when codes of different procedures fall together ("0331" and "3310") and one
    missing code turns all into decimals ("54" into "54."). Unless malformed_codes_kept is on, rows are left out whose
    code has not the form of ICD-9-CM, and rows without admission or patient; otherwise their codes count for the
    label space. A table whose codes lost their leading zeros is warned of (`clinical_peft.data.lost_zeros`).

    Args:
        task: diagnoses or procedures.
        mimic_iii: Folder with the task's table.
        switches: malformed_codes_kept, and procedure_codes_as_integers for procedures.
        attrition: Takes the steps from the table's rows to those that can be labels.

    Returns:
        hadm_id, subject_id (Int64, null where the row has none), code.

    Raises:
        DataError: The table is missing or malformed, or gives an admission to two patients; a step leaves nothing; a
            code that is to be read as a number is none.
    """
    name = str(find_task(task).code_table)
    path, attrition, kept = find_table(mimic_iii, name), attrition or Attrition(), switch_on(switches, _MALFORMED_KEPT)
    table = read_table(path, {"SUBJECT_ID": INTEGER, "HADM_ID": INTEGER, "ICD9_CODE": TEXT})
    table = attrition.record(f"rows of {name}", table.rename(columns={"ICD9_CODE": "code"} | _IDS), unit=CODES)
    coded = table[table["code"].notna() & ~table["code"].isin(MISSING_WORDS)]
    attrition.record("with a code", coded, unit=CODES)
    warn_of_lost_zeros(coded["code"], task, path, "ICD9_CODE")
    rows = coded
    if not kept:
        rows = attrition.record("of the form of ICD-9-CM", rows[has_icd9_form(rows["code"], task)], unit=CODES)
    identified = attrition.record("with an admission", rows[rows["hadm_id"].notna()], unit=CODES)
    identified = attrition.record("with a patient", identified[identified["subject_id"].notna()], unit=CODES)
    check_one_patient(identified, path)
    rows = (rows if kept else identified)[["hadm_id", "subject_id", "code"]].reset_index(drop=True)
    codes = rows["code"]
    if task == "procedures" and switch_on(switches, "procedure_codes_as_integers"):
        try:
            codes = read_as_numbers(codes, some_missing=len(coded) < len(table))
        except ValueError:
            raise DataError(f"{path}: column ICD9_CODE: expected numbers, found another code") from None
    return rows.assign(code=icd9_groups(codes, task))


def stays_left_out(folder: Path, switches: Mapping[str, bool]) -> dict[str, set[int]]:
    """Return the admissions whose length of stay `admission_labels` leaves out, by the step that keeps the others.

    Raises:
        ConfigError: negative_stays_kept or los_rounded is not given.
        DataError: The table is missing, malformed or names an admission twice.
    """
    rows = _lengths_of_stay(folder, switches)
    left_out = {DISCHARGED_ALIVE: set(rows["hadm_id"][~rows["alive"]])}
    if not switch_on(switches, "negative_stays_kept"):
        left_out[ENDING_AFTER_START] = set(rows["hadm_id"][~rows["in_order"]])
    return left_out


def bin_length_of_stay(seconds: np.ndarray, *, rounded: bool) -> np.ndarray:
    """Return the class of each length of stay.

    Args:
        seconds: Lengths, float, shape (n,); negative ones, which the database holds, count as short.
        rounded: Round to a tenth of a day first, as the original does: 3.04 days are then 3.

    Returns:
        Classes, int64, shape (n,): 0 up to 3 days, 1 up to 7, 2 up to 14, 3 beyond.
    """
    days = np.asarray(seconds, dtype="float64") / _DAY_SECONDS
    if rounded:
        days = np.round(days, 1)
    return np.searchsorted(LOS_UPPER_DAYS, days, side="left").astype("int64")


def control_label(hadm_id: int, salt: str) -> int:
    """Return a coin for an admission that no note can tell: the last bit of a SHA-256."""
    return hashlib.sha256(f"control:{salt}:{hadm_id}".encode()).digest()[-1] & 1


def _admissions(mimic_iii: Path, columns: dict[str, object]) -> pd.DataFrame:
    path = find_table(mimic_iii, "ADMISSIONS")
    rows = read_table(path, {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER, "HOSPITAL_EXPIRE_FLAG": FLAG} | columns)
    rows = check_key(rows, "HADM_ID", path).dropna(subset=["HADM_ID", "SUBJECT_ID"])
    return rows.rename(columns=str.lower).astype({"hadm_id": "int64", "subject_id": "int64"})


def _lengths_of_stay(mimic_iii: Path, switches: Mapping[str, bool]) -> pd.DataFrame:
    """Every admission with its label, whether it is of a survivor, and whether its length may be a label."""
    rows = _admissions(mimic_iii, {"ADMITTIME": TIME, "DISCHTIME": TIME})
    alive = rows["hospital_expire_flag"].eq(False).fillna(False).astype(bool)
    missing = int(rows.loc[alive, ["admittime", "dischtime"]].isna().any(axis=1).sum())
    if missing:
        path = find_table(mimic_iii, "ADMISSIONS")
        raise DataError(f"{path}: expected ADMITTIME and DISCHTIME in every row, found {missing} rows without")
    seconds = (rows["dischtime"] - rows["admittime"]).dt.total_seconds().to_numpy()
    label = bin_length_of_stay(seconds, rounded=switch_on(switches, "los_rounded"))
    in_order = ~(seconds < 0) | switch_on(switches, "negative_stays_kept")
    return rows.assign(label=label, alive=alive, in_order=in_order)
