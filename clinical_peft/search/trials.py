"""Trials of a search: chosen by Optuna, kept in a journal that several jobs share, repeated after a kill.

The journal is Optuna's append-only `JournalStorage`. Its lock is a file created exclusively, which holds on the
network file systems of clusters, where SQLite's locks are known to fail; and what it loses in a kill is at most the
record being written. `optuna.storages.JournalStorage` opens it for any of Optuna's tools.

Every trial has a number, and its sampler is seeded by the search's seed and that number, so that what a trial
chooses depends on finished trials alone and not on how often its job was started. A worker runs every n-th trial: a
trial of its own that it finds running was left by a kill, and is marked as failed and run again at the same point.
"""

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from clinical_peft.config.search_spaces import Choices, Interval, Point, Search, grid, random_point
from clinical_peft.errors import TrainingError
from clinical_peft.files import private_directory
from clinical_peft.runtime.events import drop_cut_line

# Trials that are drawn at random before TPE learns, and completed before one is pruned: a search has ten or twenty.
FIRST_TRIALS = 5
# The journal's lock is held for milliseconds; one this old was left by a kill.
LOCK_SECONDS = 30
NUMBER, TOKENS, SECONDS, REASON = "number", "tokens", "seconds", "reason"

Report = Callable[[Sequence[float]], None]
"""Takes a trial's validation metric by epoch or evaluation; raises `Pruned` where the trial should end."""


class Pruned(Exception):
    """A trial is worse than others and ends early."""


@dataclass(frozen=True)
class Outcome:
    """What a completed trial found.

    Attributes:
        value: Its validation metric.
        curve: That metric by epoch or evaluation.
        tokens: Tokens trained on.
        seconds: Time it took.
    """

    value: float
    curve: Sequence[float]
    tokens: int
    seconds: float


Objective = Callable[[int, Point, Report], Outcome]
"""Runs the trial of a number at a point."""


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial.

    Attributes:
        number: Its number in the search, from 0.
        state: `complete`, `pruned`, or `failed` where training could not go on.
        value: Its validation metric; of a pruned trial the last one, null for a failed one.
        values: Its point.
        curve: Validation metric by epoch or evaluation.
        tokens: Tokens trained on, null where it did not complete.
        seconds: Time it took, null where it did not complete.
        reason: Why it failed, or null.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    values: Point
    curve: list[float]
    tokens: int | None
    seconds: float | None
    reason: str | None


class _RepairingLock(JournalFileOpenLock):
    """The journal's lock; who takes it first drops a record that a kill or a full disk cut short."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal), grace_period=LOCK_SECONDS)
        self.journal = journal

    def acquire(self) -> bool:
        taken = super().acquire()
        drop_cut_line(self.journal)
        return taken


class _Chooser(BaseSampler):
    """A sampler that takes each trial's point from a function."""

    def __init__(self, choose: Callable[[optuna.Study, FrozenTrial], Point]) -> None:
        self.choose = choose
        self.space: dict[str, BaseDistribution] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.choose(study, trial)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise AssertionError(f"{param_name} has no place in the space")


def run_trials(search: Search, objective: Objective, *, worker: int, journal: Path, identity: str) -> list[TrialRecord]:
    """Run a worker's trials, or those that an interrupted job left.

    Args:
        search: The search.
        objective: Runs one trial.
        worker: Which of `search.planned_workers` this is, from 0; no two processes may run as the same one.
        journal: File that the workers share; it must outlive a failed job.
        identity: Digest of everything that decides a trial's metric; trials of another one are not counted.

    Returns:
        The worker's trials, by number.
    """
    study = _open(search, journal, identity)
    finished = {number: trial for number, trial in _numbered(study) if _is_finished(trial)}
    for number in search.trials_of_worker(worker):
        if number not in finished:
            _run(study, search, number, objective)
    mine = search.trials_of_worker(worker)
    done = {number: trial for number, trial in _numbered(study) if number in mine and _is_finished(trial)}
    return [_record(number, done[number]) for number in mine]


def _open(search: Search, journal: Path, identity: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = Path(journal).absolute()
    private_directory(journal.parent)
    journal.touch(mode=0o600)
    lock = _RepairingLock(journal)
    lock.acquire()  # so that the first reading meets whole records
    lock.release()
    pruner: BasePruner = MedianPruner(n_startup_trials=FIRST_TRIALS) if search.pruner == "median" else NopPruner()
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), lock_obj=lock)),
        study_name=identity,
        direction="maximize" if search.maximises else "minimize",
        pruner=pruner,
        load_if_exists=True,
    )


