"""The report and the TRIPOD+AI evidence sheet of a study, from its files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_peft.files import read_json, sha256_file, write_text
from clinical_peft.metrics.metric import Metric
from clinical_peft.report.checklist import RunFacts, tripod_table
from clinical_peft.report.html_report import build_report
from clinical_peft.runtime.lineage import run_log_files, training_environments
from clinical_peft.runtime.provenance import together
from clinical_peft.tables.form import Labels
from clinical_peft.tables.render import to_markdown
from clinical_peft.tables.stored import read_tables
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks
from clinical_peft.tracking.records import sent_runs


@dataclass(frozen=True, kw_only=True)
class ReportSources:
    """The files that a report is made from.

    Attributes:
        template: Jinja template.
        tables: The study's tables as `clinical_peft.tables.stored.store_tables` wrote them.
        figures: Folder of SVG files.
        comparison: Metrics averaged and compared.
        perplexities: Per adapter.
        attrition: Per task, `{task}.attrition.json`.
        metrics: Metrics files of all runs.
        runs: MLflow run id by identity.
        leakage: Counts of the leakage check.
        inputs: Files whose checksums identify the study's data.
        run_logs: Run logs of the study's jobs, or folders of them; those that train say with what and where.
    """

    template: Path
    tables: Path
    figures: Path
    comparison: Path
    perplexities: Sequence[Path]
    attrition: Sequence[Path]
    metrics: Sequence[Path]
    runs: Path
    leakage: Path
    inputs: Sequence[Path]
    run_logs: Sequence[Path] = ()


def write_study_report(
    sources: ReportSources,
    *,
    study: Mapping[str, Any],
    labels: Labels,
    tasks: Tasks,
    metric: Metric,
    config: Mapping[str, Any],
    revision: str,
    mlflow: tuple[str | None, str | None],
    report: Path,
    checklist: Path,
) -> None:
    """Write both.

    Args:
        sources: The study's files.
        study: As for `clinical_peft.report.html_report.build_report`.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        tasks: The study's tasks.
        metric: The metric by which models are compared.
        config: The study's settings, without secrets.
        revision: git revision of the code.
        mlflow: Address of MLflow's pages, or None, and the command that serves them, or None.
        report: HTML file to write.
        checklist: Markdown file to write.

    Raises:
        DataError: A file is missing or malformed.
    """
    tables = read_tables(sources.tables)
    text = json.dumps(config, indent=1, sort_keys=True)
    trained = together(training_environments(run_log_files(sources.run_logs)).values())
    results = StudyResults(
        labels=labels,
        tasks=tasks,
        metric=metric,
        attrition={path.name.split(".")[0]: read_json(path) for path in sources.attrition},
        perplexities=[read_json(path) for path in sources.perplexities],
        comparison=read_json(sources.comparison),
        metrics=[read_json(path) for path in sources.metrics],
    )
    facts = RunFacts(
        study=study,
        results=results,
        tables=tables,
        provenance={
            "git revision": revision,
            "configuration (SHA-256)": hashlib.sha256(text.encode()).hexdigest(),
            "versions of the training jobs": trained["versions"],
            "machine of the training jobs": trained["machine"],
            "input checksums (SHA-256)": {path.stem: sha256_file(path) for path in sources.inputs},
        },
    )
    sheet = tripod_table(facts)
    write_text(checklist, to_markdown(sheet))
    build_report(
        template=sources.template,
        study=study,
        results=results,
        tables=tables,
        figures={path.stem: path for path in sorted(sources.figures.glob("*.svg"))},
        provenance=facts.provenance,
        output=report,
        checklist=sheet,
        leakage=read_json(sources.leakage),
        runs=sent_runs(read_json(sources.runs)),
        mlflow=mlflow[0],
        mlflow_command=mlflow[1],
        config=text,
    )
