"""Which key of a study a job's parameter comes from, so that a rerun can be put down to a line of the study file."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.config.ablations import plain
from clinical_peft.config.defaults import BUILT_IN
from clinical_peft.config.experiments import finetune_layers, pretrain_layers
from clinical_peft.config.study import Study

PLACES: Mapping[str, str] = {
    "adjusted": "cohorts.ventilation",
    "artifacts": "tracking.artifacts",
    "bootstrap_seed": "evaluation.seed",
    "classes": "matrix.tasks",
    "columns": "data.note_files.{corpus}",
    "config": "",
    "context": "pretraining.context",
    "corpora": "matrix.adapters",
    "corpus": "adapters",
    "crossing_allowed": "data.pmv_split",
    "drop_stated_outcomes": "leakage.drop_stated_outcomes",
    "fail_on_stated_outcomes": "leakage.fail_on_stated_outcomes",
    "family": "bases.{base}.family",
    "flattened": "switches.notes_flattened",
    "folders": "data",
    "forbidden": "contamination",
    "groups": "matrix.models",
    "has_paper_cohorts": "data",
    "hospital": "data",
    "hub": "hub",
    "icd": "cohorts.icd",
    "labels": "models",
    "listed": "data.carevue_patients",
    "max_characters": "bases",
    "metric": "evaluation.metric",
    "mimic_iii": "data.mimic_iii",
    "mlflow": "tracking.uri",
    "model": "gaps.model",
    "models": "matrix.models",
    "note_folder": "data",
    "patients_apart": "contamination",
    "pmv_split": "data.pmv_split",
    "precision": "pretraining.precision",
    "protocol": "protocol",
    "register": "tracking.register_adapters",
    "repetition": "leakage",
    "resamples": "evaluation.resamples",
    "runs": "matrix",
    "salt": "data.split_salt",
    "search": "search",
    "seed": "seed",
    "seeds": "matrix.seeds",
    "settings": "",
    "size": "synthetic.size",
    "source": "cohorts.source",
    "sources": "bases",
    "split_salt": "data.split_salt",
    "splits": "data.splits",
    "study": "",
    "switches": "switches",
    "synthetic": "data",
    "table": "data.tables.{table}",
    "tables": "data",
    "task": "tasks",
    "tasks": "tasks",
    "truncate_and_pad": "switches.truncate_and_pad",
    "untouched": "matrix.tasks",
    "uri": "tracking.uri",
    "whole_release": "data.whole_release",
    "with_patients": "data",
}
"""Key of the study by name of a parameter; what varies within a parameter follows it."""

PLACES_OF_RULES: Mapping[tuple[str, str], str] = {
    ("synthesise_hospital", "seed"): "synthetic.seed",
    ("train_base", "source"): "bases.{base}.source",
    ("import_base", "source"): "bases.{base}.source",
    ("import_adapter", "source"): "adapters.{adapter}.path",
    ("build_table_cohort", "table"): "data.tables",
}
"""The same where a rule means something else by a name."""

NO_KEY = ("work", "checkpoint_seconds")
"""Parameters that no key changes, or none that makes a job run again."""

OF_LIBRARY = "no key of the study: the library describes studies in other words"
"""Cause of a job whose description of the study has changed, where no key of that name exists."""

SPELLINGS: Mapping[str, str] = {
    "leakage.threshold": "leakage.near_duplicate_threshold",
    "evaluation.selection": "evaluation.metric",
}
"""Keys of records that a study spells otherwise."""


def study_key(study: Study, rule: str, wildcards: Mapping[str, str], name: str, path: Sequence[str] = ()) -> str:
    """Name the key of a study that decides a part of a job's parameter.

    Args:
        study: The study as it is now.
        rule: The job's rule.
        wildcards: Its wildcards.
        name: Name of the parameter.
        path: Keys within it.

    Returns:
        The dotted key. Where several places can set it, the narrowest that does, or the widest if none does.
    """
    if name == "job":
        return _key_of_job(study, wildcards, path)
    place = PLACES_OF_RULES.get((rule, name), PLACES.get(name, name))
    if not place and (not path or path[0] not in Study.model_fields):
        return OF_LIBRARY
    names = {key: plain(value) for key, value in wildcards.items()}
    dotted = ".".join(filter(None, [place.format_map(_Names(names)), *path]))
    return SPELLINGS.get(dotted, dotted)


class _Names(dict[str, str]):
    """Wildcards, with a star for one that a job does not have."""

    def __missing__(self, key: str) -> str:
        return "*"


def _key_of_job(study: Study, wildcards: Mapping[str, str], path: Sequence[str]) -> str:
    """Name the key behind a part of a job's record: its recipe, its method, its switches or the model itself."""
    part, below = (path[0] if path else "", ".".join(path[1:]))
    model, task, adapter = (plain(wildcards.get(name, "")) for name in ("model", "task", "adapter"))
    if part in ("seed", "general_salt", "split_salt"):
        return "seed" if part == "seed" else "data.split_salt"
    if part == "switches":
        return f"switches.{below}"
    if part == "train_size":
        return "matrix.train_sizes"
    if adapter in study.adapters:
        method = f"methods.{study.adapters[adapter].method}"
        own = f"{method}.settings.{below}" if part == "method" else f"adapters.{adapter}.{part}"
        if study.adapters[adapter].is_measured:
            return f"pretraining.{below}" if part == "recipe" and below else own
        return _narrowest(pretrain_layers(study, adapter), path[1]) if part == "recipe" and below else own
    if model not in study.models:  # a set of pooled features, whose recipe is everyone's
        return f"finetuning.{part}"
    if part == "recipe" and below:
        key = _narrowest(finetune_layers(study, model, task), path[1])
        return "evaluation.metric" if key == "finetuning.selection" and "selection" not in study.finetuning else key
    return _key_of_model(study, model, task, part, below)


def _key_of_model(study: Study, model: str, task: str, part: str, below: str) -> str:
    entry = study.models[model]
    if part == "task_method" and below:
        is_of_task = below.partition(".")[0] in study.tasks[task].task_adapter
        return f"tasks.{task}.task_adapter.{below}" if is_of_task else f"methods.{entry.task_method}.settings.{below}"
    if part == "clinical_method" and entry.clinical in study.adapters:
        return f"methods.{study.adapters[entry.clinical].method}.settings.{below}"
    if part == "family":
        return f"models.{model}.base"
    return f"tasks.{task}.type" if part == "task_type" else f"models.{model}.{part}"


def _narrowest(layers: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """The narrowest place that sets a key of a recipe; the widest that could where none does."""
    places = [place for place in layers if place != BUILT_IN]
    found = [place for place in places if key in layers[place]]
    return f"{found[-1] if found else places[0]}.{key}"