def _numbered(study: optuna.Study) -> list[tuple[int, FrozenTrial]]:
    """Every trial with its number in the search, the latest attempt at a number last."""
    trials = study.get_trials(deepcopy=False)
    return [(trial.user_attrs[NUMBER], trial) for trial in trials if NUMBER in trial.user_attrs]


def _is_finished(trial: FrozenTrial) -> bool:
    """Whether a trial has a result; an attempt that a kill ended has none."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state == TrialState.FAIL and REASON in trial.user_attrs
    )


def _run(study: optuna.Study, search: Search, number: int, objective: Objective) -> None:
    distributions = _distributions(search)
    abandoned = _end_abandoned(study, search, number)
    whole = abandoned is not None and abandoned.params.keys() == distributions.keys()
    study.sampler = _Chooser(
        (lambda study, trial: dict(abandoned.params)) if abandoned and whole else _choice(search, number)
    )
    study.sampler.space = distributions
    trial = study.ask(fixed_distributions=distributions)
    trial.set_user_attr(NUMBER, number)
    title = f"trial {number} of {search.planned_trials}"
    _say(f"{title}: {', '.join(f'{name}={value}' for name, value in trial.params.items())}")
    reported = 0

    def report(curve: Sequence[float]) -> None:
        nonlocal reported
        for step, value in list(enumerate(curve, start=1))[reported:]:
            trial.report(value, step)
        reported = len(curve)

    def report_and_judge(curve: Sequence[float]) -> None:
        report(curve)
        if trial.should_prune():
            raise Pruned

    try:
        outcome = objective(number, dict(trial.params), report_and_judge)
    except Pruned:
        study.tell(trial, state=TrialState.PRUNED)
        _say(f"{title}: ended early, behind half of the others")
        return
    except TrainingError as error:
        # A point where training diverges is a result; when every point fails, the search does.
        trial.set_user_attr(REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
        _say(f"{title}: failed: {error}")
        return
    report(outcome.curve)
    trial.set_user_attr(TOKENS, outcome.tokens)
    trial.set_user_attr(SECONDS, outcome.seconds)
    study.tell(trial, outcome.value)
    _say(f"{title}: {search.metric} {outcome.value:.4f}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end_abandoned(study: optuna.Study, search: Search, number: int) -> FrozenTrial | None:
    """Mark attempts at a number that a kill left running as failed; return the last of them."""
    abandoned = None
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(NUMBER) == number:
            abandoned = trial
        elif NUMBER in trial.user_attrs or search.planned_workers > 1:
            continue
        study.tell(trial.number, state=TrialState.FAIL)
    return abandoned


def _choice(search: Search, number: int) -> Callable[[optuna.Study, FrozenTrial], Point]:
    if search.sampler == "grid":
        point = grid(search)[number]
        return lambda study, trial: point
    draw = random.Random(f"{search.seed}:{number}")
    # Running trials count as bad ones where several workers could choose the same point.
    sampler = TPESampler(
        n_startup_trials=FIRST_TRIALS, seed=draw.getrandbits(32), constant_liar=search.planned_workers > 1
    )

    def choose(study: optuna.Study, trial: FrozenTrial) -> Point:
        point = {
            name: sampler.sample_independent(study, trial, name, distribution)
            for name, distribution in _distributions(search).items()
        }
        tried = [other.params for other in _tried(study) if other.number != trial.number]
        # Training at a point twice would find the same value twice.
        while point in tried:
            point = random_point(search, draw)
        return point

    return choose


def _tried(study: optuna.Study) -> Iterable[FrozenTrial]:
    return (trial for _, trial in _numbered(study) if _is_finished(trial) or trial.state == TrialState.RUNNING)


def _distributions(search: Search) -> dict[str, BaseDistribution]:
    return {name: _distribution(domain) for name, domain in search.parameters.items()}


def _distribution(domain: Choices | Interval) -> BaseDistribution:
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.values)
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def _record(number: int, trial: FrozenTrial) -> TrialRecord:
    states: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return TrialRecord(
        number=number,
        state=states[trial.state],
        value=trial.value,
        values=dict(trial.params),
        curve=[value for _, value in sorted(trial.intermediate_values.items())],
        tokens=trial.user_attrs.get(TOKENS),
        seconds=trial.user_attrs.get(SECONDS),
        reason=trial.user_attrs.get(REASON),
    )
