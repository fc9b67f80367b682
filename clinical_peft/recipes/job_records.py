"""Jobs as JSON-ready mappings and back, on the standard library alone, as a compute node may hold no more.

The configuration (`clinical_peft.config`) has validated what a record holds; here the values go into their classes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from clinical_peft.recipes import IDLE_KEYS, FinetuneJob, FinetuneRecipe, MeasureJob, PoolJob, PretrainJob
from clinical_peft.recipes.families import find_family
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.recipes.switches import SWITCHES, switch_on
from clinical_peft.recipes.variants import variant_of

Job = TypeVar("Job", PretrainJob, MeasureJob, FinetuneJob, PoolJob)
AnyJob = PretrainJob | MeasureJob | FinetuneJob | PoolJob

# Fields that a record holds where they are set, so that records of jobs without them stay as they were. So does
# `pooling`, which a record holds where it is not the default.
ONLY_WHERE_SET = ("task_type", "train_size", "clinical_method")


def as_record(job: AnyJob) -> dict[str, Any]:
    """A job as JSON-ready mapping, for recipes, metrics files and reruns."""
    record: dict[str, Any] = json.loads(json.dumps(asdict(job)))
    for name in ("method", "task_method", "clinical_method"):
        method = getattr(job, name, None)
        if method is not None:
            record[name] = method.record()
    for holder in (record, record.get("recipe", {})):
        if holder.get("pooling") == FinetuneRecipe.pooling:
            del holder["pooling"]
    return {key: value for key, value in record.items() if key not in ONLY_WHERE_SET or value is not None}


def read_record(job: AnyJob) -> dict[str, Any]:
    """The part of a job's record that its result depends on; a workflow runs the job again when it changes.

    It has no time between checkpoints, no switch that the job does not read, and no key of the recipe that its kind of
    model does not use: TF-IDF has no learning rate, and a head alone has none but its own.

    Args:
        job: Resolved job.

    Returns:
        A record from which `job_from_record` makes a job with the same result.

    Raises:
        ConfigError: The job lacks a switch that it reads.
    """
    record = as_record(job)
    record["switches"] = {name: switch_on(job.switches, name) for name in SWITCHES if reads_switch(job, name)}
    if not isinstance(job, PoolJob):
        unused = _unused_keys(job)
        record["recipe"] = {key: value for key, value in record["recipe"].items() if key not in unused}
    if isinstance(job, FinetuneJob):
        record["recipe"]["threads"] = find_kind(job.kind).threads or job.recipe.threads
    return record


def _unused_keys(job: PretrainJob | MeasureJob | FinetuneJob) -> set[str]:
    """Keys of a job's recipe on which no result depends."""
    unused = {*IDLE_KEYS}
    if isinstance(job, PretrainJob | MeasureJob):
        return unused
    read = find_kind(job.kind).recipe_keys
    if read is not None:
        unused |= {field.name for field in fields(FinetuneRecipe)}.difference(read)
        if job.recipe.compared != FinetuneRecipe.selection:  # by which a penalty is chosen, unless it says otherwise
            unused.discard("selection")
    elif variant_of(job).head_only and job.recipe.head_learning_rate is not None:
        unused.add("learning_rate")
    if job.type == "multilabel":
        unused.add("class_weights")
    return unused


def reads_switch(job: AnyJob, name: str) -> bool:
    """Whether a job's result may depend on a switch."""
    switch = SWITCHES[name]
    if isinstance(job, PoolJob):
        return switch.only_for == "decoder"
    if isinstance(job, PretrainJob | MeasureJob):
        return "adapter" in switch.stages
    if "model" not in switch.stages or not switch.is_for_task(job.described_task):
        return False
    concerns = find_kind(job.kind).concerns
    if concerns is not None:
        return switch.concern in concerns
    if switch.only_for == "two adapters":
        return job.task_method is not None and job.clinical_mode in ("frozen", "trainable")
    return switch.only_for != "decoder" or (job.family is not None and find_family(job.family).is_decoder)


def has_switch_on(job: AnyJob, name: str) -> bool:
    """Whether a job has a switch on; one that it does not read is off.

    Raises:
        ConfigError: The job lacks a switch that it reads.
    """
    return reads_switch(job, name) and switch_on(job.switches, name)


def job_from_record(kind: type[Job], record: Mapping[str, Any]) -> Job:
    """Rebuild a job from `as_record` or `read_record`; other keys of a recipe file, such as `search`, are ignored.

    Keys of the recipe that `read_record` drops get their defaults.

    Raises:
        TypeError: A part of the job has an unknown key, or one is missing.
        ValueError: A value is out of its range, or a method is unknown.
    """
    names = [field.name for field in fields(kind)]
    values = {name: record[name] for name in names if name in record}
    if kind is FinetuneJob and "learning_rate" not in values["recipe"]:
        values["recipe"] = {"learning_rate": values["recipe"].get("head_learning_rate") or 1.0, **values["recipe"]}
    job: Job = _built(kind, values)
    return job


def _type_field(kind: Any) -> str | None:
    """What a class says in its field `type`, by which a record names it; None for one without."""
    found = [field.default for field in fields(kind) if field.name == "type"]
    return str(found[0]) if found else None


def _built(hint: Any, value: Any) -> Any:
    """Put a value of a record into the class that a type hint names; a method's among several by its `type`."""
    if isinstance(value, list):
        return tuple(value)
    classes: list[Any] = [option for option in (hint, *get_args(hint)) if is_dataclass(option)]
    if not isinstance(value, Mapping) or not classes:
        return value
    named = [option for option in classes if value.get("type") == _type_field(option)]
    if len(named) != 1:
        raise ValueError(f"type: expected one of {list(map(_type_field, classes))}")
    hints = get_type_hints(named[0])
    return named[0](**{key: _built(hints.get(key), below) for key, below in value.items()})
