"""The figures of a study: every module of `clinical_peft.figures.definitions` declares one."""

from functools import cache

from clinical_peft.figures import definitions
from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.tables.declared import read_declared


@cache
def all_figures() -> dict[str, StudyFigure]:
    """Every figure by name, in the order of the report.

    Raises:
        ConfigError: A module declares no complete figure, or one whose name another has.
    """
    return read_declared(definitions, "FIGURE")
