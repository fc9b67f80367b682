"""What a study costs, in tokens and device time, and what each configuration run from scratch would cost.

A network reads a token either in a training step (a forward and a backward pass) or in a forward pass alone, which
counts half of it. The original passes every note, padded to the context, through the network in every epoch of every
configuration, whether anything but the head is trained or not. Its tokens are counted from the same recipes; its device
time is an estimate at the rate measured in this study. Adapters are trained and evaluated once in both.

Tokens tell how many admissions a split has: all of them for the original, which pads, and nearly so here where notes
fill the context. Runs of a task that hides the size of a split count them in units of ten admissions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.tables.adapter_records import AdapterFile, Measured, Passes, PooledNotes, TrainedRun
from clinical_peft.tables.form import MISSING, Record, in_order, label_of
from clinical_peft.tables.study_column import Column, digits
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_table import StudyTable

FORWARD_SHARE = 0.5
SECONDS_PER_HOUR = JOULES_PER_WATT_HOUR = 3600
BYTES_PER_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a part of the study cost: an adapter, a set of pooled notes, a model (all tasks and seeds) or the total.

    Attributes:
        part: Which of these it is.
        label: Its name for readers.
        runs: Number of runs.
        trained: Tokens of training steps.
        forward: Tokens read forward alone; of an adapter those of every evaluation, whose time counts too.
        seconds: Device time.
        original_steps: Step tokens of the original, or None where it has no such part.
        original_seconds: Device time of the original, or None where it cannot be estimated.
        memory_gb: Largest memory of the runs (10^9 bytes), of the GPU or else of the process; None if one has none.
        energy_wh: Energy of all runs, or None if one did not measure it.
    """

    part: str
    label: str
    runs: int
    trained: int
    forward: int
    seconds: float
    original_steps: int | None = None
    original_seconds: float | None = None
    memory_gb: float | None
    energy_wh: float | None

    @property
    def steps(self) -> int:
        """Tokens trained on, and half of those read forward."""
        return round(self.trained + FORWARD_SHARE * self.forward)

    @property
    def times_fewer(self) -> float | None:
        """How many times fewer step tokens than in the original."""
        known = self.original_steps is not None and self.steps
        return round((self.original_steps or 0) / self.steps, 2) if known else None


@dataclass(frozen=True)
class Run:
    """A training record, and its tokens as they may be published."""

    record: TrainedRun
    passes: Passes


def _rows(results: StudyResults) -> list[Cost]:
    runs: dict[str, list[Run]] = {}
    contexts = _contexts_of_unsized_runs(results)
    for record in map(TrainedRun.of, results.training):
        if record.passes is not None:
            passes = _publishable(record, record.passes, contexts)
            runs.setdefault(record.model, []).append(Run(record, passes))
    rate = _rate([run for group in runs.values() for run in group])
    labels = results.labels
    rows = [_of_adapter(file, label_of(file.adapter, labels)) for file in results.adapters]
    rows += [_of_pooled_notes(name, PooledNotes.of(results.pooled[name])) for name in sorted(results.pooled)]
    rows += [_of_model(runs[name], label_of(name, labels), rate) for name in in_order(list(runs), labels)]
    return [*rows, _total(rows)] if rows else []


def _contexts_of_unsized_runs(results: StudyResults) -> dict[tuple[str, str], int | None]:
    """Context by model and task, of the tasks that hide the size of a split; None for a model without a network."""
    unsized = {row["task"] for row in results.statistics if any(row[split] is None for split in SPLITS)}
    return {
        (run["model"], run["task"]): run["recipe"]["recipe"].get("context")
        for run in results.metrics
        if run["task"] in unsized
    }


def _publishable(run: TrainedRun, passes: Passes, contexts: Mapping[tuple[str, str], int | None]) -> Passes:
    """Tokens of a run that give no number of admissions away that is hidden."""
    context = contexts.get((run.model, run.task))
    if context is None:
        return passes
    unit = SMALLEST_CELL * run.epochs * context
    return replace(passes, **{name: unit * round(tokens / unit) for name, tokens in asdict(passes).items()})


def _rate(runs: Sequence[Run]) -> float | None:
    """Step tokens per second of the runs that trained more than a head."""
    direct = [run for run in runs if run.passes.trained_tokens]
    seconds = sum(run.record.seconds for run in direct)
    tokens = sum(_step_tokens(run.passes.trained_tokens, run.passes.forward_tokens) for run in direct)
    return tokens / seconds if seconds else None


def _step_tokens(trained: int, forward: int) -> int:
    return round(trained + FORWARD_SHARE * forward)


def _of_adapter(file: AdapterFile, label: str) -> Cost:
    trained, forward = file.tokens["trained_on"], file.forward_tokens
    seconds = file.seconds + file.evaluation_seconds
    return Cost(
        part="adapter",
        label=label,
        runs=1,
        trained=trained,
        forward=forward,
        seconds=seconds,
        original_steps=_step_tokens(trained, forward),
        original_seconds=seconds,
        memory_gb=_memory([file]),
        energy_wh=_energy([file]),
    )


