"""What a figure of a study declares: what it needs, its caption, and where it stands in the report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.declared import check_declared
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_order

NARROW = ".narrow"  # ends the stem of a drawing for a narrow screen

Draw = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class StudyFigure:
    """A figure that every study has whose results it can be drawn from.

    Attributes:
        name: File stem, or what stands before `_{task}` in the stems of a figure that is drawn per task, or before the
            name of the compared metric in that of a figure of this metric.
        place: Order among the figures of a section.
        section: Name of the report's section that shows it; see `clinical_peft.tables.sections`.
        needs: Fields of `StudyResults` that it is drawn from.
        caption: What it shows, in a few sentences, with `StudyResults.words` in braces; a function of the results where
            it depends on more.
        drawings: By file stem, what draws a study's results into an SVG file; none where a study has nothing to draw.
        by_task: Whether it is drawn per task; the caption stands once, above all of them.
        by_metric: Whether it shows the compared metric, whose name ends its stem.
        folded: Line that unfolds it in the report; empty for a figure that is shown at once.
        small: Whether it stands beside its neighbours that are small too.
        narrow: The same drawings for a narrow screen, for a figure that would be too small there.
        has_choice: Whether the report lets readers choose which of its lines they see.
    """

    name: str
    place: int
    section: str
    needs: tuple[str, ...]
    caption: str | Callable[[StudyResults], str]
    drawings: Callable[[StudyResults], Mapping[str, Draw]]
    by_task: bool = False
    by_metric: bool = False
    folded: str = ""
    small: bool = False
    narrow: Callable[[StudyResults], Mapping[str, Draw]] = lambda _: {}
    has_choice: bool = False

    def __post_init__(self) -> None:
        check_declared(f"figure {self.name}", self.section, self.needs)

    def stems(self, tasks: Tasks, metric: Metric) -> list[str]:
        """File stems that it may have in a study, in the order of the tasks."""
        if self.by_task:
            return [f"{self.name}_{task}" for task in task_order(tasks)]
        return [f"{self.name}_{metric.name}" if self.by_metric else self.name]

    def captioned(self, results: StudyResults) -> str:
        """The caption of a study's figure."""
        return self.caption(results) if callable(self.caption) else self.caption.format(**results.words)
