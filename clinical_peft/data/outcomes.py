"""Inputs of labels: the admissions, codes and ventilation of one source."""

from collections.abc import Mapping
from typing import Protocol

import pandas as pd

from clinical_peft.data.attrition import Attrition


class Outcomes(Protocol):
    """The outcomes of one source."""

    def admissions(self, *, times: bool = False) -> pd.DataFrame:
        """Return hadm_id, subject_id (int64) and died (nullable boolean) of every admission of a patient.

        Args:
            times: Whether to add admittime and dischtime (datetime64[s]), which no survivor lacks.
        """
        ...

    def codes(self, task: str, switches: Mapping[str, bool], attrition: Attrition) -> pd.DataFrame:
        """Return hadm_id, subject_id and code (a group) of a multilabel task, in the table's order; record its steps.

        Rows without admission or patient count for the label space alone.
        """
        ...

    def ventilated(self, attrition: Attrition) -> pd.DataFrame:
        """Return hadm_id, subject_id and label of prolonged ventilation, and record its steps."""
        ...

    def ventilated_by_list(self, attrition: Attrition) -> tuple[pd.DataFrame, Mapping[int, str]]:
        """Return the same by a published list, and its split of each admission."""
        ...
