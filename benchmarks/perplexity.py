"""Keep a study's perplexities, with the machine that measured them, in benchmarks/results.

snakemake pretrain --cores all --configfile config/mtsamples.yaml
python benchmarks/perplexity.py mtsamples
"""

import sys
from pathlib import Path
from typing import Any

from clinical_peft.files import read_json, write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

HERE = Path(__file__).resolve().parent
KEPT = (
    "adapter",
    "base",
    "base_revision",
    "method",
    "corpus",
    "trainable_parameters",
    "total_parameters",
    "tokens",
    "perplexity",
    "seconds",
    "tokens_per_second",
    "peak_memory_bytes",
)


def collect(study: str, results: Path) -> dict[str, Any]:
    """Return the perplexity records of a study with revision, versions and machine."""
    records = [read_json(path) for path in sorted((results / study / "perplexity").glob("*.json"))]
    if not records:
        sys.exit(
            f"{results / study / 'perplexity'}: expected perplexity files, found none; run the target `pretrain` first"
        )
    return {
        "study": study,
        "adapters": [{key: record[key] for key in KEPT} for record in records],
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    name = sys.argv[1]
    write_json(HERE / "results" / f"perplexity_{name}.json", collect(name, HERE.parent / "results"))
