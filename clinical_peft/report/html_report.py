"""The study's report: one HTML file that loads nothing from anywhere."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clinical_peft.files import write_text
from clinical_peft.report.discussion import compare_groups, control_sentences, seed_sentence
from clinical_peft.report.opening import in_short, question, range_of
from clinical_peft.report.page_sections import page_sections
from clinical_peft.tables.form import (
    MISSING,
    Table,
    counted,
    judged_over,
    label_of,
    number,
    unit_of_split,
)
from clinical_peft.tables.html_tables import to_html
from clinical_peft.tables.published import published
from clinical_peft.tables.registry import all_tables
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import own_tables, task_label

SHORT = 12  # characters of a checksum
RUNS, RUN_OF_RUN = "runs", "models/{}"  # the table of single runs, and how the MLflow run of a row is called


def build_report(
    *,
    template: Path,
    study: Mapping[str, Any],
    results: StudyResults,
    tables: Mapping[str, Table],
    figures: Mapping[str, Path],
    provenance: Mapping[str, Any],
    output: Path,
    checklist: Table | None = None,
    runs: Mapping[str, str] | None = None,
    mlflow: str | None = None,
    mlflow_command: str | None = None,
    config: str = "",
) -> None:
    """Write the report. The same inputs give the same bytes.

    Args:
        template: Jinja template.
        study: study (name), protocol, contamination, split, split_by_admission (tasks), cohorts (their source),
            synthetic (bool), hospital (whether it reads one's tables), switches (name to bool).
        results: The study's tasks, metric, labels, comparison, metrics and perplexities.
        tables: The study's tables; `dataset_statistics`, `domain_adaptation` and `cohort_details` among them.
        figures: SVG files by stem; those that a study does not have are left out, and so are sections without a table
            and a figure.
        provenance: What identifies the computation: single values, and mappings of single values (versions, machine,
            checksums of inputs).
        output: HTML file to write.
        checklist: What `clinical_peft.report.checklist.tripod_table` returned.
        runs: MLflow run id by identity, as `clinical_peft.tracking.run_logs.sync_runs` returned them.
        mlflow: Address of MLflow's pages, to which rows link; None leaves the links out.
        mlflow_command: Command that serves these pages from this machine, where no server does.
        config: The study's configuration as text.

    Raises:
        DataError: A figure is missing, or would load something from outside.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    sections = page_sections(tables, figures, results)
    text = environment.get_template(template.name).render(
        study=study,
        stages=_stages(study, tables, results),
        sections=sections,
        further=[one for one in sections.values() if not (one.section.is_fixed or one.is_empty)],
        html=lambda table: to_html(table, _links(table, runs or {}, mlflow), hidden_caption=True),
        checklist=checklist,
        question=question(results.tasks, adapters=len(results.perplexities)),
        short=in_short(results, tables),
        config=config,
        mlflow_command=mlflow_command if mlflow else None,
        groups=compare_groups(results),
        control=control_sentences(results),
        seeds=seed_sentence(results.comparison),
        judged_over=judged_over(results.comparison),
        runs=_run_table(results),
        recipes=_recipes(results.metrics),
        provenance={key: value for key, value in provenance.items() if not isinstance(value, Mapping)},
        provenance_groups={key: value for key, value in provenance.items() if isinstance(value, Mapping)},
        unit_of_split=unit_of_split(study, results.tasks),
        is_of_hospital=results.is_of_hospital,
        is_beside_paper=results.is_beside_paper,
        source=published()["source"],
        two_adapters=any(run["recipe"].get("clinical") and run["recipe"].get("task_method") for run in results.metrics),
    )
    write_text(output, text)


def _stages(study: Mapping[str, Any], tables: Mapping[str, Table], results: StudyResults) -> list[tuple[str, str]]:
    """The chain from hospital to report, each stage with what came out of it."""
    cohorts = tables["dataset_statistics"].records
    metrics, perplexities = results.metrics, results.perplexities
    sizes = range_of([row["admissions"] for row in tables["cohort_details"].records])
    each = " each" if len(cohorts) > 1 else ""
    models = counted(len({run["model"] for run in metrics}), "model")
    predicted = [
        ("Predictions", f"{counted(len(metrics), 'run')} of {models}"),
        ("Metrics", f"{number(results.comparison['resamples'])} resamples of patients"),
    ]
    corpora = {row["corpus"]: sum(row["tokens"][s] for s in ("train", "validation", "test")) for row in perplexities}
    return [
        _origin(study, results),
        *(
            [("Cohorts", f"{counted(len(cohorts), 'task')} of {sizes} labelled {results.unit}s{each}")]
            if cohorts
            else []
        ),
        ("Tokens", "; ".join(f"{name} {number(count)}" for name, count in sorted(corpora.items())) or "none"),
        ("Adapters", str(len(perplexities))),
        *(predicted if metrics else []),
    ]


def _origin(study: Mapping[str, Any], results: StudyResults) -> tuple[str, str]:
    """The first stage: where notes and outcomes come from."""
    hospital = "synthetic" if study["synthetic"] else "MIMIC" if study["hospital"] else ""
    own = own_tables(results.tasks)
    if not own:
        return "Hospital", hospital or "none: notes from a file"
    return "Notes", "; ".join([*([f"{hospital} hospital"] if hospital else []), f"own {_named('table', own)}"])


def _named(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _links(table: Table, runs: Mapping[str, str], mlflow: str | None) -> dict[str, str]:
    """Address of the MLflow run of each row that has one, by the row's name."""
    identity = RUN_OF_RUN if table.name == RUNS else all_tables()[table.name].run if table.name in all_tables() else ""
    if mlflow is None or not identity:
        return {}
    found = {name: runs.get(identity.format(name)) for name in table.row_names}
    return {name: f"{mlflow.rstrip('/')}/#/runs/{run}" for name, run in found.items() if run is not None}


def _recipe_hash(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:SHORT]


def _recipes(metrics: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Every resolved recipe once: title and JSON by the start of its SHA-256."""
    found = {}
    for run in metrics:
        text = json.dumps(run["recipe"], indent=1, sort_keys=True, ensure_ascii=False)
        found[_recipe_hash(run["recipe"])] = {"title": f"{run['model']}, {run['task']}", "json": text}
    return dict(sorted(found.items(), key=lambda item: (item[1]["title"], item[0])))


def _run_table(results: StudyResults) -> Table:
    metrics, labels, metric = results.metrics, results.labels, results.metric
    rows = []
    ordered = sorted(metrics, key=lambda run: (run["model"], run["task"], run["seed"]))
    for run in ordered:
        value, interval = run["metrics"]["test"].get(metric.name), run["intervals"]["test"].get(metric.name)
        rows.append(
            (
                label_of(run["model"], labels),
                task_label(run["task"], results.tasks),
                str(run["seed"]),
                number(run["n"]["test"]),
                f"{number(run['classes_scored']['test'])} of {run['classes']}",
                number(None if value is None else 100 * value, 2),
                f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else MISSING,
                number(run["bootstrap"]["undefined"].get(metric.name)),
                _recipe_hash(run["recipe"]),
                run["cohort_sha256"][:SHORT],
                run["predictions_sha256"][:SHORT],
            )
        )
    level = f"{metrics[0]['level']:.0%}" if metrics else ""
    return Table(
        name=RUNS,
        caption=f"Every run: its test {metric.title} in percent, and the checksums of what it was made from.",
        fields=(),
        records=(),
        header=(
            "Model",
            "Task",
            "Seed",
            f"Test {results.unit}s",
            "Classes scored",
            metric.title,
            f"{level} interval",
            "Undefined resamples",
            "Recipe",
            "Cohort",
            "Predictions",
        ),
        rows=tuple(rows),
        text_columns=2,
        row_names=tuple(f"{run['model']}/{run['task']}/seed{run['seed']}" for run in ordered),
    )
