"""Labels of the tasks whose classes are groups of codes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels


def code_groups(kind: str) -> "Callable[[LabelRequest], Labels]":
    """Return the label function of a task on codes.

    Args:
        kind: Kind of the codes, as a source names it: diagnoses or procedures.
    """

    def label(request: "LabelRequest") -> "Labels":
        from clinical_peft.data.attrition import Attrition
        from clinical_peft.data.labelling import Labels
        from clinical_peft.data.labels import code_labels

        steps = Attrition()
        return Labels(frame=code_labels(request.outcomes.codes(kind, request.switches, steps)), steps=steps)

    return label
