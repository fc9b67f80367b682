"""What a study costs, in tokens and device time, and what each configuration run from scratch would cost.

A network reads a token either in a training step (a forward and a backward pass) or in a forward pass alone, which
counts half of it. The original passes every note, padded to the context, through the network in every epoch of every
configuration, whether anything but the head is trained or not. Its tokens are counted from the same recipes; its device
time is an estimate at the rate measured in this study.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinical_peft.tables.form import MISSING, Labels, Record, Table, in_order, label_of, number

FORWARD_SHARE = 0.5
SECONDS_PER_HOUR = JOULES_PER_WATT_HOUR = 3600
BYTES_PER_GB = 1e9
COST_FIELDS = (
    "part",
    "label",
    "runs",
    "trained_tokens",
    "forward_tokens",
    "step_tokens",
    "device_seconds",
    "original_step_tokens",
    "original_device_seconds",
    "times_fewer_tokens",
    "peak_memory_gb",
    "energy_wh",
)


def cost_table(
    training: Sequence[Mapping[str, Any]],
    pooled: Mapping[str, Mapping[str, Any]],
    perplexities: Sequence[Mapping[str, Any]],
    labels: Labels,
) -> Table:
    """Build the table of costs.

    Machine-readable columns (CSV), one row per adapter, per set of pooled notes, per model (all its tasks and seeds)
    and for the total: `COST_FIELDS`. step_tokens are trained_tokens plus half of forward_tokens. Adapters are trained
    and evaluated once in both ways; forward_tokens of theirs are those of every evaluation, before, during and after
    training, whose time is part of device_seconds. peak_memory_gb (10^9 bytes) is the largest of a part's runs, of the
    GPU or else of the process, and empty where a run did not record it; energy_wh is empty where a run did not measure
    it.

    Args:
        training: Content of the training records; those without `passes` (no network) are left out.
        pooled: Content of the records of pooled notes, by set.
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
    """
    adapters = {entry["adapter"]: entry for entry in perplexities}
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for record in training:
        if "passes" in record:
            runs.setdefault(record["model"], []).append(record)
    rate = _rate([record for group in runs.values() for record in group])
    records = [_adapter_row(adapters[name], labels) for name in in_order(list(adapters), labels)]
    records += [_pooled_row(name, pooled[name]) for name in sorted(pooled)]
    records += [_model_row(name, runs[name], labels, rate) for name in in_order(list(runs), labels)]
    if records:
        records.append(_total(records))
    return Table(
        name="cost",
        caption="Cost in tokens and device time, beside that of running every configuration from scratch.",
        fields=COST_FIELDS,
        records=tuple(records),
        header=(
            "Part",
            "Runs",
            "Tokens trained on",
            "Tokens read forward",
            "Step tokens",
            "Device time (h)",
            "From scratch: step tokens",
            "From scratch: device time (h)",
            "Times fewer tokens",
            "Peak memory (GB)",
            "Energy (Wh)",
        ),
        rows=tuple(_cells(record) for record in records),
        notes=(
            "Step tokens count a forward pass as half a training step. From scratch: every note padded to the context "
            "and read in every epoch of every configuration, by the same recipes; its device time is estimated at the "
            "rate that this study measured. Notes pooled once serve every model that trains a head alone. Of adapters, "
            "tokens read forward are those of their perplexities, before, during and after training. Bases trained "
            "here and models that are no network are left out.",
            "Peak memory: of the GPU where there is one, else of the process since its start. A dash: not recorded in "
            "every run of the row. Energy is read from a GPU's sensors while an adapter is trained; a dash: not read.",
        ),
    )


def _rate(runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Step tokens per second of the runs that trained more than a head."""
    direct = [run for run in runs if run["passes"]["trained_tokens"]]
    seconds = sum(run["seconds"] for run in direct)
    return sum(_step_tokens(run["passes"]) for run in direct) / seconds if seconds else None


