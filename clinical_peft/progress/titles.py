"""How jobs are called on the terminal: by what they do and to which model, task and seed."""

import re
from collections.abc import Iterable, Mapping

_SEED = re.compile(r"(?:^|/)seed(\d+)(?=[./]|$)")
NUMBERED = ("seed", "worker")


def job_title(rule: str, wildcards: Mapping[str, str], outputs: Iterable[str]) -> str:
    """What a job does.

    Args:
        rule: Name of its rule.
        wildcards: Values of its wildcards by name.
        outputs: Its output files, which name the seeds of a job that has several.

    Example:
        >>> job_title("finetune_model", {"model": "llama", "task": "los"}, ["p/seed0.parquet", "p/seed1.parquet"])
        'finetune model: llama, los, seeds 0, 1'
    """
    parts = [f"{name} {value}" if name in NUMBERED else str(value) for name, value in wildcards.items()]
    if "seed" not in wildcards:
        seeds = sorted({int(seed) for output in outputs for seed in _SEED.findall(output)})
        if seeds and wildcards:
            parts.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    does = rule.replace("_", " ")
    return f"{does}: {', '.join(parts)}" if parts else does
