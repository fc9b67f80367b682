"""Figures and the report: self-contained, complete, the same to the byte, and honest about what was found."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from results_fixtures import EMPTY_COMPARISON, built_from, results_of
from simulated_study import LABELS, OF_PAPER, VARIANTS, simulate_attrition, simulate_histories

from clinical_peft.errors import DataError
from clinical_peft.figures.definitions import (
    downstream,
    learning_curves,
    perplexity_change,
    perplexity_cost,
    reliability,
    roc_pr,
    validation,
)
from clinical_peft.figures.definitions.attrition import attrition_flow
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.report.html_report import build_report
from clinical_peft.tables.form import Table
from clinical_peft.tables.registry import all_tables
from clinical_peft.tables.render import to_csv
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS as BUILT_IN

TEMPLATE = Path(__file__).parents[3] / "report/report.html.j2"
STUDY = {
    "study": "simulated",
    "protocol": "corrected",
    "contamination": "paper",
    "split": "hash",
    "split_by_admission": [],
    "cohorts": "mimic-iii",
    "synthetic": True,
    "hospital": True,
    "switches": {"los_rounded": False, "task_adapter_inactive": False},
}
PROVENANCE = {"revision": "0" * 40, "config_sha256": "1" * 64, "versions": {"numpy": "2"}, "machine": {"cores": 2}}
MLFLOW = "http://127.0.0.1:5000"
MODELS = [*VARIANTS, "tfidf", "bluebert+lora"]
ADAPTER_FIGURES = {
    "learning_curves": learning_curves.learning_curves,
    "perplexity_change": perplexity_change.perplexity_change,
    "perplexity_cost": perplexity_cost.perplexity_cost,
}
SECTIONS = ("data", "result", "adaptation")
TABLES = [name for name, table in all_tables().items() if table.section in SECTIONS and name != "corpora"]
TASKS = ("mortality", "los", "procedures", "control")


def draw_results(aggregate, labels, output, **more):
    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    shown = downstream.Results(found, labels, BUILT_IN, COMPARED, aggregate["level"], **more)
    downstream.downstream_results(shown, output)


def draw_epochs(histories, output, **more):
    validation.validation_curves(histories, LABELS, output, tasks=BUILT_IN, metric=COMPARED, **more)


def draw(simulated, folder):
    """Every figure of the simulated study, by name."""
    names = ["attrition", "downstream_auroc", *ADAPTER_FIGURES, "validation_auroc"]
    paths = {name: folder / f"{name}.svg" for name in [*names, *(f"roc_pr_{task}" for task in TASKS)]}
    attrition_flow(simulate_attrition(TASKS), BUILT_IN, paths["attrition"])
    draw_results(simulated["aggregate"], LABELS, paths["downstream_auroc"])
    for name, draw_adapters in ADAPTER_FIGURES.items():
        draw_adapters(results_of(simulated).adapters, LABELS, paths[name])
    histories = simulate_histories(tasks=TASKS)
    draw_epochs(histories, paths["validation_auroc"], models=MODELS)
    for task in TASKS:
        by_model = {model: files for (model, name), files in simulated["predictions"].items() if name == task}
        roc_pr.roc_pr(BUILT_IN[task], by_model, simulated["classes"][task], LABELS, paths[f"roc_pr_{task}"])
    return paths


@pytest.fixture(scope="module")
def drawn(simulated, tmp_path_factory):
    return draw(simulated, tmp_path_factory.mktemp("figures"))


def tables_of(simulated, **changes):
    attrition = simulate_attrition(TASKS)
    more = {"protocol": "corrected", "attrition": attrition, "labels": OF_PAPER, "has_paper_cohorts": True}
    return built_from(results_of(simulated, **more | changes), *TABLES)


def write_report(simulated, drawn, output, **changes):
    found = {"labels": OF_PAPER, "comparison": simulated["aggregate"], "metrics": simulated["metrics"]}
    found |= {"perplexities": simulated["perplexities"], "tasks": {task: BUILT_IN[task] for task in TASKS}}
    found |= {name: changes.pop(name) for name in [*changes] if name in found}
    tables = tables_of(simulated, labels=found["labels"])
    settings = {
        "template": TEMPLATE,
        "study": STUDY,
        "results": StudyResults(**found),
        "tables": tables,
        "figures": drawn,
        "provenance": PROVENANCE,
        "output": output,
        "runs": {f"group/{model}": f"run-of-{model}" for model in MODELS} | {"models/llama/los/seed1": "run-of-a-seed"},
        "mlflow": MLFLOW,
        "mlflow_command": "mlflow ui",
        **changes,
    }
    build_report(**settings)
    return output.read_text(encoding="utf-8")


def adapters_alone(simulated):
    """The tables of a study that trains adapters and predicts nothing."""
    results = StudyResults(
        comparison=EMPTY_COMPARISON, perplexities=simulated["perplexities"], labels=LABELS, protocol="corrected"
    )
    return built_from(results, *TABLES)


@pytest.fixture(scope="module")
def page(simulated, drawn, tmp_path_factory):
    return write_report(simulated, drawn, tmp_path_factory.mktemp("report") / "report.html")


class Elements(HTMLParser):
    """Every element's tag and attributes, and which elements are left open."""

    VOID = ("meta", "br", "img", "link", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_loads_nothing_from_outside(page):
    elements = Elements(page)
    assert elements.open == []
    for tag, attributes in elements.found:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            # A link is followed when a reader clicks on it, and then to MLflow alone.
            allowed = ("#", f"{MLFLOW}/#/runs/") if tag == "a" else ("#",)
            assert attributes.get(name, "#").startswith(allowed)
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in elements.found}
    assert not re.search(r"https?:|@import|url\((?!#)", page.replace(MLFLOW, ""))


