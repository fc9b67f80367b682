"""The tables of a study: every module of `clinical_peft.tables.definitions` declares one."""

from collections.abc import Collection
from functools import cache

from clinical_peft.errors import ConfigError
from clinical_peft.tables import definitions
from clinical_peft.tables.declared import read_declared
from clinical_peft.tables.form import Table
from clinical_peft.tables.study_results import OPTIONAL, StudyResults
from clinical_peft.tables.study_table import StudyTable


@cache
def all_tables() -> dict[str, StudyTable]:
    """Every table by name, in the order of the report.

    Raises:
        ConfigError: A module declares no complete table, or one whose name another has.
    """
    return read_declared(definitions, "TABLE")


def find_table(name: str) -> StudyTable:
    """Return a table by its name.

    Raises:
        ConfigError: There is no such table.
    """
    if name not in all_tables():
        raise ConfigError(f"table: expected one of {', '.join(all_tables())}, found {name}")
    return all_tables()[name]


def table_names(measured: Collection[str] = (), *, beside_paper: bool = True) -> list[str]:
    """Names of a study's tables.

    Args:
        measured: Which of the optional results (`clinical_peft.tables.study_results.OPTIONAL`) the study has.
        beside_paper: Whether it has a task or a corpus of the paper's (`StudyResults.is_beside_paper`).
    """
    missing = set(OPTIONAL) - set(measured)
    return [
        name
        for name, table in all_tables().items()
        if not missing & set(table.needs) and (beside_paper or not table.is_of_paper)
    ]


def build_tables(results: StudyResults) -> dict[str, Table]:
    """Build every table of a study.

    Args:
        results: The study's results.

    Raises:
        DataError: Results do not belong together.
    """
    measured = [name for name in OPTIONAL if getattr(results, name) is not None]
    names = table_names(measured, beside_paper=results.is_beside_paper)
    return {name: find_table(name).build(results) for name in names}
