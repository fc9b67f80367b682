"""Checks of what a study defines itself: tables, tasks, and the metric that fits them. Each raises ValueError."""

from typing import TYPE_CHECKING, NoReturn

from clinical_peft.config.generated import is_generated
from clinical_peft.config.tables import GivenSplit
from clinical_peft.config.tasks import RESERVED
from clinical_peft.sources import hospital_corpora
from clinical_peft.tasks import TASKS

if TYPE_CHECKING:
    from clinical_peft.config.study import Study

PAIRED_CORPORA = ("disjoint", "matched")
HOW_TO_DEFINE = (
    "an own task needs type, and table with label_column or label_columns, or labels with on (config/README.md)"
)


def check_corpus_names(study: "Study") -> None:
    """Refuse a file of notes or a table under a name that the workflow, or the other of the two, uses."""
    paired = tuple(f"{name}-{kind}" for name in hospital_corpora() for kind in PAIRED_CORPORA)
    taken = (*hospital_corpora(), *paired, "general", "admission")
    for section in ("note_files", "tables"):
        for name in getattr(study.data, section):
            if name in taken:
                raise ValueError(f"data.{section}.{name}: this name is taken; choose another")
    for name in study.data.tables:
        if name in study.data.note_files:
            raise ValueError(f"data.tables.{name}: data.note_files has this name too; rename one")
        if "." in name:
            raise ValueError(f"data.tables.{name}: expected a name without a dot, which ends the names of its files")


def check_own_tasks(study: "Study") -> None:
    """Refuse a task that is neither built in nor defined whole, and one whose table or hospital the study lacks."""
    for name, entry in study.tasks.items():
        place = f"tasks.{name}"
        if name in TASKS:
            if entry.own_keys:
                raise ValueError(
                    f"{place}.{entry.own_keys[0]}: {name} is a built-in task; give an own task another name"
                )
            continue
        if entry.type is None:
            raise ValueError(f"{place}: no built-in task ({', '.join(TASKS)}); {HOW_TO_DEFINE}")
        if name in RESERVED or "." in name:
            raise ValueError(f"{place}: this name is taken by other files, or holds a dot; choose another")
        if entry.table is not None and entry.table not in study.data.tables:
            _unknown_table(study, f"{place}.table", entry.table)
        is_of_users = entry.labels is not None and not is_generated(entry.labels)
        if is_of_users and entry.on != study.cohorts.source:
            raise ValueError(
                f"{place}.on: expected cohorts.source, {study.cohorts.source}, whose notes the study reads, found "
                f"{entry.on}; set one to the other"
            )
        _check_label_columns(study, name)


def _unknown_table(study: "Study", place: str, found: str) -> NoReturn:
    known = ", ".join(study.data.tables) or "none is defined"
    raise ValueError(f"{place}: {found!r} is not among data.tables ({known})")


def _check_label_columns(study: "Study", name: str) -> None:
    """Refuse a label that is what it is predicted from, or that says who the patient is."""
    entry = study.tasks[name]
    if entry.table is None:
        return
    table = study.data.tables[entry.table]
    key = "label_column" if entry.label_column is not None else "label_columns"
    split = [table.split.column] if isinstance(table.split, GivenSplit) and table.split.column is not None else []
    others = {table.spelling(one) for one in (table.id, table.patient, *table.columns_of_text, *split) if one}
    for column in entry.label_columns or [str(entry.label_column)]:
        if table.spelling(column) in others:
            raise ValueError(
                f"tasks.{name}.{key}: {column} is a column of the id, patient, text or split of data.tables."
                f"{entry.table}; name the column of the label"
            )


def check_metric(study: "Study") -> None:
    """Refuse accuracy as the compared metric where a selected task has several labels a note."""
    if study.evaluation.metric != "accuracy":
        return
    for task in study.tasks_in_order:
        if task.multilabel:
            raise ValueError(
                f"evaluation.metric: multilabel task {task.name} has no accuracy; choose auroc, auprc or f1_macro, or "
                "drop the task from matrix.tasks"
            )


def check_task_names(study: "Study") -> None:
    """Refuse settings for a task that is neither built in nor the study's own."""
    known = (*TASKS, *(name for name in study.tasks if name not in TASKS))
    places = {f"models.{name}.task_recipes": [*model.task_recipes] for name, model in study.models.items()}
    places |= {f"search.models.{name}.tasks": each.tasks or [] for name, each in study.search.models.items()}
    for place, names in places.items():
        for name in names:
            if name not in known:
                raise ValueError(f"{place}: {name!r} is not among the tasks; expected one of {', '.join(known)}")
