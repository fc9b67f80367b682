"""Sections of the report in which tables and figures stand, in the report's order."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        name: What tables and figures call it, and its anchor in the page.
        short: Its name in the line of links.
        title: Its heading.
        text: One sentence that says what it shows.
        is_fixed: Whether the page has a place of its own for it; the others follow one another.
        title_alone: Its heading in a study that has nothing of the paper's, where another than `title`.
        text_alone: Its sentence there, where another than `text`.
    """

    name: str
    short: str
    title: str
    text: str = ""
    is_fixed: bool = False
    title_alone: str = ""
    text_alone: str = ""

    def alone(self) -> "Section":
        """The section in a study that has nothing of the paper's."""
        return replace(self, title=self.title_alone or self.title, text=self.text_alone or self.text)


SECTIONS = {
    section.name: section
    for section in (
        Section("data", "Data", "From hospital to cohorts", is_fixed=True, title_alone="From notes to cohorts"),
        Section("result", "Result", "Main result", is_fixed=True),
        Section("tables", "Tables", "Tables", is_fixed=True),
        Section(
            "metrics",
            "Further metrics",
            "What else the predictions say",
            "Precision and recall, classification and the error of the probabilities; the tasks of many labels by "
            "average and frequency; and the same logits scored as in the original.",
            text_alone="Precision and recall, classification and the error of the probabilities; and the tasks of many "
            "labels by average and frequency.",
        ),
        Section(
            "uncertainty",
            "Uncertainty",
            "Which differences hold",
            "Every figure with its interval, and every pair of models compared on the same patients.",
        ),
        Section(
            "gaps",
            "Gaps",
            "What each choice of protocol is worth",
            "Effects of the original's choices, each turned on alone and all together, and of test patients whose "
            "notes stand in pretraining.",
        ),
        Section(
            "training_size",
            "Training size",
            "What more training notes are worth",
            "Every model trained on parts of the training split, judged on the same test patients.",
        ),
        Section(
            "calibration",
            "Calibration",
            "Can the probabilities be used?",
            "How far predicted risks agree with what happened, before and after recalibration on validation, and "
            "what acting on them would be worth.",
        ),
        Section(
            "subgroups",
            "Subgroups",
            "Groups of patients",
            "Differences between groups of patients, with intervals; groups of fewer than ten are not shown, nor "
            "others that would give their counts away.",
        ),
        Section("cost", "Cost", "Cost", "What the study took, in tokens and device time."),
        Section("curves", "Curves", "Learning curves", is_fixed=True),
    )
}
