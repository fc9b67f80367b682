"""What pooling notes once saves of a whole study's fine-tuning: wall time and tokens, with it and without.

snakemake --cores all                # the demo study, whose cohorts, bases, adapters and records are read
python benchmarks/fine_tuning_matrix.py [--study results/demo]

Every run of a model that trains a head alone is done again both ways, directly and on pooled notes, in turn, with the
study's recipes and seeds. Models that train more are the same either way: their times and tokens are those that the
study recorded, and stand in both sums.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from frozen_rows import HERE, MODELS, TASKS, Bench

from clinical_peft.files import read_json, write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

FIELDS = ("runs", "seconds", "trained_tokens", "forward_tokens")


def no_runs() -> dict[str, float]:
    """A sum before anything is added."""
    return dict.fromkeys(FIELDS, 0)


def add(total: dict[str, float], record: dict[str, Any], seconds: float) -> None:
    """Add a run's record to a sum."""
    total["runs"] += 1
    total["seconds"] += seconds
    for field in ("trained_tokens", "forward_tokens"):
        total[field] += record["passes"][field]


def other_models(study: Path) -> dict[str, float]:
    """Sum over the recorded runs of models that train more than a head."""
    total = no_runs()
    for path in sorted(study.glob("training/*/*/seed*.json")):
        record = read_json(path)
        if record["model"] not in MODELS and "passes" in record:
            add(total, record, record["seconds"])
    return total


def frozen_models(study: Path, work: Path) -> dict[str, dict[str, float]]:
    """Run both ways over every task and seed of the frozen rows; sums by way."""
    totals = {"direct": no_runs(), "pooled": no_runs()}
    for model in MODELS:
        bench = Bench(study, model, None, work)
        pooled = bench.pool()
        totals["pooled"]["seconds"] += pooled["whole_seconds"]
        totals["pooled"]["forward_tokens"] += pooled["tokens"]
        for task in TASKS:
            for seed in range(len(list(study.glob(f"training/{model}/{task}/seed*.json")))):
                for way, total in totals.items():
                    record = bench.train(way, task, seed)
                    add(total, record, record["whole_seconds"])
            print(f"{model} {task}: {totals}", file=sys.stderr)
    return totals


def whole(others: dict[str, float], frozen: dict[str, float]) -> dict[str, float]:
    """A matrix as the sum of its two parts."""
    return {field: others[field] + frozen[field] for field in FIELDS}


def main() -> None:
    """Measure the matrix both ways and write benchmarks/results/fine_tuning_matrix.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--study", type=Path, default=HERE.parent / "results" / "demo", help="folder of a finished study"
    )
    study: Path = parser.parse_args().study
    with tempfile.TemporaryDirectory() as work:
        frozen = frozen_models(study, Path(work))
    others = other_models(study)
    result = {
        "study": study.name,
        "models_that_train_more": others,
        "frozen_rows": frozen,
        "whole_matrix": {way: whole(others, total) for way, total in frozen.items()},
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }
    write_json(HERE / "results" / "fine_tuning_matrix.json", result)


if __name__ == "__main__":
    main()
