"""The results section of README.md, from a finished demo study.

`python -m clinical_peft.report.readme_results results/demo` reads the study's tables, writes what the section needs to
benchmarks/results/demo.json and the section into README.md. A test holds the section to that file, and the file to the
study's settings.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_peft.config.settings import settings_digest
from clinical_peft.errors import ClinicalPeftError, DataError
from clinical_peft.files import read_json, write_json, write_text
from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.report.planted_effect import opening, planted_lines, summarise_planted
from clinical_peft.tables.study_tasks import task_order
from clinical_peft.tasks import TASKS

SUMMARY = Path("benchmarks/results/demo.json")
README = Path("README.md")
BEGIN = "<!-- results of the demo study: written by `make readme-results` -->"
END = "<!-- end of the results -->"
METRIC = COMPARED.name
MODEL_TABLES = ("downstream_main", "downstream_lora_baselines")


def summarise(study: Path) -> dict[str, Any]:
    """Gather what the section shows.

    Args:
        study: Folder of a finished study.

    Returns:
        settings_sha256 (see `clinical_peft.config.settings`), level, seeds (list); models: list of {model, label,
        and by task, under the compared metric's name, [percent, low, high]}; adapters: list of {adapter, label,
        trainable_percent, before, after} (perplexity of the test notes); planted (see
        `clinical_peft.report.planted_effect`).

    Raises:
        DataError: A table or the settings are missing.
    """
    rows = [row for table in MODEL_TABLES for row in _read(study / "tables" / f"{table}.csv")]
    models: dict[str, dict[str, Any]] = {}
    for row in rows:
        model = models.setdefault(row["model"], {"model": row["model"], "label": row["label"], METRIC: {}})
        if row[f"{METRIC}_percent"]:
            ends = (row[f"{METRIC}_percent"], row["low_percent"], row["high_percent"])
            model[METRIC][row["task"]] = [round(float(end), 1) if end else None for end in ends]
    adapters = [
        {
            "adapter": row["adapter"],
            "label": row["label"],
            "trainable_percent": round(float(row["trainable_percent"]), 2),
            "before": round(float(row["test_perplexity_before"]), 1),
            "after": round(float(row["test_perplexity_after"]), 1),
        }
        for row in _read(study / "tables" / "domain_adaptation.csv")
    ]
    return {
        "settings_sha256": _settings(study / "settings.json"),
        "level": max((float(row["level"]) for row in rows), default=None),
        "seeds": sorted({int(row["seeds"]) for row in rows if row["seeds"]}),
        "models": list(models.values()),
        "adapters": adapters,
        "planted": summarise_planted(study, _read(study / "tables" / "uncertainty.csv")),
    }


def _settings(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: expected the settings of a finished study, found none; run `make demo` first")
    return settings_digest(read_json(path))


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"{path}: expected a table of a finished study, found none; run `make demo` first")
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def section(summary: Mapping[str, Any]) -> str:
    """The section as Markdown, its marks included.

    Args:
        summary: What `summarise` returned.
    """
    seeds = " or ".join(map(str, summary["seeds"]))
    columns = _columns(summary["models"])
    rows = [_model_row(model, columns) for model in summary["models"]]
    adapters = [
        f"| {one['label']} | {one['trainable_percent']:g} | {one['before']:.1f} | {one['after']:.1f} |"
        for one in summary["adapters"]
    ]
    lines = [
        BEGIN,
        *planted_lines(summary),
        f"Test {COMPARED.title} in percent, mean over {seeds} seeds. Brackets: {summary['level']:.0%} bootstrap "
        "interval over patients; seed variation is not included (table `uncertainty` has both). The control has random "
        "labels: 50 is expected.",
        "",
        f"| model | {' | '.join(columns.values())} |",
        "|---" + "|---:" * len(columns) + "|",
        *rows,
        "",
        "Perplexity of the test notes, per token, before and after an adapter is trained.",
        "",
        "| adapter | trained, % | base | with the adapter |",
        "|---|---:|---:|---:|",
        *adapters,
        END,
    ]
    return "\n".join(lines)


def _columns(models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Titles of the tasks that any model has, in the order of the study's tables."""
    titles = {name: "control" if task.is_control else task.short for name, task in TASKS.items()} | {MACRO: "mean"}
    found = dict.fromkeys(task for model in models for task in model[METRIC])
    order = task_order(TASKS)
    place = order.index(MACRO)
    own = [task for task in found if task not in order]
    ordered = [*order[:place], *own, *order[place:]]
    return {task: titles.get(task, task) for task in ordered if task in found}


def _model_row(model: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    cells = []
    for task in columns:
        value, low, high = model[METRIC].get(task, (None, None, None))
        interval = f" ({low:.1f} to {high:.1f})" if task == MACRO and low is not None else ""
        cells.append("–" if value is None else f"{value:.1f}{interval}")
    return f"| {model['label']} | {' | '.join(cells)} |"


def with_section(text: str, new: str) -> str:
    """A README with another text between two marks: the results section, or its opening.

    Args:
        text: The README.
        new: The new text, whose first and last lines are the marks.

    Raises:
        DataError: The README lacks the marks.
    """
    lines = new.splitlines()
    begin, end = lines[0], lines[-1]
    if begin not in text or end not in text:
        raise DataError(f"{README}: expected the lines {begin!r} and {end!r}, found not both; put them back")
    before, after = text[: text.index(begin)], text[text.index(end) + len(end) :]
    return before + new + after


def main(arguments: Sequence[str]) -> int:
    """Write summary and section of the study whose folder is named."""
    try:
        write_json(SUMMARY, summarise(Path(arguments[0])))
        text, summary = README.read_text(encoding="utf-8"), read_json(SUMMARY)
        for part in filter(None, (opening(summary), section(summary))):
            text = with_section(text, part)
        write_text(README, text)
    except ClinicalPeftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["results/demo"]))
