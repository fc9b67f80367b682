"""Why jobs of a study would run again: which line of the study file, or which file, each of them waits for.

Snakemake decides which jobs run (`clinical_peft.cli.dry_run` asks it) and keeps the parameters of every finished job.
Here the parameters of then and now are compared, and differences put down to keys of the study.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_peft.config.study import Study
from clinical_peft.errors import DataError
from clinical_peft.workflow.study_keys import NO_KEY, study_key

ABSENT = "none"
_LONGEST_VALUE = 60
_MOST_TITLES = 12
_SUMMARIES = ("settings", "study", "labels", "tasks")
"""Parameters that say in other words what `config`, the whole study, says too."""


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job that would run.

    Attributes:
        rule: Its rule.
        wildcards: Its wildcards by name.
        params: Today's value, as Python writes it, of each parameter that differs from the last run's.
        before: Values of the last run that differ from today's; Snakemake keeps no names.
        newer: Inputs that are newer than the outputs and that no other job writes anew.
        missing: Outputs that are not there.
        is_interrupted: Whether its last run was interrupted.
        has_other_inputs: Whether the job reads other files than before.
    """

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    newer: Sequence[str] = ()
    missing: Sequence[str] = ()
    is_interrupted: bool = False
    has_other_inputs: bool = False

    @property
    def title(self) -> str:
        """The rule and what it runs for."""
        return " ".join([self.rule, *self.wildcards.values()])


@dataclass(frozen=True)
class Reruns:
    """Why jobs would run.

    Attributes:
        causes: Titles of the jobs by what makes them run, in a line.
        following: Numbers of the other jobs by rule: they read what these write.
    """

    causes: Mapping[str, Sequence[str]]
    following: Mapping[str, int]


def require_results(results: Path, study: Path) -> None:
    """Refuse to explain the jobs of a study that never ran.

    Args:
        results: Folder of its results.
        study: Its file.

    Raises:
        DataError: The folder is missing or holds no results.
    """
    if not results.is_dir() or not any(path.is_file() for path in results.rglob("*")):
        raise DataError(
            f"{study}: expected results in {results}, found none, so every job would run; "
            f"run it first (`clinical-peft run {study}`)"
        )


def explain_reruns(study: Study, jobs: Iterable[PlannedJob]) -> Reruns:
    """Put the jobs that would run down to their causes.

    Args:
        study: The study as it is now.
        jobs: Jobs that would run.

    Returns:
        Causes, those of most jobs first. A job with two causes stands under both.
    """
    causes: dict[str, list[str]] = {}
    changes: dict[str, str] = {}
    following: Counter[str] = Counter()
    for job in jobs:
        changed = list(_changes(study, job))
        for key, before, after in changed:
            # A report keeps no defaults, so that it may not know what a key was before.
            if before is not None or key not in changes:
                changes[key] = f"{key}: {_shown(before)} -> {_shown(after)}"
        own = [*_other_causes(job, explained=bool(changed)), *(key for key, _, _ in changed)]
        following.update([] if own else [job.rule])
        for cause in dict.fromkeys(own):
            causes.setdefault(cause, []).append(job.title)
    order = sorted(causes, key=lambda cause: (-len(causes[cause]), cause))
    return Reruns(
        {changes.get(cause, cause): sorted(causes[cause]) for cause in order}, dict(sorted(following.items()))
    )


def _other_causes(job: PlannedJob, *, explained: bool) -> Iterator[str]:
    """What makes a job run, other than a parameter.

    Args:
        job: The job.
        explained: Whether a parameter makes it run, which may change its inputs too.
    """
    if job.is_interrupted:
        yield "interrupted before it was done"
    elif job.missing:
        yield "not made yet"
    for path in job.newer:
        yield f"{path} is newer than what was made from it"
    if job.has_other_inputs and not explained and not (job.missing or job.is_interrupted):
        yield "matrix, or a name in the study: reads other files than before"


def _changes(study: Study, job: PlannedJob) -> Iterator[tuple[str, Any, Any]]:
    """Each key of the study whose value differs from that of the job's last run, with both values."""
    left = [_value(text) for text in job.before]
    for name, text in job.params.items():
        new = _value(text)
        old = _counterpart(new, left)
        if old is not None:
            left.remove(old)
        if name in NO_KEY or (name in _SUMMARIES and "config" in job.params):
            continue
        for path, before, after in _differences(old, new):
            yield study_key(study, job.rule, job.wildcards, name, path), before, after


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):  # of an object that is no literal
        return text


def _counterpart(new: Any, candidates: Sequence[Any]) -> Any:
    """The earlier value of a parameter: of the same kind, and with most in common."""
    alike = [each for each in candidates if type(each) is type(new)] or [
        each for each in candidates if not isinstance(each, Mapping | list) and not isinstance(new, Mapping | list)
    ]
    return max(alike, key=lambda each: _in_common(each, new), default=None)


def _in_common(old: Any, new: Any) -> int:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return sum(1 + (old[key] == new[key]) for key in old.keys() & new.keys())
    return int(old == new)


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Places at which two values differ, with both; lists of named records are compared by name."""
    old, new = _by_name(old), _by_name(new)
    if isinstance(new, Mapping) and isinstance(old, Mapping | None):
        earlier = old or {}
        for key in dict.fromkeys([*earlier, *new]):
            yield from _differences(earlier.get(key), new.get(key), (*path, str(key)))
    elif old != new:
        yield path, old, new


def _by_name(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(each, Mapping) and "name" in each for each in value):
        return {each["name"]: each for each in value}
    return value


def _shown(value: Any) -> str:
    text = ABSENT if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def render_reruns(study: Study, reruns: Reruns) -> str:
    """Return the explanation as text.

    Args:
        study: The study.
        reruns: What `explain_reruns` returned.
    """
    if not reruns.causes and not reruns.following:
        return f"Study {study.study}: nothing would run again."
    jobs = {title for titles in reruns.causes.values() for title in titles}
    total = len(jobs) + sum(reruns.following.values())
    lines = [f"Study {study.study}: {total} job{'' if total == 1 else 's'} would run."]
    for cause, titles in reruns.causes.items():
        shown = titles if len(titles) <= _MOST_TITLES else titles[: _MOST_TITLES - 1]
        lines += ["", cause, *(f"    {title}" for title in shown)]
        lines += [f"    and {len(titles) - len(shown)} more"] if len(shown) < len(titles) else []
    if reruns.following:
        counts = ", ".join(f"{rule} ({count})" for rule, count in reruns.following.items())
        lines += ["", "because they read what these jobs write", f"    {counts}"]
    return "\n".join(lines)
