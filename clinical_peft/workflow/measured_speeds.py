"""How fast this machine was in finished studies: tokens per second by size of network, and what a job's start takes.

Records of other machines, whose run logs say so, do not count. Reads JSON alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_peft.runtime.provenance import describe_machine

FORWARD_SHARE = 0.5  # of a training step, as in a plan
_SEED = "seed*.json"


@dataclass(frozen=True)
class Speed:
    """How fast a network was trained.

    Attributes:
        parameters: Its parameters, adapters included.
        tokens_per_second: Tokens of training steps, a forward pass counting half.
    """

    parameters: int
    tokens_per_second: float


@dataclass(frozen=True)
class Measured:
    """What finished jobs on this machine took.

    Attributes:
        speeds: Of networks.
        startups: Seconds that jobs of networks took beside their training: imports, loading, writing.
        plain_startups: Seconds that jobs without a network took beside it.
        classical: Seconds of a model without a network, by row of its cohort.
    """

    speeds: list[Speed] = field(default_factory=list)
    startups: list[float] = field(default_factory=list)
    plain_startups: list[float] = field(default_factory=list)
    classical: list[float] = field(default_factory=list)


def measured_speeds(results: Path, machine: Mapping[str, Any]) -> Measured:
    """Read what finished jobs of all studies took on a machine.

    Args:
        results: The folder of all studies.
        machine: As `clinical_peft.runtime.provenance.machine` describes it.

    Returns:
        Measurements; empty lists where there are none.
    """
    here, found = describe_machine(machine), Measured()
    for study in sorted(path for path in results.glob("*") if path.is_dir()):
        rows = _rows_by_task(study)
        for record, log, benchmark in _jobs(study):
            if _machine_of(log) == here:
                _add(found, record, rows, _wall_seconds(benchmark))
    return found


def _add(found: Measured, record: Mapping[str, Any], rows: Mapping[str, int], wall: float | None) -> None:
    """Count one record: of a network its speed, of another model the seconds of a row."""
    seconds = record.get("seconds") or 0.0
    if not seconds:
        return
    spent = seconds + record.get("evaluation_seconds", 0.0)
    tokens, parameters = _step_tokens(record), record.get("total_parameters")
    if wall is not None and wall > spent:
        (found.startups if parameters else found.plain_startups).append(wall - spent)
    if tokens and parameters:
        found.speeds.append(Speed(parameters, tokens / spent))
    elif not parameters and (count := rows.get(str(record.get("task")))):
        found.classical.append(seconds / count)


def _step_tokens(record: Mapping[str, Any]) -> float:
    """Tokens of a training record or of a perplexity file; none for a head on pooled features."""
    passes = record.get("passes")
    if passes is not None:
        return passes["trained_tokens"] + FORWARD_SHARE * passes["forward_tokens"] if passes["trained_tokens"] else 0
    trained = record.get("tokens", {}).get("trained_on", 0) if isinstance(record.get("tokens"), Mapping) else 0
    return trained + FORWARD_SHARE * record.get("forward_tokens", 0) if trained else 0


def _jobs(study: Path) -> Iterator[tuple[Mapping[str, Any], Path, Path | None]]:
    """Yield the record, the run log and the benchmark of every finished training; of several seeds no benchmark."""
    for folder in sorted(path for path in study.glob("training/*/*") if path.is_dir()):
        model, task = folder.parent.name, folder.name
        seeds = sorted(folder.glob(_SEED))
        benchmark = study / "benchmarks" / "finetune" / model / f"{task}.tsv" if len(seeds) == 1 else None
        for path in seeds:
            yield _read(path), study / "runs/finetune" / model / task / f"{path.stem}.jsonl", benchmark
    for path in sorted(study.glob("perplexity/*.json")):
        name = path.stem
        yield _read(path), study / f"runs/adapters/{name}.jsonl", study / f"benchmarks/adapters/{name}.tsv"


def _read(path: Path) -> Mapping[str, Any]:
    """A JSON object; an empty one for a file that another command is just writing or that is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _rows_by_task(study: Path) -> dict[str, int]:
    """Rows of each cohort that the study has counted."""
    try:
        rows = json.loads((study / "statistics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {row["task"]: row["admissions"] for row in rows if row.get("admissions")}


def _machine_of(log: Path) -> str | None:
    """The machine that the first line of a run log names."""
    try:
        with log.open(encoding="utf-8") as handle:
            first = json.loads(handle.readline())
    except (OSError, ValueError):
        return None
    return describe_machine(first.get("system", {}).get("machine", {}))


def _wall_seconds(benchmark: Path | None) -> float | None:
    """Seconds of the last run of a job, by Snakemake's benchmark."""
    try:
        lines = benchmark.read_text(encoding="utf-8").splitlines() if benchmark is not None else []
        return float(lines[-1].split("\t")[0]) if len(lines) > 1 else None
    except (OSError, ValueError):
        return None
