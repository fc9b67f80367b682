"""Jobs as JSON-ready mappings and back, on the standard library alone, as a compute node may hold no more.

The configuration (`clinical_peft.config`) has validated what a record holds; here the values go into their classes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from clinical_peft.recipes import FinetuneJob, PoolJob, PretrainJob

Job = TypeVar("Job", PretrainJob, FinetuneJob, PoolJob)


def as_record(job: PretrainJob | FinetuneJob | PoolJob) -> dict[str, Any]:
    """A job as JSON-ready mapping, for recipes, metrics files and reruns."""
    record: dict[str, Any] = json.loads(json.dumps(asdict(job)))
    return record


def job_from_record(kind: type[Job], record: Mapping[str, Any]) -> Job:
    """Rebuild a job from `as_record`; what a recipe says beside it, such as its search, is left out.

    Raises:
        TypeError: A part of the job has an unknown key, or one is missing.
        ValueError: A value is out of its range, or a method is unknown.
    """
    names = [field.name for field in fields(kind)]
    job: Job = _built(kind, {name: record[name] for name in names if name in record})
    return job


def _built(hint: Any, value: Any) -> Any:
    """Put a value of a record into the class that a type hint names; a method's among several by its `type`."""
    if isinstance(value, list):
        return tuple(value)
    classes: list[Any] = [option for option in (hint, *get_args(hint)) if is_dataclass(option)]
    if not isinstance(value, Mapping) or not classes:
        return value
    named = [option for option in classes if value.get("type") == getattr(option, "type", None)]
    if len(named) != 1:
        raise ValueError(f"type: expected one of {[getattr(option, 'type', None) for option in classes]}")
    hints = get_type_hints(named[0])
    return named[0](**{key: _built(hints.get(key), below) for key, below in value.items()})
