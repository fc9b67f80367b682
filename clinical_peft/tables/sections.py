"""Sections of the report in which tables and figures stand, in the report's order."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        name: What tables and figures call it, and its anchor in the page.
        short: Its name in the table of contents.
        title: Its heading.
        text: One sentence that says what it shows.
        by_task: Whether rows and figures of a task stand in the section of that task.
        is_folded: Whether readers unfold it.
        title_alone: Its heading in a study that has nothing of the paper's, where another than `title`.
        text_alone: Its sentence there, where another than `text`.
    """

    name: str
    short: str
    title: str
    text: str = ""
    by_task: bool = False
    is_folded: bool = False
    title_alone: str = ""
    text_alone: str = ""

    def alone(self) -> "Section":
        """The section in a study that has nothing of the paper's."""
        return replace(self, title=self.title_alone or self.title, text=self.text_alone or self.text)


SECTIONS = {
    section.name: section
    for section in (
        Section("result", "All results", "All models on all tasks"),
        Section(
            "uncertainty",
            "Uncertainty",
            "Intervals over patients and over seeds",
            "Every result with its interval over patients alone, and over patients and seeds.",
            is_folded=True,
        ),
        Section(
            "metrics",
            "Further metrics",
            "Further metrics",
            "Tasks with many labels, by average and frequency, and the same logits scored as in the original.",
            by_task=True,
            text_alone="Tasks with many labels, by average and frequency.",
        ),
        Section(
            "calibration",
            "Calibration",
            "Calibration and use",
            "How far predicted risks agree with what happened, before and after recalibration on validation, and "
            "what acting on them would be worth.",
            by_task=True,
            is_folded=True,
        ),
        Section(
            "subgroups",
            "Subgroups",
            "Groups of patients",
            "Differences between groups of patients, with intervals. Groups of fewer than ten are not shown, nor "
            "others that would give their counts away.",
            by_task=True,
            is_folded=True,
        ),
        Section(
            "adaptation",
            "Adaptation",
            "What the adapters learned",
            "Perplexity of notes and of general text, and what each adapter cost.",
        ),
        Section("curves", "Training", "Training and hidden states", is_folded=True),
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
        Section("data", "Data", "From hospital to cohorts", title_alone="From notes to cohorts"),
        Section("cost", "Cost", "Cost", "What the study took, in tokens and device time.", is_folded=True),
    )
}
