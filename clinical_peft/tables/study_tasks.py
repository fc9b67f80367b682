"""The tasks of a study as readers see them: their names, their order, and what a row of their cohorts is."""

from collections.abc import Iterable, Mapping

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.sources import hospital_corpora
from clinical_peft.tasks import OwnTask, Task, task_from_record

Tasks = Mapping[str, Task]
"""Tasks by name."""
MACRO_LABEL = "Macro average"


def tasks_of(records: Iterable[Mapping[str, object]]) -> dict[str, Task]:
    """Rebuild a study's tasks from what its rules give jobs (`clinical_peft.tasks.task_record`), by name."""
    return {task.name: task for task in map(task_from_record, records)}


def task_order(tasks: Tasks) -> list[str]:
    """Names in the order of tables and figures: tasks by their place, the macro average, then controls."""
    placed = sorted(tasks.values(), key=lambda task: task.place)
    controls = [task.name for task in placed if task.is_control]
    return [*(task.name for task in placed if not task.is_control), MACRO, *controls]


def task_label(name: str, tasks: Tasks) -> str:
    """Short name of a task, or of the macro average."""
    return MACRO_LABEL if name == MACRO else tasks[name].short


def listed_labels(names: Iterable[str], tasks: Tasks, last: str = ", ") -> str:
    """Short names, separated by commas; `last` stands before the last one."""
    *first, end = [task_label(name, tasks) for name in names] or [""]
    return f"{', '.join(first)}{last if first else ''}{end}"


def unit_of(tasks: Iterable[Task]) -> str:
    """What a row of a cohort is: a note in a study with a table of its own, else an admission with its note."""
    return "note" if any(map(_own_table, tasks)) else "admission"


def is_of_hospital(tasks: Iterable[Task], corpora: Iterable[str]) -> bool:
    """Whether a study has a task or a corpus of MIMIC, real or synthetic, so that the paper's protocol applies."""
    return not all(map(_own_table, tasks)) or any(corpus.startswith(hospital_corpora()) for corpus in corpora)


def is_beside_paper(tasks: Iterable[Task], corpora: Iterable[str]) -> bool:
    """Whether a study has a task or a corpus that the paper has, so that published values stand beside its own."""
    return any(task.is_published for task in tasks) or is_of_hospital((), corpora)


def own_tables(tasks: Tasks) -> list[str]:
    """Names of the study's own tables that its tasks stand in, in the order of the tasks."""
    return list(dict.fromkeys(str(task.table) for task in tasks.values() if isinstance(task, OwnTask) and task.table))


def _own_table(task: Task) -> bool:
    return isinstance(task, OwnTask) and task.table is not None
