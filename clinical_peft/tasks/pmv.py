"""Prolonged mechanical ventilation: more than a week on a ventilator, among those ventilated for at least two days."""

from typing import TYPE_CHECKING

from clinical_peft.tasks.task import ICD9_OR_10, Statement, Task, columns

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels


def prolonged_ventilation(request: "LabelRequest") -> "Labels":
    """Label ventilated admissions by whether ventilation is prolonged, and split them as the study asks."""
    from clinical_peft.data.attrition import Attrition
    from clinical_peft.data.labelling import Labels
    from clinical_peft.data.prolonged_ventilation import random_split

    steps = Attrition()
    if request.split == "beep":
        frame, split_of = request.outcomes.ventilated_by_list(steps)
        return Labels(frame=frame, steps=steps, begin_cohort=True, split_of=split_of)
    frame = request.outcomes.ventilated(steps)
    by_admission = random_split(frame["hadm_id"]) if request.split == "derived-random" else None
    return Labels(frame=frame, steps=steps, begin_cohort=True, split_of=by_admission)


TASK = Task(
    name="pmv",
    title="Prolonged mechanical ventilation",
    short="PMV",
    place=1,
    type="binary",
    classes=("not prolonged", "prolonged"),
    label=prolonged_ventilation,
    tables={
        "mimic-iii": {
            "ADMISSIONS": columns(integer="HADM_ID", time="ADMITTIME"),
            "PATIENTS": columns(integer="SUBJECT_ID", time="DOB"),
            "ICUSTAYS": columns(integer="ICUSTAY_ID SUBJECT_ID HADM_ID", time="INTIME"),
            "DIAGNOSES_ICD": columns(integer="HADM_ID", text="ICD9_CODE"),
            "NOTEEVENTS": columns(integer="HADM_ID", time="CHARTTIME", text="CATEGORY"),
        },
        "mimic-iv": {
            "admissions": columns(integer="hadm_id subject_id", time="admittime"),
            "patients": columns(integer="subject_id anchor_age anchor_year"),
            "icustays": columns(integer="stay_id subject_id hadm_id", time="intime"),
            "diagnoses_icd": ICD9_OR_10,
        },
    },
    reads_ventilation=True,
    has_own_split=True,
    drops_death_statements=True,
    stated_outcomes={
        "tracheostomy": Statement(
            r"\btrach(?:eostomy|eotomy|ed)?\b",
            ("trach",),
        ),
        "ventilator_days": Statement(
            r"\b(?:vent(?:ilator|ilation|ilated)?|intubat(?:ed|ion))\b[^.]{0,30}\b\d+\s*(?:x\s*)?(?:days?|weeks?)\b"
            r"|\bvent(?:ilator)? day\s*+(?:#\s*+)?\d+",
            ("vent", "intubat"),
        ),
        "weaning": Statement(
            r"\b(?:fail(?:ed|ure)?|difficult(?:y)?|unable)\b[^.]{0,15}\bwean|\bvent(?:ilator)?[- ]dependen"
            r"|\bprolonged (?:mechanical )?(?:ventilat|intubat|wean)",
            ("wean", "vent", "prolonged"),
        ),
        "extubation": Statement(
            r"\bextubat(?:ed|ion)\b|\bre-?intubat",
            ("extubat", "intubat"),
        ),
    },
    release_rows={"mimic-iii": (5_666, 7_079)},  # of the paper's Table 1
    cohort_share=0.35,
    summary_shares={"mimic-iv": 0.03},  # most admissions are without intensive care
)
