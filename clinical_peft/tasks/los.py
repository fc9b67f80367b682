"""Length of stay of admissions that end alive, in four classes."""

from typing import TYPE_CHECKING

from clinical_peft.tasks.task import POSTOPERATIVE_DAY, STAYS, Statement, Task

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels


def length_of_stay(request: "LabelRequest") -> "Labels":
    """Label admissions discharged alive by their length."""
    from clinical_peft.data.labelling import Labels
    from clinical_peft.data.labels import stay_labels

    frame, dropped = stay_labels(request.outcomes.admissions(times=True), request.switches)
    return Labels(frame=frame, dropped=dropped)


TASK = Task(
    name="los",
    title="Length of stay",
    short="LOS",
    place=3,
    type="multiclass",
    classes=("up to 3 days", "over 3 to 7 days", "over 7 to 14 days", "over 14 days"),
    label=length_of_stay,
    tables={"mimic-iii": {"ADMISSIONS": STAYS}, "mimic-iv": {"admissions": STAYS}},
    switches=("los_rounded", "negative_stays_kept"),
    stated_outcomes={
        "length_of_stay": Statement(
            r"\blength of (?:hospital )?stay\b|\blos\b\W{0,3}\d+",
            ("length of", "los"),
        ),
        "hospital_day": Statement(
            r"\bhosp(?:ital|\.)? day\s*+(?:(?:#|number\b|no\.?)\s*+)?\d+|\bhd\s?#\s*+\d+",
            ("hosp", "hd"),
        ),
        "postoperative_day": POSTOPERATIVE_DAY,
        "stay_in_days": Statement(
            r"\b(?:hospitali[sz](?:ed|ation)|stayed|(?:hospital|icu) (?:stay|course))\b[^.]{0,30}\bdays?\b",
            ("hospitali", "stayed", "stay", "course"),
        ),
        "discharge": Statement(
            r"\b(?:day|time|date) of discharge\b|\b(?:on|at|upon) discharge\b|\bdischarged\b[^.]{0,40}\bday\b",
            ("discharge",),
        ),
    },
    release_rows={"mimic-iii": (30_421, 43_609)},  # of the paper's Table 1
    cohort_share=0.88,
)
