"""How long a study has left: the plan's costs of its jobs, corrected by how long the finished ones took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LIGHT = 5.0  # seconds that a job takes beside its network: imports, reading, writing


@dataclass(frozen=True)
class PlannedJob:
    """A job that is to run.

    Attributes:
        rule: Its rule.
        name: One of its outputs, or what else tells it from the others.
        seconds: What the plan expects on the study's device; 0 where the job runs no network.
    """

    rule: str
    name: str
    seconds: float = 0.0

    @property
    def planned(self) -> float:
        """Seconds that the job is expected to take in all."""
        return self.seconds + LIGHT


@dataclass
class _Finished:
    jobs: int = 0
    seconds: float = 0.0
    planned: float = 0.0

    def add(self, seconds: float, planned: float) -> None:
        self.jobs += 1
        self.seconds += seconds
        self.planned += planned


class StudyClock:
    """Estimates the time left from jobs that finished, run and wait.

    A job that runs a network takes its planned time times the mean ratio of finished jobs of its rule, or of all
    rules; before one is finished, of the slowest that runs, if that is slower than planned. Another job takes the mean
    time of its rule, or of all. As many jobs run at once as have so far.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, PlannedJob] = {}
        self._running: dict[str, tuple[PlannedJob, float]] = {}
        self._failed: dict[str, PlannedJob] = {}
        self._finished: dict[str, _Finished] = {}
        self._networks, self._light = _Finished(), _Finished()
        self._busy = 0.0
        self._slowness = 1.0  # of jobs that run
        self._began: float | None = None

    def plan(self, jobs: Iterable[PlannedJob]) -> None:
        """Learn which jobs are to run."""
        self.waiting = {job.name: job for job in jobs}

    def start(self, name: str, rule: str, now: float) -> None:
        """A job starts, or starts again."""
        self._began = now if self._began is None else self._began
        known = self.waiting.pop(name, None) or self._failed.pop(name, None)
        self._running[name] = (known or PlannedJob(rule, name), now)

    def finish(self, name: str, now: float) -> float:
        """A job is done; return how long it took."""
        job, started = self._running.pop(name)
        seconds = now - started
        self._busy += seconds
        of_all = self._networks if job.seconds else self._light
        for finished in (self._finished.setdefault(job.rule, _Finished()), of_all):
            finished.add(seconds, job.planned)
        return seconds

    def fail(self, name: str, now: float) -> float:
        """A job failed; return how long it ran. It may start again."""
        job, started = self._running.pop(name)
        self._busy += now - started
        self._failed[name] = job
        return now - started

    def left(self, now: float, own: Mapping[str, float]) -> float:
        """Seconds until the last job is done.

        Args:
            now: The time.
            own: Seconds that running jobs say they have left at least, by their names.
        """
        known = [
            (now - at + own[name]) / job.planned
            for name, (job, at) in self._running.items()
            if job.seconds and name in own
        ]
        self._slowness = max([1.0, *known])
        rests = [
            max(0.0, own.get(name, 0.0), self._length(job) - (now - at)) for name, (job, at) in self._running.items()
        ]
        total = sum(rests) + sum(map(self._length, self.waiting.values()))
        return max([total / self._at_once(now), *rests])

    def _at_once(self, now: float) -> float:
        """How many jobs ran at once on average."""
        busy = self._busy + sum(now - at for _, at in self._running.values())
        return 1.0 if self._began is None or now <= self._began else max(1.0, busy / (now - self._began))

    def _length(self, job: PlannedJob) -> float:
        """Seconds that a job takes in all."""
        same = self._finished.get(job.rule, _Finished())
        known = same if same.jobs else self._networks if job.seconds else self._light
        if known.jobs and job.seconds:
            return job.planned * known.seconds / known.planned
        if known.jobs:
            return known.seconds / known.jobs
        return job.planned * (self._slowness if job.seconds else 1.0)
