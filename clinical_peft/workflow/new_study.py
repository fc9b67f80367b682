"""A study file written for a user's own data: short, commented, inheriting nothing, and valid before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clinical_peft.config.experiments import load_study
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.workflow.needed_tables import needed_tables
from clinical_peft.workflow.new_study_bases import Recipe, recipe_of_base
from clinical_peft.workflow.new_study_names import corpus_name, task_name
from clinical_peft.workflow.own_file import OwnFile

FIRST_TASKS = ("mortality", "los")
"""Outcomes of a hospital that a new study begins with."""
MIN_CLASS_SIZE = 10
ROLES_OF_NOTES = ("id", "text", "patient")
SPLITS = {"time": "{temporal: {validation: DATE, test: DATE}}", "site": "{site: {validation: [B], test: [C]}}"}
"""Roles that only a split of their own needs."""


@dataclass(frozen=True, kw_only=True)
class NewStudy:
    """What a new study is made of.

    Attributes:
        name: Its name.
        table: Notes with an outcome, or None.
        notes: Notes alone, or None.
        reads_note_file: Whether `notes` fit `data.note_files`; else they become a table.
        folders: Folders of MIMIC by key of section `data`.
        base: `tiny`, `smollm2`, a folder, or `OWNER/NAME` on the Hugging Face Hub.
        title: Title of the own outcome; None derives it from the column.
        tracking_uri: Shared MLflow store; None for one of the study's own.
    """

    name: str
    table: OwnFile | None = None
    notes: OwnFile | None = None
    reads_note_file: bool = True
    folders: Mapping[str, Path] = field(default_factory=dict)
    base: str = "tiny"
    title: str | None = None
    tracking_uri: str | None = None

    @property
    def source(self) -> str:
        """Source of the cohorts of MIMIC."""
        return "mimic-iv" if "mimic_iv" in self.folders and "mimic_iii" not in self.folders else "mimic-iii"

    @property
    def has_mimic_cohorts(self) -> bool:
        """Whether the folders hold outcomes: those of MIMIC-IV stand beside its notes."""
        return "mimic_iii" in self.folders or {"mimic_iv", "mimic_iv_note"} <= self.folders.keys()

    @property
    def corpus(self) -> str:
        """Notes that train the adapter."""
        own = self.notes or self.table
        if own is not None:
            return corpus_name(own.path)
        return "mimic-iv" if "mimic_iv_note" in self.folders else "mimic-iii"

    @property
    def task(self) -> str | None:
        """Name of the own outcome."""
        return None if self.table is None else task_name(self.table.columns["label"])

    @property
    def tasks(self) -> list[str]:
        """Outcomes that the study runs."""
        return [*([self.task] if self.task else []), *(FIRST_TASKS if self.has_mimic_cohorts else ())]


def write_new_study(new: NewStudy, path: Path) -> Study:
    """Write the file of a new study.

    Args:
        new: What it is made of.
        path: File to write; one that exists is never replaced.

    Returns:
        The study.

    Raises:
        ConfigError: The file exists or cannot be written, or the study would not be valid.
        DataError: A folder of MIMIC lacks a table that the study reads.
    """
    text = compose_study(new)
    study = load_study(yaml.safe_load(text))
    for need in needed_tables(study):
        need.check()
    try:
        with path.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already and is not replaced; choose another with --output") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another with --output") from None
    return study


def compose_study(new: NewStudy) -> str:
    """Return the text of a new study's file.

    Args:
        new: What it is made of.

    Raises:
        ConfigError: It has no notes, or tables without their notes.
    """
    if new.table is None and new.notes is None and not new.folders:
        raise ConfigError("expected notes to learn from, found none; give --table, --notes or a folder of MIMIC")
    if "mimic_iv" in new.folders and "mimic_iv_note" not in new.folders:
        raise ConfigError("--mimic-iv: expected the notes of its admissions too; give --mimic-iv-note")
    recipe = recipe_of_base(new.base)
    parts = [_head(new), _data(new), _tasks(new), _networks(new, recipe), _matrix(new, recipe), _tracking(new)]
    return "\n".join(part for part in parts if part)


def _head(new: NewStudy) -> str:
    return (
        "# Written by `clinical-peft init`. Every key stands in config/README.md.\n"
        f"study: {_value(new.name)}            # results go to results/{new.name}\n"
        "extends: none             # this file says it all; nothing is inherited from config/config.yaml\n"
    )


def _data(new: NewStudy) -> str:
    lines = ["data:"]
    lines += [f"  {key}: {_value(str(folder))}" for key, folder in new.folders.items()]
    tables = [each for each in (new.table, None if new.reads_note_file else new.notes) if each is not None]
    if tables:
        lines.append("  tables:")
        for file in tables:
            lines += _table(file)
    if new.notes is not None and new.reads_note_file:
        lines += ["  note_files:", f"    {corpus_name(new.notes.path)}:", f"      path: {_value(str(new.notes.path))}"]
        keys = {"id": "id_column", "text": "text_column", "patient": "subject_column"}
        columns = [(keys[role], new.notes.columns[role]) for role in ROLES_OF_NOTES if role in new.notes.columns]
        lines += [f"      {key}: {_value(column)}" for key, column in columns]
    if new.has_mimic_cohorts:
        lines.append(f"cohorts: {{source: {new.source}}}    # where outcomes come from")
    return "\n".join([*lines, ""])


def _table(file: OwnFile) -> list[str]:
    columns = file.columns
    lines = [f"    {corpus_name(file.path)}:", f"      path: {_value(str(file.path))}"]
    lines += [f"      {role}: {_value(columns[role])}" for role in ROLES_OF_NOTES if role in columns]
    if "patient" not in columns:
        lines.append("      # patient: COLUMN        # without it, near-duplicate notes are those of one patient")
    for role, split in SPLITS.items():
        if role in columns:
            mark = "" if role in file.asked else "# "
            lines.append(f"      {mark}{role}: {_value(columns[role])}    # for split: {split}")
    return [*lines, "      # split: {column: COLUMN}  # default: 70 % of patients train, 10 % validate, 20 % test"]


def _tasks(new: NewStudy) -> str:
    lines = ["tasks:"]
    if new.table is not None:
        label = new.table.label
        assert label is not None
        title = new.title or new.table.columns["label"].replace("_", " ").strip().capitalize()
        lines += [
            f"  {new.task}:",
            f"    title: {_value(title)}",
            f"    type: {label.type}",
            f"    table: {corpus_name(new.table.path)}",
            f"    label_column: {_value(new.table.columns['label'])}",
        ]
        if label.classes:
            lines.append(f"    classes: {_value(list(label.classes))}    # the second is the positive one")
        elif label.type == "binary":
            lines.append("    # classes: [NEGATIVE, POSITIVE]   # default: sorted, and the second is the positive one")
        else:
            lines.append(f"    min_class_size: {MIN_CLASS_SIZE}    # training rows that a class needs")
    if new.has_mimic_cohorts:
        lines += [f"  {name}: {{}}" for name in FIRST_TASKS]
        lines.append("  # pmv, diagnoses and procedures are defined likewise; add them to matrix.tasks too")
    return "\n".join([*lines, ""]) if len(lines) > 1 else ""


def _networks(new: NewStudy, recipe: Recipe) -> str:
    """Bases, methods, the adapter, models and recipes."""
    name, corpus = recipe.name, new.corpus
    adapter = f"{name}-{corpus}"
    lines = [
        "bases:",
        *(f"  # {remark}" for remark in recipe.remarks),
        f"  {name}: {_value(recipe.base)}",
        "methods:",
        f"  lora: {_value(recipe.adapter_method)}",
        f"  task-lora: {_value(recipe.task_method)}" if new.tasks else "",
        "adapters:",
        f"  {adapter}: {{base: {name}, method: lora, corpus: {corpus}}}    # the base, adapted to your notes",
    ]
    lines += _models(new, recipe, adapter) if new.tasks else []
    lines += [f"{section}: {_value(values)}" for section, values in recipe.sections.items()]
    return "\n".join([*filter(None, lines), ""])


def _models(new: NewStudy, recipe: Recipe, adapter: str) -> list[str]:
    """The base with a head and with a task LoRA, each unadapted and adapted to the notes, beside TF-IDF."""
    name, label = recipe.name, recipe.base["label"]
    head = {"recipe": recipe.head} if recipe.head else {}
    task = {"task_method": "task-lora"}
    adapted = {"base": name, "clinical": adapter, "clinical_mode": "frozen"}
    models: dict[str, dict[str, Any]] = {
        "tfidf": {"kind": "tfidf", "label": "TF-IDF + logistic regression"},
        name: {"base": name, "label": label, **head},
        f"{name}+lora": {"base": name, **task, "label": f"{label} + LoRA"},
        f"{name}+notes": {**adapted, "label": f"{label} after the notes", **head},
        f"{name}+notes+lora": {**adapted, **task, "label": f"{label} after the notes + LoRA"},
    }
    return ["models:", *(f"  {key}: {_value(entry)}" for key, entry in models.items())]


def _matrix(new: NewStudy, recipe: Recipe) -> str:
    name, tasks = recipe.name, new.tasks
    models = ["tfidf", *(f"{name}{suffix}" for suffix in ("", "+lora", "+notes", "+notes+lora"))] if tasks else []
    return "\n".join(
        [
            "matrix:                   # what runs, chosen from the entries above",
            f"  adapters: [{name}-{new.corpus}]",
            f"  models: {_value(models)}",
            f"  tasks: {_value(tasks)}",
            "  seeds: [0]              # [0, 1, 2] shows what another seed changes",
            "",
        ]
    )


def _tracking(new: NewStudy) -> str:
    if new.tracking_uri is not None:
        return f"tracking: {{uri: {_value(new.tracking_uri)}}}    # studies with one store are compared in MLflow\n"
    return "# tracking: {uri: sqlite:////data/mlflow.db}   # one MLflow store for several studies, to compare them\n"


def _value(value: str | Sequence[Any] | Mapping[str, Any]) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()
