"""The tables of the tiny study, and what two runs of it have in common."""

import csv
from pathlib import Path

PAPER_TABLES = ["dataset_statistics", "domain_adaptation", "downstream_main", "downstream_lora_baselines"]
TABLES = [
    *PAPER_TABLES,
    *("cohort_details", "text_lengths", "attrition", "corpora", "uncertainty", "calibration", "subgroups"),
    *("cost", "metrics", "multilabel_metrics", "scoring_variants"),
]


def comparable(path: Path) -> list[list[str]]:
    """A table without its measured times, rates, memory and energy."""
    rows = list(csv.reader(path.read_text().splitlines()))
    measured = ("_seconds", "_per_second", "peak_memory_gb", "energy_wh")
    kept = [i for i, name in enumerate(rows[0]) if not name.endswith(measured)]
    return [[row[i] for i in kept] for row in rows]
