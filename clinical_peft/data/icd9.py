"""The form and the groups of ICD-9-CM codes as MIMIC writes them: without the dot, leading zeros kept."""

import pandas as pd

# ICD-9-CM: diagnoses have three digits, or V and two, or E and three, before the dot, and up to two (E: one) after it;
# procedures two before and up to two after.
_FORMS = {
    "diagnoses": r"[0-9]{3,5}|V[0-9]{2,4}|E[0-9]{3,4}",
    "procedures": r"[0-9]{2,4}",
}


def has_icd9_form(codes: "pd.Series[str]", task: str) -> "pd.Series[bool]":
    """Return which codes have the form of an ICD-9-CM code, which does not mean that they exist.

    Args:
        codes: Codes, no nulls.
        task: diagnoses or procedures.
    """
    return codes.str.fullmatch(_FORMS[task])


def icd9_groups(codes: "pd.Series[str]", task: str) -> "pd.Series[str]":
    """Shorten codes to the groups that are a task's classes: 3 characters, 4 of a diagnosis beginning with V or E."""
    long = codes.str.startswith(("V", "E")) & (task == "diagnoses")
    return codes.str[:4].where(long, codes.str[:3])