def _of_pooled_notes(name: str, record: PooledNotes) -> Cost:
    return Cost(
        part="pooled notes",
        label=f"Notes pooled once: {name}",
        runs=1,
        trained=0,
        forward=record.tokens,
        seconds=record.seconds,
        memory_gb=_memory([record]),
        energy_wh=_energy([record]),
    )


def _of_model(runs: Sequence[Run], label: str, rate: float | None) -> Cost:
    passes = [run.passes for run in runs]
    original = sum(_step_tokens(one.original_trained_tokens, one.original_forward_tokens) for one in passes)
    return Cost(
        part="model",
        label=label,
        runs=len(runs),
        trained=sum(one.trained_tokens for one in passes),
        forward=sum(one.forward_tokens for one in passes),
        seconds=sum(run.record.seconds for run in runs),
        original_steps=original,
        original_seconds=original / rate if rate else None,
        memory_gb=_memory([run.record for run in runs]),
        energy_wh=_energy([run.record for run in runs]),
    )


def _total(rows: Sequence[Cost]) -> Cost:
    memory = _all_known(row.memory_gb for row in rows)
    energy = _all_known(row.energy_wh for row in rows)
    return Cost(
        part="total",
        label="Total",
        runs=sum(row.runs for row in rows),
        trained=sum(row.trained for row in rows),
        forward=sum(row.forward for row in rows),
        seconds=sum(round(row.seconds, 3) for row in rows),
        original_steps=sum(row.original_steps or 0 for row in rows),
        original_seconds=sum(round(row.original_seconds or 0, 3) for row in rows),
        memory_gb=max(memory) if memory else None,
        energy_wh=round(sum(energy), 4) if energy else None,
    )


def _memory(runs: Sequence[Measured]) -> float | None:
    known = _all_known(run.peak_memory_bytes for run in runs)
    return round(max(known) / BYTES_PER_GB, 3) if known else None


def _energy(runs: Sequence[Measured]) -> float | None:
    known = _all_known(run.energy_joules for run in runs)
    return round(sum(known) / JOULES_PER_WATT_HOUR, 4) if known else None


def _all_known(values: Iterable[float | None]) -> list[float]:
    """The values, or none where one is missing."""
    found = list(values)
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else []


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _hours(seconds: float | None, _: Record) -> str:
    return MISSING if seconds is None else f"{seconds / SECONDS_PER_HOUR:.4f}"


TABLE = StudyTable(
    name="cost",
    place=1,
    section="cost",
    needs=("training", "pooled", "perplexities", "statistics", "metrics"),
    columns=(
        Column("part", lambda row: row.part),
        Column("label", lambda row: row.label, "Part"),
        Column("runs", lambda row: row.runs, "Runs", digits(0)),
        Column("trained_tokens", lambda row: row.trained, "Tokens trained on", digits(0)),
        Column("forward_tokens", lambda row: row.forward, "Tokens read forward", digits(0)),
        Column("step_tokens", lambda row: row.steps, "Step tokens", digits(0), "trained, and half of those forward"),
        Column("device_seconds", lambda row: _milliseconds(row.seconds), "Device time (h)", _hours),
        Column("original_step_tokens", lambda row: row.original_steps, "From scratch: step tokens", digits(0)),
        Column(
            "original_device_seconds",
            lambda row: _milliseconds(row.original_seconds),
            "From scratch: device time (h)",
            _hours,
        ),
        Column("times_fewer_tokens", lambda row: row.times_fewer, "Times fewer tokens", digits(1)),
        Column("peak_memory_gb", lambda row: row.memory_gb, "Peak memory (GB)", digits(2), "10^9 bytes"),
        Column("energy_wh", lambda row: row.energy_wh, "Energy (Wh)", digits(2)),
    ),
    rows=_rows,
    shown=(
        *("label", "runs", "trained_tokens", "forward_tokens", "step_tokens", "device_seconds"),
        *("original_step_tokens", "original_device_seconds", "times_fewer_tokens", "peak_memory_gb", "energy_wh"),
    ),
    caption=lambda *_: "Cost in tokens and device time, beside that of running every configuration from scratch.",
    notes=lambda *_: (
        "Step tokens count a forward pass as half a training step. From scratch: every note padded to the context "
        "and read in every epoch of every configuration, by the same recipes; its device time is estimated at the "
        "rate that this study measured. Notes pooled once serve every model that trains a head alone. Of adapters, "
        "tokens read forward are those of their perplexities, before, during and after training. Bases trained "
        "here and models that are no network are left out.",
        "Peak memory: of the GPU where there is one, else of the process since its start. A dash: not recorded in "
        "every run of the row. Energy is read from a GPU's sensors while an adapter is trained; a dash: not read.",
    ),
)
