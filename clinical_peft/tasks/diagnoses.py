"""Groups of the diagnosis codes of an admission."""

from clinical_peft.tasks.code_groups import code_groups
from clinical_peft.tasks.task import ICD9, ICD9_OR_10, CodeTable, Statement, Task

DIAGNOSIS_CODES = CodeTable(
    name="DIAGNOSES_ICD",
    # Three digits, V and two, or E and three, before the dot; up to two after it, of E one.
    icd9_form=r"[0-9]{3,5}|V[0-9]{2,4}|E[0-9]{3,4}",
    icd9_category=r"[0-9]{3}|V[0-9]{2}|E[0-9]{3}",
    # ICD-10-CM: a letter, a digit, and one to five characters more, without the dot.
    icd10_form=r"[A-Z][0-9][0-9A-Z]{1,5}",
    icd10_category=r"[A-Z][0-9][0-9A-Z]",
    four_characters=("V", "E"),
    enough_for_zeros=200,
)

TASK = Task(
    name="diagnoses",
    title="Diagnoses",
    short="DIAG",
    place=4,
    type="multilabel",
    codes=DIAGNOSIS_CODES,
    label=code_groups("diagnoses"),
    tables={"mimic-iii": {"DIAGNOSES_ICD": ICD9}, "mimic-iv": {"diagnoses_icd": ICD9_OR_10}},
    labelled_step="with a diagnosis code",
    stated_outcomes={
        "diagnosis_list": Statement(
            r"\b(?:discharge|final|principal|primary|secondary) diagnos[ei]s\b",
            ("diagnos",),
        ),
        "code": Statement(
            r"\bicd\W?(?:9|10)\b",
            ("icd",),
        ),
    },
    release_rows={"mimic-iii": (33_994, 48_741)},  # of the paper's Table 1
)
