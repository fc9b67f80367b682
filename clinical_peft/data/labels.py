"""The labels of the six tasks, from the tables alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.prolonged_ventilation import ventilated_admissions
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table
from clinical_peft.data.ventilation import find_episodes, read_episodes
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
LOS_UPPER_DAYS = (3, 7, 14)  # upper bounds, included, of the first three classes
_DAY_SECONDS = 86_400


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
        switches: los_rounded for los, procedure_codes_as_integers for procedures.
        ventilation: Episodes for pmv as `ventilation_episodes` writes them; found anew when None.
        salt: What the coin of the control task depends on.

    Returns:
        hadm_id, subject_id (int64) and label (int64, or a list of codes in the table's order), ordered by hadm_id.

    Raises:
        ConfigError: The task is unknown or its switch not given.
        DataError: A table is missing or malformed.
    """
    kind = find_task(task)
    if kind.multilabel:
        codes = code_table(task, mimic_iii, switches).drop_duplicates(["hadm_id", "code"])
        labels = codes.groupby(["hadm_id", "subject_id"])["code"].agg(list).rename("label").reset_index()
    elif task == "pmv":
        episodes = read_episodes(ventilation) if ventilation else find_episodes(mimic_iii)[0]
        labels = ventilated_admissions(mimic_iii, episodes, Attrition())
    elif task == "los":
        labels = _length_of_stay(mimic_iii, switch_on(switches, "los_rounded"))
    else:
        labels = _admissions(mimic_iii, {"HOSPITAL_EXPIRE_FLAG": INTEGER})
        if task == "mortality":
            labels = labels.dropna().assign(label=labels["hospital_expire_flag"])
        else:
            labels["label"] = [control_label(hadm_id, salt) for hadm_id in labels["hadm_id"]]
    if not kind.multilabel:
        labels = labels.astype({"label": "int64"})
    return labels[["hadm_id", "subject_id", "label"]].sort_values("hadm_id", ignore_index=True)


def code_table(task: str, mimic_iii: Path, switches: Mapping[str, bool]) -> pd.DataFrame:
    """Return the shortened ICD-9 codes of a multilabel task, one row per coded row of the table, in its order.

    Diagnoses keep 3 characters, 4 when they begin with V or E. Procedures keep 3, leading zeros included unless
    procedure_codes_as_integers is on, when codes of different procedures fall together ("0331" and "3310").

    Returns:
        hadm_id, subject_id (int64), code.

    Raises:
        DataError: The table is missing or malformed.
    """
    kind = find_task(task)
    path = find_table(mimic_iii, str(kind.code_table))
    rows = read_table(path, {"SUBJECT_ID": INTEGER, "HADM_ID": INTEGER, "ICD9_CODE": TEXT}).dropna()
    codes = rows["ICD9_CODE"]
    if task == "diagnoses":
        short = codes.str[:4].where(codes.str.startswith(("V", "E")), codes.str[:3])
    else:
        if switch_on(switches, "procedure_codes_as_integers"):
            if not codes.str.fullmatch(r"\d+").all():
                raise DataError(f"{path}: column ICD9_CODE: expected whole numbers, found another code")
            codes = codes.str.lstrip("0").where(codes.str.strip("0") != "", "0")
        short = codes.str[:3]
    return pd.DataFrame(
        {
            "hadm_id": rows["HADM_ID"].astype("int64"),
            "subject_id": rows["SUBJECT_ID"].astype("int64"),
            "code": short,
        }
    ).reset_index(drop=True)


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
    wanted = {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER} | columns
    rows = read_table(find_table(mimic_iii, "ADMISSIONS"), wanted).dropna(subset=["HADM_ID", "SUBJECT_ID"])
    return rows.rename(columns=str.lower).astype({"hadm_id": "int64", "subject_id": "int64"})


def _length_of_stay(mimic_iii: Path, rounded: bool) -> pd.DataFrame:
    rows = _admissions(mimic_iii, {"ADMITTIME": TIME, "DISCHTIME": TIME, "HOSPITAL_EXPIRE_FLAG": INTEGER})
    rows = rows[rows["hospital_expire_flag"] == 0]
    missing = int(rows[["admittime", "dischtime"]].isna().any(axis=1).sum())
    if missing:
        path = find_table(mimic_iii, "ADMISSIONS")
        raise DataError(f"{path}: expected ADMITTIME and DISCHTIME in every row, found {missing} rows without")
    seconds = (rows["dischtime"] - rows["admittime"]).dt.total_seconds().to_numpy()
    return rows.assign(label=bin_length_of_stay(seconds, rounded=rounded))
