"""The section `gaps`: what the original's choices, and test patients' notes in pretraining, are worth."""

from pydantic import Field

from clinical_peft.config.sections import Name, Section, TaskName


class ContaminationModels(Section):
    """Models of the matrix whose differences tell what pretraining on test patients' notes is worth."""

    unadapted: Name = Field(description="has no clinical adapter")
    adapted: Name = Field(description="its clinical adapter is trained on mimic-iv")
    matched: Name = Field(description="its clinical adapter is trained on the unfiltered arm of contamination disjoint")
    disjoint: Name = Field(description="its clinical adapter is trained on the arm without held-out patients")


class Gaps(Section):
    """Effects to measure; all null by default."""

    model: Name | None = Field(
        None, description="model of the matrix that is run again under each switch; null measures no switch"
    )
    tasks: list[TaskName] | None = Field(None, description="tasks of the matrix on which it is run; null means all")
    switches: list[str] | None = Field(None, description="switches that are turned on alone; null means all")
    contamination: ContaminationModels | None = Field(
        None, description="models to compare inside and outside the CareVue subset, and between the two arms"
    )
