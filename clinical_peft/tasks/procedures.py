"""Groups of the procedure codes of an admission."""

from clinical_peft.tasks.code_groups import code_groups
from clinical_peft.tasks.task import ICD9, ICD9_OR_10, POSTOPERATIVE_DAY, CodeTable, Statement, Task

TASK = Task(
    name="procedures",
    title="Procedures",
    short="PROC",
    place=5,
    type="multilabel",
    codes=CodeTable(
        name="PROCEDURES_ICD",
        icd9_form=r"[0-9]{2,4}",  # two digits before the dot, up to two after it
        icd9_category=r"[0-9]{2}",
        icd10_form=r"[0-9A-HJ-NP-Z]{7}",  # of ICD-10-PCS
        may_be_integers=True,
        icd10_may_begin_with_0=True,
        enough_for_zeros=100,
    ),
    label=code_groups("procedures"),
    tables={"mimic-iii": {"PROCEDURES_ICD": ICD9}, "mimic-iv": {"procedures_icd": ICD9_OR_10}},
    labelled_step="with a procedure code",
    stated_outcomes={
        "procedure_list": Statement(
            r"\bmajor surgical or invasive procedures?\b|\bprocedures? performed\b",
            ("procedure",),
        ),
        "postoperative_day": POSTOPERATIVE_DAY,
        "operation": Statement(
            r"\btaken to (?:the )?(?:or|operating room|cath(?:eterization)? lab)\b",
            ("taken to",),
        ),
    },
    release_rows={"mimic-iii": (30_030, 43_068)},  # of the paper's Table 1
    summary_shares={"mimic-iv": 0.6},
)
