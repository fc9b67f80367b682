"""A random label for every admission, which no note predicts."""

from typing import TYPE_CHECKING

from clinical_peft.tasks.task import SURVIVAL, Task

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels


def control(request: "LabelRequest") -> "Labels":
    """Label every admission at random."""
    from clinical_peft.data.labelling import Labels
    from clinical_peft.data.labels import control_labels

    return Labels(frame=control_labels(request.outcomes.admissions(), request.salt))


TASK = Task(
    name="control",
    title="Control (no signal)",
    short="Control",
    place=6,
    type="binary",
    classes=("tails", "heads"),
    label=control,
    tables={"mimic-iii": {"ADMISSIONS": SURVIVAL}, "mimic-iv": {"admissions": SURVIVAL}},
    labelled_step="with a control label",
    is_published=False,
    is_control=True,
    release_rows={"mimic-iii": (33_997, 48_745)},  # of the paper's Table 1
)