def _step_tokens(passes: Mapping[str, int], prefix: str = "") -> int:
    return round(passes[f"{prefix}trained_tokens"] + FORWARD_SHARE * passes[f"{prefix}forward_tokens"])


def _adapter_row(entry: Mapping[str, Any], labels: Labels) -> Record:
    trained, forward = entry["tokens"]["trained_on"], entry.get("forward_tokens", 0)
    label, seconds = label_of(entry["adapter"], labels), entry["seconds"] + entry.get("evaluation_seconds", 0.0)
    steps = round(trained + FORWARD_SHARE * forward)
    return _row("adapter", label, 1, trained, forward, seconds, steps, seconds) | _device([entry])


def _pooled_row(name: str, entry: Mapping[str, Any]) -> Record:
    label = f"Notes pooled once: {name}"
    return _row("pooled notes", label, 1, 0, entry["tokens"], entry["seconds"], None, None) | _device([entry])


def _model_row(model: str, runs: Sequence[Mapping[str, Any]], labels: Labels, rate: float | None) -> Record:
    trained, forward = (sum(run["passes"][key] for run in runs) for key in ("trained_tokens", "forward_tokens"))
    original = sum(_step_tokens(run["passes"], "original_") for run in runs)
    seconds = sum(run["seconds"] for run in runs)
    estimate = original / rate if rate else None
    row = _row("model", label_of(model, labels), len(runs), trained, forward, seconds, original, estimate)
    return row | _device(runs)


def _device(runs: Sequence[Mapping[str, Any]]) -> Record:
    """The largest memory of some runs, and the energy of all; None where one of them did not tell."""
    memory, energy = (_all_known(run.get(key) for run in runs) for key in ("peak_memory_bytes", "energy_joules"))
    return {
        "peak_memory_gb": round(max(memory) / BYTES_PER_GB, 3) if memory else None,
        "energy_wh": round(sum(energy) / JOULES_PER_WATT_HOUR, 4) if energy else None,
    }


def _all_known(values: Iterable[float | None]) -> list[float]:
    """The values, or none where one is missing."""
    found = list(values)
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else []


def _row(
    part: str,
    label: str,
    runs: int,
    trained: int,
    forward: int,
    seconds: float,
    original: int | None,
    original_seconds: float | None,
) -> Record:
    steps = round(trained + FORWARD_SHARE * forward)
    return {
        "part": part,
        "label": label,
        "runs": runs,
        "trained_tokens": trained,
        "forward_tokens": forward,
        "step_tokens": steps,
        "device_seconds": round(seconds, 3),
        "original_step_tokens": original,
        "original_device_seconds": None if original_seconds is None else round(original_seconds, 3),
        "times_fewer_tokens": round(original / steps, 2) if original is not None and steps else None,
    }


def _total(records: Sequence[Record]) -> Record:
    def total(field: str) -> Any:
        return sum(record[field] or 0 for record in records)

    memory, energy = (_all_known(record[field] for record in records) for field in ("peak_memory_gb", "energy_wh"))
    row = _row(
        "total",
        "Total",
        total("runs"),
        total("trained_tokens"),
        total("forward_tokens"),
        total("device_seconds"),
        total("original_step_tokens"),
        total("original_device_seconds"),
    )
    return row | {
        "peak_memory_gb": max(memory) if memory else None,
        "energy_wh": round(sum(energy), 4) if energy else None,
    }


def _cells(record: Record) -> tuple[str, ...]:
    fewer = record["times_fewer_tokens"]
    return (
        record["label"],
        number(record["runs"]),
        number(record["trained_tokens"]),
        number(record["forward_tokens"]),
        number(record["step_tokens"]),
        _hours(record["device_seconds"]),
        number(record["original_step_tokens"]),
        _hours(record["original_device_seconds"]),
        MISSING if fewer is None else f"{fewer:,.1f}",
        number(record["peak_memory_gb"], 2),
        number(record["energy_wh"], 2),
    )


def _hours(seconds: float | None) -> str:
    return MISSING if seconds is None else f"{seconds / SECONDS_PER_HOUR:.4f}"
