"""How long a study will take: a range for each base, adapter and model on a task, and for the whole.

Speeds are those of finished jobs on this machine where there are any, otherwise that of the study's `budget`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from clinical_peft.config import experiments
from clinical_peft.config.ablations import ablation_inputs, plain
from clinical_peft.config.selected_adapters import adapters_on_notes
from clinical_peft.config.study import Study
from clinical_peft.config.train_sizes import sized_runs
from clinical_peft.runtime.provenance import machine
from clinical_peft.workflow.measured_speeds import Measured, measured_speeds
from clinical_peft.workflow.plan import (
    adapter_tokens,
    base_parameters,
    base_tokens,
    cohort_rows,
    feature_tokens,
    run_tokens,
)
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_files import StudyFiles

ALIKE = 2.0
"""Networks within this factor of parameters are as fast as one another, but for what was measured."""
UNLIKE = 3.0
"""What a speed carried over to a network of another size is uncertain by, up and down."""
FARTHEST = 30.0
"""Speeds are carried over between networks within this factor of parameters."""
OF_BUDGET = 2.0
"""What the speed of `budget`, which nobody measured, is uncertain by."""
FEW = 4
"""Fewer measurements give no quartiles."""
SHORTEST = 0.5
"""Least share of the planned tokens: notes may be shorter than the context."""
STARTUP = (5.0, 30.0)
"""Seconds that a job takes beside its training where none was measured."""
SECONDS_OF_ROW = (0.0005, 0.01)
"""Of a model without a network, likewise."""
_STAGES_WITHOUT_TRAINING = ("data", "tokens", "evaluation")


@dataclass(frozen=True)
class PlannedTime:
    """The time of a part of a study.

    Attributes:
        part: What it is.
        low: Seconds at least.
        high: Seconds at most.
        is_measured: Whether finished jobs on this machine tell it.
    """

    part: str
    low: float
    high: float
    is_measured: bool


def plan_times(study: Study, results: Path) -> list[PlannedTime]:
    """Estimate the time of every part of a study, each by itself on this machine.

    Args:
        study: The study.
        results: The folder of all studies, whose finished jobs tell speeds.

    Returns:
        Parts in the order of the workflow.
    """
    clock = _Clock(study, measured_speeds(results, machine()))
    return list(_parts(study, clock))


def _parts(study: Study, clock: "_Clock") -> Iterator[PlannedTime]:
    outputs = planned_outputs(StudyFiles(study))
    for stage in _STAGES_WITHOUT_TRAINING[:-1]:
        if outputs[stage]:
            yield clock.jobs(stage, len(outputs[stage]))
    for base in experiments.bases_in_use(study):
        yield clock.training(f"base {base}", base, base_tokens(study, base))
    extra = ablation_inputs(study)
    for adapter in (*adapters_on_notes(study), *extra.adapters):
        base = study.adapters[plain(adapter)].base
        yield clock.training(f"adapter {adapter}", base, adapter_tokens(study, adapter))
    sets = experiments.feature_sets(study)
    for name in experiments.feature_sets_in_use(study):
        pooling_base = study.models[sets[name][0]].base
        assert pooling_base is not None
        yield clock.training(f"notes pooled by {name}", pooling_base, feature_tokens(study, name))
    for model, task in (*experiments.runs_in_use(study), *sized_runs(study), *extra.runs):
        part, model_base = f"{model} on {task}", study.models[plain(model)].base
        if model_base is None:
            yield clock.classical(part, cohort_rows(study, plain(task))[1] * len(study.matrix.seeds))
        else:
            yield clock.training(part, model_base, run_tokens(study, model, task))
    yield clock.jobs("evaluation", len(outputs["evaluation"]))


class _Clock:
    """Turns tokens, rows and jobs into ranges of time.

    Args:
        study: The study.
        measured: What finished jobs took.
    """

    def __init__(self, study: Study, measured: Measured) -> None:
        self._study = study
        self._measured = measured
        # A CPU says nothing of the GPU that a study is planned for.
        self._tells_budget = "CPU" in study.budget.device or "accelerators" in machine()
        self._startup = _range(measured.startups) or STARTUP
        self._plain_startup = _range(measured.plain_startups) or self._startup

    def training(self, part: str, base: str, tokens: int) -> PlannedTime:
        """Time of a job that passes tokens through a base; without any, it is a job like another."""
        if not tokens:
            return PlannedTime(part, *self._startup, bool(self._measured.startups))
        slow, fast, is_measured = self._speed(base_parameters(self._study, base))
        low, high = SHORTEST * tokens / fast, tokens / slow
        return PlannedTime(part, low + self._startup[0], high + self._startup[1], is_measured)

    def classical(self, part: str, rows: int) -> PlannedTime:
        """Time of a model without a network."""
        low, high = _range(self._measured.classical) or SECONDS_OF_ROW
        is_measured = bool(self._measured.classical)
        shortest, longest = self._plain_startup
        return PlannedTime(part, low * rows + shortest, high * rows + longest, is_measured)

    def jobs(self, part: str, count: int) -> PlannedTime:
        """Time of jobs that do little beside starting."""
        low, high = self._plain_startup
        return PlannedTime(part, count * low, count * high, bool(self._measured.plain_startups))

    def _speed(self, parameters: int) -> tuple[float, float, bool]:
        """Least and greatest tokens per second of a network, and whether they were measured."""
        speeds = self._measured.speeds if self._tells_budget else []
        alike = [each for each in speeds if 1 / ALIKE <= each.parameters / max(1, parameters) <= ALIKE]
        if alike:
            slow, fast = _spread([each.tokens_per_second for each in alike])
            return slow, fast, True
        nearest = min(speeds, key=lambda each: abs(each.parameters - parameters), default=None)
        if nearest is not None and 1 / FARTHEST <= nearest.parameters / max(1, parameters) <= FARTHEST:
            speed = nearest.tokens_per_second * nearest.parameters / max(1, parameters)
            return speed / UNLIKE, speed * UNLIKE, True
        speed = self._study.budget.tokens_per_second
        return speed / OF_BUDGET, speed * OF_BUDGET, False


def _range(values: Sequence[float]) -> tuple[float, float] | None:
    return _spread(values) if values else None


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Between which of some values half of them lie; the least and the greatest of a few."""
    if len(values) < FEW:
        return min(values), max(values)
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return lower, upper


