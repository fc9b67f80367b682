"""The study's report: one HTML file that loads nothing from anywhere."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clinical_peft.errors import DataError
from clinical_peft.files import write_text
from clinical_peft.report.discussion import compare_groups, control_sentences, seed_sentence
from clinical_peft.report.opening import in_short, question, range_of
from clinical_peft.tables.form import (
    MISSING,
    TASK_LABELS,
    Labels,
    Table,
    counted,
    judged_over,
    label_of,
    number,
    unit_of_split,
)
from clinical_peft.tables.html_tables import to_html
from clinical_peft.tables.published import published

SHORT = 12
# Figures of one kind, one per task; they share a caption.
BY_TASK = ("roc_pr", "reliability", "decision")
# Sections beyond those that every report has, each shown where a study has one of its tables or figures.
FURTHER: tuple[dict[str, Any], ...] = (
    {
        "id": "metrics",
        "short": "Further figures",
        "title": "What else the predictions say",
        "text": "Precision and recall, classification and the error of the probabilities; the tasks of many labels by "
        "average and frequency; and the same logits scored as in the original.",
        "tables": ("metrics", "multilabel_metrics", "scoring_variants"),
        "figures": (),
    },
    {
        "id": "uncertainty",
        "short": "Uncertainty",
        "title": "Which differences hold",
        "text": "Every figure with its interval, and every pair of models compared on the same patients.",
        "tables": ("uncertainty",),
        "figures": (),
    },
    {
        "id": "gaps",
        "short": "Gaps",
        "title": "What each choice of protocol is worth",
        "text": "Effects of the original's choices, each turned on alone and all together, and of test patients whose "
        "notes stand in pretraining.",
        "tables": ("protocol_gaps", "contamination_gaps"),
        "figures": (),
    },
    {
        "id": "calibration",
        "short": "Calibration",
        "title": "Can the probabilities be used?",
        "text": "How far predicted risks agree with what happened, before and after recalibration on validation, and "
        "what acting on them would be worth.",
        "tables": ("calibration",),
        "figures": ("reliability", "decision"),
    },
    {
        "id": "subgroups",
        "short": "Subgroups",
        "title": "Groups of patients",
        "text": "Differences between groups of patients, with intervals; groups of fewer than ten are not shown, nor "
        "others that would give their counts away.",
        "tables": ("subgroups",),
        "figures": (),
    },
    {
        "id": "cost",
        "short": "Cost",
        "title": "Cost",
        "text": "What the study took, in tokens and device time.",
        "tables": ("cost",),
        "figures": (),
    },
)
# Tables of models and of adapters, and how the MLflow run of a row is called.
RUN_OF_ROW = {
    "downstream_main": "group/{}",
    "downstream_lora_baselines": "group/{}",
    "domain_adaptation": "adapters/adapters/{}",
    "runs": "models/{}",
}


def build_report(
    *,
    template: Path,
    study: Mapping[str, Any],
    tables: Mapping[str, Table],
    aggregate: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    perplexities: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Path],
    labels: Labels,
    provenance: Mapping[str, Any],
    output: Path,
    checklist: Table | None = None,
    runs: Mapping[str, str] | None = None,
    mlflow: str | None = None,
    mlflow_command: str | None = None,
    config: str = "",
    titles: Mapping[str, str] | None = None,
) -> None:
    """Write the report. The same inputs give the same bytes.

    Args:
        template: Jinja template; the figures' captions lie beside it as `{figure}.rst`, one plain paragraph each
            (`roc_pr.rst`, `reliability.rst` and `decision.rst` for every task).
        study: study (name), protocol, contamination, split, split_by_admission (tasks), cohorts (their source),
            synthetic (bool), hospital (whether it reads one's tables), switches (name to bool).
        tables: What `clinical_peft.tables.paper_tables.build_tables` and
            `clinical_peft.tables.cohort_tables.build_cohort_tables` returned, together.
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        metrics: Content of the metrics files.
        perplexities: Content of the perplexity files.
        figures: SVG files by name: attrition, downstream_auroc, learning_curves, perplexity_change, perplexity_cost,
            validation_auroc, label_frequency, embeddings, and roc_pr_{task}, reliability_{task}, decision_{task}; those
            left out are left out of the report, and so are sections of tables that a study does not have.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        provenance: What identifies the computation: single values, and mappings of single values (versions, machine,
            checksums of inputs).
        output: HTML file to write.
        checklist: What `clinical_peft.report.checklist.tripod_table` returned.
        runs: MLflow run id by identity, as `clinical_peft.tracking.run_logs.sync_runs` returned them.
        mlflow: Address of MLflow's pages, to which rows link; None leaves the links out.
        mlflow_command: Command that serves these pages from this machine, where no server does.
        config: The study's configuration as text.
        titles: Titles that the study gives tasks in place of their own.

    Raises:
        DataError: A figure or its caption is missing, or a figure would load something from outside.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(template.name).render(
        study=study,
        tables=tables,
        stages=_stages(study, tables, aggregate, metrics, perplexities),
        figures={name: _figure(name, path, template.parent) for name, path in figures.items()},
        by_task={kind: [f"{kind}_{task}" for task in TASK_LABELS if f"{kind}_{task}" in figures] for kind in BY_TASK},
        html=lambda table: to_html(table, _links(table, runs or {}, mlflow), hidden_caption=True),
        checklist=checklist,
        question=question(
            [row["task"] for row in tables["dataset_statistics"].records], adapters=len(perplexities), titles=titles
        ),
        short=in_short(aggregate, tables, labels),
        further=_further_sections(tables, figures),
        config=config,
        mlflow_command=mlflow_command if mlflow else None,
        groups=compare_groups(aggregate, labels),
        control=control_sentences(aggregate, labels),
        seeds=seed_sentence(aggregate),
        judged_over=judged_over(aggregate),
        runs=_run_table(metrics, labels),
        recipes=_recipes(metrics),
        provenance={key: value for key, value in provenance.items() if not isinstance(value, Mapping)},
        provenance_groups={key: value for key, value in provenance.items() if isinstance(value, Mapping)},
        unit_of_split=unit_of_split(study),
        source=published()["source"],
        two_adapters=any(run["recipe"].get("clinical") and run["recipe"].get("task_method") for run in metrics),
    )
    write_text(output, text)


def _further_sections(tables: Mapping[str, Table], figures: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The sections whose tables or figures a study has."""
    sections = []
    for section in FURTHER:
        own = [name for name in section["tables"] if name in tables]
        drawn = [kind for kind in section["figures"] if any(name.startswith(f"{kind}_") for name in figures)]
        if own or drawn:
            sections.append({**section, "tables": own, "figures": drawn})
    return sections


def _stages(
    study: Mapping[str, Any],
    tables: Mapping[str, Table],
    aggregate: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    perplexities: Sequence[Mapping[str, Any]],
) -> list[tuple[str, str]]:
    """The chain from hospital to report, each stage with what came out of it."""
    cohorts = tables["dataset_statistics"].records
    admissions = range_of([row["admissions"] for row in tables["cohort_details"].records])
    each = " each" if len(cohorts) > 1 else ""
    models = counted(len({run["model"] for run in metrics}), "model")
    hospital = "synthetic" if study["synthetic"] else "MIMIC" if study["hospital"] else "none: notes from a file"
    predicted = [
        ("Predictions", f"{counted(len(metrics), 'run')} of {models}"),
        ("Metrics", f"{number(aggregate['resamples'])} resamples of patients"),
    ]
    corpora = {row["corpus"]: sum(row["tokens"][s] for s in ("train", "validation", "test")) for row in perplexities}
    return [
        ("Hospital", hospital),
        *(
            [("Cohorts", f"{counted(len(cohorts), 'task')} of {admissions} labelled admissions{each}")]
            if cohorts
            else []
        ),
        ("Tokens", "; ".join(f"{name} {number(count)}" for name, count in sorted(corpora.items())) or "none"),
        ("Adapters", str(len(perplexities))),
        *(predicted if metrics else []),
    ]


def _figure(name: str, path: Path, folder: Path) -> dict[str, Any]:
    kind = next((kind for kind in BY_TASK if name.startswith(f"{kind}_")), name)
    caption = folder / f"{kind}.rst"
    for needed in (path, caption):
        if not needed.is_file():
            raise DataError(f"{needed}: expected the figure {name!r} or its caption, found no file")
    text = " ".join(caption.read_text(encoding="utf-8").split())
    return {"svg": _inline_svg(name, path), "caption": text}


def _inline_svg(name: str, path: Path) -> Markup:
    """The drawing without prologue and namespaces (HTML implies them), its ids made unique in the page."""
    text = path.read_text(encoding="utf-8")
    drawing = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = drawing.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    if re.search(r"https?:|<script|\son\w+=", drawing):
        raise DataError(f"{path}: expected a drawing without scripts and outside addresses")
    return Markup(drawing)


def _links(table: Table, runs: Mapping[str, str], mlflow: str | None) -> dict[str, str]:
    """Address of the MLflow run of each row that has one, by the row's name."""
    identity = RUN_OF_ROW.get(table.name)
    if mlflow is None or identity is None:
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


def _run_table(metrics: Sequence[Mapping[str, Any]], labels: Labels) -> Table:
    rows = []
    ordered = sorted(metrics, key=lambda run: (run["model"], run["task"], run["seed"]))
    for run in ordered:
        auroc, interval = run["metrics"]["test"]["auroc"], run["intervals"]["test"]["auroc"]
        rows.append(
            (
                label_of(run["model"], labels),
                TASK_LABELS[run["task"]],
                str(run["seed"]),
                number(run["n"]["test"]),
                f"{run['classes_scored']['test']} of {run['classes']}",
                number(None if auroc is None else 100 * auroc, 2),
                f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else MISSING,
                number(run["bootstrap"]["undefined"]["auroc"]),
                _recipe_hash(run["recipe"]),
                run["cohort_sha256"][:SHORT],
                run["predictions_sha256"][:SHORT],
            )
        )
    level = f"{metrics[0]['level']:.0%}" if metrics else ""
    return Table(
        name="runs",
        caption="Every run: its test AUROC in percent, and the checksums of what it was made from.",
        fields=(),
        records=(),
        header=(
            "Model",
            "Task",
            "Seed",
            "Test admissions",
            "Classes scored",
            "AUROC",
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
