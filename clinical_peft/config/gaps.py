"""The section `gaps`: ablations of the original's choices, and the effect of test patients' notes in pretraining."""

from pydantic import Field

from clinical_peft.config.sections import Name, Section, TaskName


class ContaminationModels(Section):
    """Models of the matrix whose differences measure the effect of pretraining on test patients' notes."""

    unadapted: Name = Field(description="has no clinical adapter")
    adapted: Name = Field(description="its clinical adapter is trained on mimic-iv")
    matched: Name = Field(
        description="its clinical adapter is trained on the equally large corpus with held-out patients"
    )
    disjoint: Name = Field(description="its clinical adapter is trained on the corpus without held-out patients")


class Gaps(Section):
    """Effects to measure; all null by default."""

    model: Name | None = Field(
        None, description="model of the matrix that is run again under each switch; null measures no switch"
    )
    tasks: list[TaskName] | None = Field(None, description="tasks of the matrix on which it is run; null means all")
    switches: list[str] | None = Field(None, description="switches to turn on one at a time; null means all")
    contamination: ContaminationModels | None = Field(
        None, description="models to compare inside and outside the CareVue subset, and between the two corpora"
    )
