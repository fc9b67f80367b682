"""Search spaces and what a point of one does to a training job. Pure functions, no Optuna."""

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar

from clinical_peft.recipes import FinetuneJob, PretrainJob

Value = bool | int | float | str | None
Point = dict[str, Value]
Sampler = Literal["tpe", "grid"]
Pruner = Literal["median", "none"]
Job = TypeVar("Job", PretrainJob, FinetuneJob)

# They decide what all trials of a search share (tokens, forward passes) or the metric that trials are compared by.
SHARED_BY_TRIALS = {
    "context",
    "precision",
    "threads",
    "micro_batch_size",
    "micro_batch_tokens",
    "evaluations",
    "evaluation_tokens",
    "train_evaluation_tokens",
    "checkpoint_seconds",
    "selection",
}
PERPLEXITY = "validation_perplexity"
NOT_SEARCHED = {"type", "target_modules"}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A parameter that takes any value between two ends, both included; whole numbers where both ends are.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Draw on a logarithmic scale.
    """

    low: int | float
    high: int | float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"expected low below high, found {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale needs a positive low, found {self.low}")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A parameter that takes one of some values."""

    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Search:
    """Everything that decides a search, apart from the job that it completes and its input files.

    Attributes:
        space: Name of the space.
        parameters: What a trial may choose, by `settings.NAME` (of the PEFT method) or `recipe.NAME`.
        sampler: `tpe` (Bergstra et al. 2011) learns from finished trials; `grid` takes points in an order drawn once,
            so that a grid cut short by `trials` leaves out no corner of the space.
        pruner: `median` ends a trial whose best metric so far is worse than the median of completed trials at the same
            epoch or evaluation (Golovin et al. 2017); `none` ends no trial.
        trials: Trials in all, pruned and failed ones included; a finite space may hold fewer points.
        seed: Seed of the sampler, and of the fine-tuning of every trial.
        workers: Jobs that share the trials.
        metric: Validation metric to optimise: `validation_perplexity`, or `validation_` and the compared metric.
    """

    space: str
    parameters: dict[str, Choices | Interval]
    sampler: Sampler
    pruner: Pruner
    trials: int
    seed: int
    workers: int
    metric: str

    @property
    def maximises(self) -> bool:
        """Whether higher values are better."""
        return self.metric != PERPLEXITY

    @property
    def points(self) -> int | None:
        """Number of points of the space, or None where a parameter is continuous or an interval."""
        if any(isinstance(domain, Interval) for domain in self.parameters.values()):
            return None
        return math.prod(len(domain.values) for domain in self.parameters.values() if isinstance(domain, Choices))

    @property
    def planned_trials(self) -> int:
        """Trials that will run: no point is tried twice."""
        return self.trials if self.points is None else min(self.trials, self.points)

    @property
    def planned_workers(self) -> int:
        """Jobs that will share the trials: none without a trial."""
        return min(self.workers, self.planned_trials)

    def trials_of_worker(self, worker: int) -> range:
        """Trials of one worker, by number: every `workers`-th, so that workers need no agreement on who runs what."""
        return range(worker, self.planned_trials, self.planned_workers)


def grid(search: Search) -> list[Point]:
    """Every point of a finite space, in an order drawn from the search's seed.

    Raises:
        ValueError: A parameter is an interval.
    """
    columns: list[tuple[Value, ...]] = []
    for name, domain in search.parameters.items():
        if isinstance(domain, Interval):
            raise ValueError(f"{name}: a grid needs a list of values, found an interval")
        columns.append(domain.values)
    points = [dict(zip(search.parameters, values, strict=True)) for values in itertools.product(*columns)]
    random.Random(search.seed).shuffle(points)
    return points


def random_point(search: Search, draw: random.Random) -> Point:
    """Draw a point, every parameter independently and uniformly."""
    return {name: _draw(domain, draw) for name, domain in search.parameters.items()}


def _draw(domain: Choices | Interval, draw: random.Random) -> Value:
    if isinstance(domain, Choices):
        return draw.choice(domain.values)
    low, high = domain.low, domain.high
    value = math.exp(draw.uniform(math.log(low), math.log(high))) if domain.log else draw.uniform(low, high)
    return min(max(round(value), low), high) if isinstance(low, int) and isinstance(high, int) else value


def searchable(job: PretrainJob | FinetuneJob) -> list[str]:
    """Names of the parameters of a job that a space may hold."""
    method = job.method if isinstance(job, PretrainJob) else job.task_method
    settings = [] if method is None else [field.name for field in fields(method) if field.name not in NOT_SEARCHED]
    recipe = [field.name for field in fields(job.recipe) if field.name not in SHARED_BY_TRIALS]
    return [*(f"settings.{name}" for name in settings), *(f"recipe.{name}" for name in recipe)]


def apply_point(job: Job, point: Mapping[str, Value]) -> Job:
    """Return a job with its values replaced by those of a point.

    Args:
        job: Resolved job.
        point: Values by `settings.NAME` or `recipe.NAME`.

    Raises:
        ValueError: The job has no such parameter, or a value is outside its range.
    """
    known = searchable(job)
    for name in point:
        if name not in known:
            raise ValueError(f"{name}: no parameter of this job; expected one of {', '.join(known)}")
    settings, recipe = _part(point, "settings"), _part(point, "recipe")
    changed = replace(job, recipe=replace(job.recipe, **recipe))
    if not settings:
        return changed
    if isinstance(changed, PretrainJob):
        return replace(changed, method=replace(changed.method, **settings))
    assert changed.task_method is not None
    return replace(changed, task_method=replace(changed.task_method, **settings))


def _part(point: Mapping[str, Value], part: str) -> dict[str, Any]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in point.items() if name.startswith(prefix)}


def as_record(search: Search) -> dict[str, Any]:
    """A search as JSON-ready mapping: a parameter is a list of values, or a mapping of an interval's ends."""
    parameters = {
        name: list(domain.values) if isinstance(domain, Choices) else asdict(domain)
        for name, domain in search.parameters.items()
    }
    return {**asdict(search), "parameters": parameters}


def from_record(record: Mapping[str, Any]) -> Search:
    """Rebuild a search from `as_record`."""
    parameters = {
        name: Interval(**domain) if isinstance(domain, Mapping) else Choices(values=tuple(domain))
        for name, domain in record["parameters"].items()
    }
    return Search(**{**record, "parameters": parameters})