def test_links_and_drawings_refer_to_ids_that_exist_once(page):
    elements = Elements(page).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [a[k][1:] for _, a in elements for k in ("href", "xlink:href") if k in a and a[k][0] == "#"]
    references += re.findall(r"url\(#([^)]+)\)", page)
    assert references
    assert set(references) <= set(ids)


def test_report_has_every_table_figure_and_script(page, drawn):
    elements = Elements(page).found
    ids = {attributes.get("id") for _, attributes in elements}
    tables = ("dataset_statistics", "domain_adaptation", "downstream_main", "downstream_lora_baselines", "runs")
    for table in (*tables, "cohort_details", "attrition", "matched_models"):
        assert f"table-{table}" in ids
    assert "table-text_lengths" not in ids  # it has no row
    assert {f"figure-{name}" for name in drawn} <= ids
    assert sum(tag == "svg" and "viewbox" in attributes for tag, attributes in elements) == len(drawn)
    assert sum(a.get("class") == "sortable" for tag, a in elements if tag == "table") == 10
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "table.sortable thead th" in script
    assert "@media print" in page


def test_report_shows_its_tables_and_their_provenance(page, simulated):
    cell = next(
        row for row in simulated["aggregate"]["summaries"] if (row["model"], row["task"]) == ("llama+lora", "los")
    )
    assert f"{100 * cell['auroc']:.1f}" in page
    assert "87.49" in page  # published PROC of llama+lora
    for value in (
        PROVENANCE["revision"],
        PROVENANCE["config_sha256"],
        simulated["metrics"][0]["predictions_sha256"][:12],
    ):
        assert value in page
    assert "&#34;multilabel_softmax&#34;: false" in page
    assert "Synthetic data." in page


def test_a_hidden_number_of_scored_classes_is_a_dash(simulated, drawn, tmp_path):
    hidden = {"validation": None, "test": None}
    changed = simulated | {"metrics": [run | {"classes_scored": hidden} for run in simulated["metrics"]]}
    assert "None of" not in write_report(changed, drawn, tmp_path / "report.html")


def test_report_and_figures_are_the_same_to_the_byte(simulated, drawn, page, tmp_path):
    again = draw(simulated, tmp_path / "figures")
    for name, path in again.items():
        assert path.read_bytes() == drawn[name].read_bytes(), name
    assert write_report(simulated, again, tmp_path / "report.html") == page


def test_mimic_iv_is_not_compared_with_published_numbers(simulated, drawn, page, tmp_path):
    text = write_report(simulated, drawn, tmp_path / "report.html", study={**STUDY, "cohorts": "mimic-iv"})
    assert "The cohorts are of MIMIC-IV" in text
    assert "The cohorts are of" not in page


def test_labels_are_escaped(simulated, drawn, tmp_path):
    labels = {**LABELS, "llama": {"label": "<script>alert(1)</script>", "published": "llama"}}
    figure = tmp_path / "downstream_auroc.svg"
    draw_results(simulated["aggregate"], labels, figure)
    text = write_report(simulated, {**drawn, "downstream_auroc": figure}, tmp_path / "report.html", labels=labels)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_drawing_with_a_script_or_an_address_is_refused(simulated, tmp_path):
    for content in ('<svg onload="x()"></svg>', '<svg><image href="http://example.org/a.png"/></svg>'):
        path = tmp_path / "downstream_auroc.svg"
        path.write_text(content)
        with pytest.raises(DataError, match="without scripts and outside addresses"):
            write_report(simulated, {"downstream_auroc": path}, tmp_path / "report.html")
    with pytest.raises(DataError, match="found no file"):
        write_report(simulated, {"downstream_auroc": tmp_path / "absent.svg"}, tmp_path / "report.html")


def test_a_study_of_adapters_alone_has_a_report(simulated, tmp_path):
    names = ("downstream_auroc", "validation_auroc")
    draw_results(EMPTY_COMPARISON, LABELS, tmp_path / "downstream_auroc.svg")
    draw_epochs([], tmp_path / "validation_auroc.svg")
    text = write_report(
        simulated,
        {name: tmp_path / f"{name}.svg" for name in names},
        tmp_path / "report.html",
        comparison=EMPTY_COMPARISON,
        metrics=[],
        tables=adapters_alone(simulated),
    )
    assert "Perplexity of held-out clinical notes, per token of tiny-llama: 44.0 before, 7.8 after" in text
    assert "No model was fine-tuned." not in text
    assert 'id="result"' not in text


