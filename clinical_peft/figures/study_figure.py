"""What a figure of a study declares: what it needs, its caption, and where it stands in the report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.tables.declared import check_declared
from clinical_peft.tables.form import TASK_LABELS
from clinical_peft.tables.study_results import StudyResults

Draw = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class StudyFigure:
    """A figure that every study has whose results it can be drawn from.

    Attributes:
        name: File stem, or what stands before `_{task}` in the stems of a figure that is drawn per task.
        place: Order among the figures of a section.
        section: Name of the report's section that shows it; see `clinical_peft.tables.sections`.
        needs: Fields of `StudyResults` that it is drawn from.
        caption: What it shows, in a few sentences; `{metric}` stands for the compared metric.
        drawings: By file stem, what draws a study's results into an SVG file; none where a study has nothing to draw.
        by_task: Whether it is drawn per task; the caption stands once, above all of them.
        heading: Heading above it, where the section's does not say what it is.
        small: Whether it stands beside its neighbours that are small too.
    """

    name: str
    place: int
    section: str
    needs: tuple[str, ...]
    caption: str
    drawings: Callable[[StudyResults], Mapping[str, Draw]]
    by_task: bool = False
    heading: str = ""
    small: bool = False

    def __post_init__(self) -> None:
        check_declared(f"figure {self.name}", self.section, self.needs)

    def stems(self) -> list[str]:
        """File stems that it may have, in the order of the tasks."""
        return [f"{self.name}_{task}" for task in TASK_LABELS] if self.by_task else [self.name]
