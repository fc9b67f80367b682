"""All figures of a study, drawn into one folder."""

from pathlib import Path

from clinical_peft.figures.registry import all_figures
from clinical_peft.figures.study_figure import NARROW
from clinical_peft.files import private_directory
from clinical_peft.tables.study_results import StudyResults


def draw_all(folder: Path, results: StudyResults) -> list[Path]:
    """Draw the figures for which a study has results.

    Args:
        folder: Folder to write SVG files into; created if missing.
        results: The study's results.

    Returns:
        The files written.

    Raises:
        ConfigError: The rule does not give a result that a figure needs.
    """
    private_directory(folder)
    for figure in all_figures().values():
        results.check_given(f"figure {figure.name}", figure.needs)
        for stem, draw in figure.drawings(results).items():
            draw(folder / f"{stem}.svg")
        for stem, draw in figure.narrow(results).items():
            draw(folder / f"{stem}{NARROW}.svg")
    return sorted(folder.glob("*.svg"))