def render_times(study: Study, times: Sequence[PlannedTime], *, cores: int | None = None) -> str:
    """Return times as text.

    Args:
        study: The study.
        times: What `plan_times` returned.
        cores: Jobs that run at once; those of this machine if None.
    """
    cores = cores or os.cpu_count() or 1
    has_gpu = "CPU" not in study.budget.device or "accelerators" in machine()
    where = f"one {study.budget.device}" if has_gpu else f"{cores} core{'' if cores == 1 else 's'}"
    at_once = 1 if has_gpu else cores
    width = max([len(each.part) for each in times] + [len(f"all, on {where}")])
    lines = [f"{'part':<{width}}  time", *(f"{each.part:<{width}}  {in_words(each.low, each.high)}" for each in times)]
    low, high = sum(each.low for each in times), sum(each.high for each in times)
    # Not all jobs can run beside others, and those that do share the machine.
    total = in_words(low / at_once, high / max(1.0, at_once / 2))
    lines.append(f"{f'all, on {where}':<{width}}  {total}")
    if all(each.is_measured for each in times):
        told = "Times are those of finished jobs on this machine."
    elif any(each.is_measured for each in times):
        told = "Times are those of finished jobs on this machine, where it has any, otherwise by budget."
    else:
        speed = f"{study.budget.tokens_per_second:,.0f} tokens/s"
        told = f"No finished job on this machine tells a speed, so times are by budget, {speed}."
    return "\n".join([*lines, "", told])


def in_words(low: float, high: float) -> str:
    """A range of seconds in one unit, that of its upper end."""
    for unit, seconds in (("h", 3600.0), ("min", 60.0)):
        if high >= 2 * seconds:
            return f"{_rounded(low / seconds)} to {_rounded(high / seconds)} {unit}"
    return f"{_rounded(low)} to {_rounded(high)} s"


def _rounded(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
