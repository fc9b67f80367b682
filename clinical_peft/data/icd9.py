"""The form and the groups of ICD-9-CM codes as MIMIC writes them: without the dot, leading zeros kept."""

import pandas as pd

from clinical_peft.tasks.task import CodeTable


def has_icd9_form(codes: "pd.Series[str]", kind: CodeTable) -> "pd.Series[bool]":
    """Return which codes have the form of an ICD-9-CM code, which does not mean that they exist; no nulls."""
    return codes.str.fullmatch(kind.icd9_form)


def icd9_groups(codes: "pd.Series[str]", kind: CodeTable) -> "pd.Series[str]":
    """Shorten codes to the groups that are a task's classes: 3 characters, 4 of a diagnosis beginning with V or E."""
    return codes.str[:4].where(codes.str.startswith(kind.four_characters), codes.str[:3])
