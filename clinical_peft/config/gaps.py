"""The section `gaps`: what the original's choices, and test patients' notes in pretraining, are worth."""

from pydantic import Field

from clinical_peft.config.sections import Name, Section, Task


class CarevueModels(Section):
    """Two models whose difference is measured inside and outside the CareVue subset."""

    unadapted: Name
    adapted: Name = Field(description="its clinical adapter is trained on mimic-iv")


class DisjointModels(Section):
    """Two models that differ in the notes that their clinical adapter was trained on."""

    disjoint: Name = Field(description="its clinical adapter is trained on notes without held-out patients")
    matched: Name = Field(description="its clinical adapter is trained on as many notes that were not filtered")


class Gaps(Section):
    """Effects to measure; all null by default."""

    model: Name | None = Field(
        None, description="model of the matrix that is run again under each switch; null measures no switch"
    )
    tasks: list[Task] | None = Field(None, description="tasks of the matrix on which it is run; null means all")
    switches: list[str] | None = Field(None, description="switches that are turned on alone; null means all")
    carevue: CarevueModels | None = Field(None, description="models of the matrix to compare inside the subset")
    disjoint: DisjointModels | None = Field(None, description="models of the matrix that are the two arms")