def test_figures_draw_one_line_per_model_and_name_it(drawn):
    text = drawn["roc_pr_mortality"].read_text()
    for model in VARIANTS:
        assert text.count(f">{LABELS[model]['label']}</text>") == 1
    assert "TF-IDF &amp; logistic regression" in text


def colour_of(svg, label):
    """Colour of the line drawn before a legend's entry."""
    return re.findall(r"stroke: (#\w{6})", svg[: svg.index(f">{label}</text>")])[-1]


def test_a_model_has_one_colour_in_all_figures(drawn):
    roc, epochs = (drawn[name].read_text() for name in ("roc_pr_los", "validation_auroc"))
    assert "TF-IDF" not in epochs
    colours = [colour_of(roc, LABELS[model]["label"]) for model in VARIANTS]
    assert len(set(colours)) == len(VARIANTS)
    assert [colour_of(epochs, LABELS[model]["label"]) for model in VARIANTS] == colours


def test_rows_of_models_and_runs_link_to_mlflow(page, simulated, drawn, tmp_path):
    links = [a["href"] for tag, a in Elements(page).found if tag == "a" and a["href"].startswith(MLFLOW)]
    assert sorted(links) == sorted(f"{MLFLOW}/#/runs/run-of-{name}" for name in [*MODELS, "a-seed"])
    assert "<code>mlflow ui</code>" in page
    without = write_report(simulated, drawn, tmp_path / "report.html", mlflow=None)
    assert [word for word in (MLFLOW, "mlflow ui") if word in without] == []


def test_further_sections_appear_with_their_tables(simulated, drawn, page, tmp_path):
    assert 'id="calibration"' not in page
    rows = (("MOR", "a", "1.02"), ("LOS", "a", "0.9"))
    table = Table("calibration", "Calibration of each model.", (), (), ("Task", "Model", "Slope"), rows, (), 2)
    figure = tmp_path / "reliability_mortality.svg"
    bins = reliability.Reliability(np.array([0.1, 0.6]), np.array([0.2, 0.5]))
    reliability.reliability_diagram(BUILT_IN["mortality"], {"as they are": {"llama": bins}}, LABELS, figure)
    text = write_report(
        simulated,
        {**drawn, "reliability_mortality": figure},
        tmp_path / "report.html",
        tables=tables_of(simulated) | {"calibration": table},
    )
    mortality = text[text.index('id="task-mortality"') : text.index('id="task-los"')]
    assert 'id="table-calibration-mortality"' in mortality
    assert 'id="figure-reliability_mortality"' in mortality
    assert ">1.02<" in mortality
    assert ">1.02<" not in text.replace(mortality, "")
    assert '<section id="calibration"' not in text
    assert 'id="subgroups"' not in text


def test_the_page_begins_with_question_answers_and_caveats(page):
    opening = page[page.index('<section id="answer"') : page.index('<section id="result"')]
    places = [
        opening.index(part) for part in ("<h1>Does adapting", 'class="answers"', "figure-downstream", 'class="caveats"')
    ]
    assert places == sorted(places)
    assert opening.count('class="headline"') == 3
    assert opening.count("<strong>") == 3
    assert page.count('id="figure-downstream_auroc"') == 1


def test_published_values_stand_beside_paper_bases_alone(simulated, drawn, page, tmp_path):
    assert "87.49<small>" in page
    tables = tables_of(simulated, labels=LABELS, has_paper_cohorts=False)
    text = write_report(simulated, drawn, tmp_path / "report.html", labels=LABELS, tables=tables)
    assert "87.49<small>" not in text
    assert "paper (difference)" not in text
    assert "87.49" in to_csv(tables["downstream_main"])


def test_nothing_empty_stands_in_the_page(simulated, drawn, tmp_path):
    tables = adapters_alone(simulated)
    assert any(not table.rows for table in tables.values())
    text = write_report(simulated, drawn, tmp_path / "report.html", tables=tables)
    assert "no such row" not in text
    heads = re.findall(r"<thead>.*?</thead>\s*<tbody>(.*?)</tbody>", text, re.DOTALL)
    assert all("<tr>" in body for body in heads)


def test_a_study_of_adapters_alone_promises_no_cohorts(simulated, page, tmp_path):
    assert 'id="result"' in page
    study = STUDY | {"synthetic": False, "hospital": False}
    changes = {"comparison": EMPTY_COMPARISON, "metrics": [], "study": study, "tables": adapters_alone(simulated)}
    text = write_report(simulated, {}, tmp_path / "report.html", **changes)
    assert "<b>Hospital</b>none: notes from a file" in text
    for absent in ("<b>Cohorts</b>", "<b>Predictions</b>", 'href="#result"', "two adapters was added"):
        assert absent not in text
