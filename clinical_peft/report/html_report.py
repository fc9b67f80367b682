"""The study's report: one HTML file that loads nothing from anywhere."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from clinical_peft.files import write_text
from clinical_peft.report.answers import answers, matched_table, result_sentences, task_sentences
from clinical_peft.report.discussion import Comparison, compare_groups, control_sentences, seed_sentence
from clinical_peft.report.opening import caveats, perplexity_sentences, question
from clinical_peft.report.page_sections import FoldedTable, PageSection, page_sections, task_sections, without_first
from clinical_peft.report.page_tables import without_empty_columns
from clinical_peft.report.run_table import RUN_OF_RUN, RUNS, recipes_of, run_table
from clinical_peft.report.stages import stages_of, task_facts
from clinical_peft.tables.form import Table, judged_over, splits_of_tables, unit_of_split
from clinical_peft.tables.html_tables import to_html
from clinical_peft.tables.published import published
from clinical_peft.tables.registry import all_tables
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import task_label

STYLES = ("report.css", "narrow.css", "print.css")
SCRIPT = "report.js"


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
    leakage: Mapping[str, Any] | None = None,
    runs: Mapping[str, str] | None = None,
    mlflow: str | None = None,
    mlflow_command: str | None = None,
    config: str = "",
) -> None:
    """Write the report. The same inputs give the same bytes.

    Args:
        template: Jinja template, beside those that it includes.
        study: study (name), protocol, contamination, split, split_by_admission (tasks), cohorts (their source),
            synthetic (bool), hospital (whether it reads one's tables), switches (name to bool).
        results: The study's tasks, metric, labels, comparison, metrics and perplexities.
        tables: The study's tables; `dataset_statistics` and `cohort_details` among them.
        figures: SVG files by stem; sections without a table and a figure do not stand in the page.
        provenance: What identifies the computation: single values, and mappings of single values (versions, machine,
            checksums of inputs).
        output: HTML file to write.
        checklist: What `clinical_peft.report.checklist.tripod_table` returned.
        leakage: What `clinical_peft.data.leakage.check_leakage` returned; None where it is not at hand.
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
    main_drawing, sections["result"] = without_first(sections["result"])
    others = _others(sections)
    tasks = [_task(one.name, one.parts, tables, results) for one in task_sections(tables, figures, results)]
    found = answers(results)
    text = environment.get_template(template.name).render(
        css=Markup("\n".join(map(_asset, STYLES))),
        script=Markup(_asset(SCRIPT)),
        study=study,
        question=question(results.tasks, adapters=len(results.perplexities)),
        answers=found,
        further=[] if found else [*perplexity_sentences(results.adapters, results), *result_sentences(results)],
        caveats=caveats(study, results, leakage),
        main_drawing=main_drawing,
        contents=_contents(sections, tasks, others, has_checklist=checklist is not None),
        sections=sections,
        tasks=tasks,
        others=others,
        stages=stages_of(study, tables, results),
        matched=_placed(matched_table(results)),
        groups=[
            _group(place, group, shows_published=results.shows_published)
            for place, group in enumerate(compare_groups(results))
        ],
        control=control_sentences(results),
        seeds=seed_sentence(results.comparison) if results.comparison["summaries"] else "",
        html=lambda table: to_html(table, _links(table, runs or {}, mlflow), hidden_caption=True),
        checklist=_placed(checklist) if checklist else None,
        config=config,
        mlflow_command=mlflow_command if mlflow else None,
        judged_over=judged_over(results.comparison),
        runs=_placed(run_table(results)),
        recipes=recipes_of(results.metrics),
        provenance={key: value for key, value in provenance.items() if not isinstance(value, Mapping)},
        provenance_groups={key: value for key, value in provenance.items() if isinstance(value, Mapping)},
        unit_of_split=unit_of_split(study, results.tasks),
        splits_of_tables=splits_of_tables(study),
        is_of_hospital=results.is_of_hospital,
        is_beside_paper=results.is_beside_paper,
        shows_published=results.shows_published,
        source=published()["source"],
        two_adapters=any(run["recipe"].get("clinical") and run["recipe"].get("task_method") for run in results.metrics),
    )
    write_text(output, text)


def _asset(name: str) -> str:
    return resources.files("clinical_peft.report").joinpath("assets", name).read_text(encoding="utf-8")


def _others(sections: Mapping[str, PageSection]) -> list[PageSection]:
    """Sections behind those of the tasks; that of the data stands in every page."""
    before = ("result", "uncertainty")
    return [one for name, one in sections.items() if name not in before and (name == "data" or not one.is_empty)]


def _task(
    name: str, parts: Sequence[PageSection], tables: Mapping[str, Table], results: StudyResults
) -> dict[str, Any]:
    task = results.tasks[name]
    title = task.title if task.title == task.short else f"{task.title} ({task.short})"
    return {
        "name": name,
        "short": task_label(name, results.tasks),
        "title": title,
        "facts": task_facts(name, tables, results),
        "sentences": task_sentences(name, results),
        "parts": parts,
    }


def _contents(
    sections: Mapping[str, PageSection],
    tasks: Sequence[Mapping[str, Any]],
    others: Sequence[PageSection],
    *,
    has_checklist: bool,
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """The table of contents: anchor and title of each section, and of those below it."""
    first = [sections[name].section for name in ("result", "uncertainty") if not sections[name].is_empty]
    return [
        ("answer", "Answer", []),
        *((one.name, one.short, []) for one in first),
        *(
            [(f"task-{tasks[0]['name']}", "By task", [(f"task-{one['name']}", one["short"]) for one in tasks])]
            if tasks
            else []
        ),
        *((one.section.name, one.section.short, []) for one in others),
        ("limits", "Limits", []),
        *([("tripod", "TRIPOD+AI", [])] if has_checklist else []),
        ("provenance", "Provenance", []),
    ]


def _placed(table: Table) -> FoldedTable:
    return FoldedTable(without_empty_columns(table), "", f"table-{table.name}")


def _group(place: int, group: Comparison, *, shows_published: bool) -> dict[str, Any]:
    """A group of compared models, with anchors for its tables that no other group has.

    Its name holds the number of the paper's table where readers see the paper's values alone.
    """
    return {
        "name": group.name if shows_published else group.name.partition(" (")[0],
        "sentences": group.sentences,
        "pairs": FoldedTable(group.pairs, "", f"pairs-{place}"),
        "by_task": FoldedTable(group.by_task, "", f"pairs-by-task-{place}"),
    }


def _links(table: Table, runs: Mapping[str, str], mlflow: str | None) -> dict[str, str]:
    """Address of the MLflow run of each row that has one, by the row's name."""
    identity = RUN_OF_RUN if table.name == RUNS else all_tables()[table.name].run if table.name in all_tables() else ""
    if mlflow is None or not identity:
        return {}
    found = {name: runs.get(identity.format(name)) for name in table.row_names}
    return {name: f"{mlflow.rstrip('/')}/#/runs/{run}" for name, run in found.items() if run is not None}
