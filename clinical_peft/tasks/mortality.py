"""In-hospital mortality."""

from typing import TYPE_CHECKING

from clinical_peft.tasks.death_phrases import STATED_DEATH
from clinical_peft.tasks.task import SURVIVAL, Statement, Task

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels


def survival(request: "LabelRequest") -> "Labels":
    """Label admissions by the hospital's flag of death."""
    from clinical_peft.data.labelling import Labels
    from clinical_peft.data.labels import survival_labels

    return Labels(frame=survival_labels(request.outcomes.admissions()))


TASK = Task(
    name="mortality",
    title="In-hospital mortality",
    short="MOR",
    place=2,
    type="binary",
    classes=("survived", "died"),
    label=survival,
    tables={"mimic-iii": {"ADMISSIONS": SURVIVAL}, "mimic-iv": {"admissions": SURVIVAL}},
    labelled_step="with a survival flag",
    drops_death_statements=True,
    stated_outcomes={
        "death": Statement(
            STATED_DEATH,
            ("expired", "died", "passed", "deceased", "death"),
        ),
        "disposition": Statement(
            r"\b(?:disposition|discharge condition)\W{1,3}(?:expired|deceased|died|dead)\b",
            ("disposition", "discharge condition"),
        ),
        "end_of_life_care": Statement(
            r"\bcomfort (?:measures|care)\b|\bmade cmo\b|\bhospice\b|\bterminal(?:ly)? extubat|\bautopsy\b"
            r"|\bwithdraw(?:n|al)?\b[^.]{0,20}\b(?:care|support)\b",
            ("comfort", "cmo", "hospice", "terminal", "autopsy", "withdraw"),
        ),
    },
    release_rows={"mimic-iii": (33_954, 48_684)},  # of the paper's Table 1
)
