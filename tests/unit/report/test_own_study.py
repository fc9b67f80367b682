"""A study of a user's own table: its tasks stand everywhere, and no word of MIMIC or of the paper does."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from own_study import OWN, simulate_own_study

from clinical_peft.figures.definitions import roc_pr
from clinical_peft.figures.drawing import draw_all
from clinical_peft.figures.registry import all_figures
from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.registry import find_metric
from clinical_peft.report.checklist import RunFacts, tripod_table
from clinical_peft.report.html_report import build_report
from clinical_peft.report.model_cards import CardFacts, model_card
from clinical_peft.tables.html_tables import to_page
from clinical_peft.tables.registry import build_tables, find_table, table_names
from clinical_peft.tables.render import to_latex, to_markdown
from clinical_peft.tables.study_tasks import task_order
from clinical_peft.tasks import TASKS

TEMPLATE = Path(__file__).parents[3] / "report/report.html.j2"
FOREIGN = re.compile(
    r"mimic|carevue|\bpapers?\b|\bpaper's|published|\btables? [1-4]\b|\bicu\b|\bbeep\b|\bcore\b|\bdeaths?\b|\bdied\b"
    r"|\badmissions?\b|physionet|discharge|the original|protocol\.md|contamination mode",
    re.IGNORECASE,
)
STUDY = {
    "study": "readmission",
    "protocol": "paper",
    "contamination": "paper",
    "split": "hash",
    "split_by_admission": [],
    "cohorts": "mimic-iii",
    "synthetic": False,
    "hospital": False,
    "note_files": ["ours"],
    "switches": {"los_rounded": True},
    "tables": {"ours": "by time, with validation from 2020-01-01 and test from 2021-01-01"},
}
PROVENANCE = {"git revision": "0123abc", "versions of the training jobs": {"torch": "2"}}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield simulate_own_study(tmp_path_factory.mktemp("own"), patch)


@pytest.fixture(scope="module")
def tables(results):
    return build_tables(results)


@pytest.fixture(scope="module")
def figures(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    return {path.stem: path for path in draw_all(folder / "all", results)}


@pytest.fixture(scope="module")
def sheet(results, tables):
    return tripod_table(RunFacts(study=STUDY, results=results, tables=tables, provenance=PROVENANCE))


def page_of(results, tables, figures, sheet, output):
    build_report(
        template=TEMPLATE,
        study=STUDY,
        results=results,
        tables=tables,
        figures=figures,
        provenance=PROVENANCE,
        output=output,
        checklist=sheet,
    )
    return output.read_text(encoding="utf-8")


def readable(page):
    """What a reader sees or hears of a page."""
    bare = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.DOTALL)
    spoken = " ".join(re.findall(r'aria-label="([^"]*)"', bare))
    return unescape(re.sub(r"<[^>]+>", " ", bare) + spoken)


def foreign_words(text):
    return sorted({found[0] for found in FOREIGN.finditer(text)})


def test_the_search_finds_words_that_do_not_belong():
    words = ["the paper's Table 3", "test admissions", "MIMIC-IV", "CareVue", "died in the ICU", "BEEP"]
    assert [bool(foreign_words(word)) for word in words] == [True] * len(words)
    assert foreign_words("notes of patients, in a table of 12 rows; CSV, scores, newspaper, core values") == ["core"]


def test_no_foreign_word_stands_in_an_own_report(results, tables, figures, sheet, tmp_path):
    page = page_of(results, tables, figures, sheet, tmp_path / "report.html")
    assert "READM" in page
    assert foreign_words(readable(page)) == []


def test_no_foreign_word_stands_in_an_own_table(tables):
    for name, table in tables.items():
        texts = (to_markdown(table), to_latex(table), readable(to_page(table)))
        assert [foreign_words(text) for text in texts] == [[], [], []], name
        assert [field for field in table.fields if "published" in field or "paper" in field] == [], name


def test_no_foreign_word_stands_in_a_sheet_or_card(results, sheet):
    assert foreign_words(to_markdown(sheet)) == []
    facts = CardFacts(
        study=STUDY, sources={}, models={"ours-lora": ["llama+lora"]}, results=results, provenance=PROVENANCE
    )
    card = model_card(results.perplexities[0], facts)
    assert foreign_words(card) == []
    assert "| READM |" in card


def test_readers_learn_how_an_own_table_is_split(results, tables, figures, sheet, tmp_path):
    split = f"by patient: table ours {STUDY['tables']['ours']}"
    assert f"split {split}." in readable(page_of(results, tables, figures, sheet, tmp_path / "report.html"))
    rows = {row[0]: row[3] for row in sheet.rows}
    assert rows["12a"].startswith(f"By patient; table ours {STUDY['tables']['ours']}: training")
    assert rows["16"].startswith(f"1 source, split {split};")
    assert rows["18e"] == "By the owners of the notes: ours."
    assert "the study's own tables: ours" in rows["5a"]
    assert "a file of notes" not in rows["5a"]
    facts = CardFacts(study=STUDY, sources={}, models={}, results=results, provenance=PROVENANCE)
    assert f"split {split}." in model_card(results.perplexities[0], facts)


def test_a_sheet_tells_own_tasks_from_those_of_the_paper(results, tables):
    mixed = replace(results, tasks={"los": TASKS["los"], **OWN})
    facts = RunFacts(study=STUDY | {"hospital": True}, results=mixed, tables=tables, provenance=PROVENANCE)
    rows = {row[0]: row[3] for row in tripod_table(facts).rows}
    assert rows["8a"].startswith("LOS: defined in docs/protocol.md, ")
    assert "; READM, SERV_$x, PROB: as the study's own columns" in rows["8a"]
    assert rows["16"].startswith("2 sources, each split by patient; table ours by time, ")


def test_an_own_task_stands_in_every_table_and_figure(tables, figures):
    labels = {task.short for task in OWN.values()}
    for name in ("dataset_statistics", "cohort_details", "text_lengths", "attrition", "metrics", "calibration"):
        assert labels <= {cell for row in tables[name].rows for cell in row}, name
    for name in ("downstream_main", "uncertainty"):
        assert {title.partition(" (n")[0] for title in tables[name].header} >= labels, name
    assert {record["task"] for record in tables["subgroups"].records} == {*OWN}
    for stem in ("attrition", "downstream_auroc", "validation_auroc"):
        text = unescape(figures[stem].read_text())
        assert all(label in text for label in labels), stem
    assert {f"roc_pr_{task}" for task in OWN} | {"decision_readmission", "label_frequency"} <= {*figures}


def test_a_split_without_a_size_has_no_curve(results, tmp_path):
    unsized = [run | {"n": run["n"] | {"test": None}} for run in results.metrics]
    drawings = roc_pr.FIGURE.drawings(replace(results, metrics=unsized))
    drawings["roc_pr_service"](tmp_path / "roc_pr.svg")
    said = (tmp_path / "roc_pr.svg").read_text()
    assert "A curve would tell the hidden number of test notes." in said
    assert "false-positive rate" not in said


def test_an_own_corpus_has_no_column_of_a_release(tables):
    assert tables["corpora"].fields == ("corpus", "notes_read", "empty", "duplicates", "notes")
    assert tables["corpora"].notes == ("A dash stands for counts below 10 and for those that would give them away.",)


def test_tables_of_the_paper_stand_beside_the_paper_alone(tables):
    assert set(table_names()) - set(tables) == {"scoring_variants"}
    assert not any("PMV" in table.header for table in tables.values())


def test_own_tasks_stand_beside_those_of_the_paper(results):
    mixed = replace(results, tasks={"los": TASKS["los"], **OWN}, perplexities=())
    header = build_tables(mixed)["downstream_main"].header
    assert [title.partition(" (n")[0] for title in header if not title.startswith("paper")] == [
        *("Model", "Seeds", "READM", "SERV_$x", "PROB", "Macro average"),
    ]
    assert mixed.unit == "note"
    los = {"task": "los", "classes": 4, "multilabel": False, "train": 9, "validation": 3, "test": 2}
    both = build_tables(replace(mixed, statistics=[los, *results.statistics]))["dataset_statistics"]
    assert [row[0] for row in both.rows] == ["LOS", "READM", "SERV_$x", "PROB"]


def test_an_average_over_own_tasks_stands_beside_none(results):
    first = results.comparison["summaries"][0]
    comparison = {**results.comparison, "macro_tasks": [*OWN], "differences": []}
    comparison["summaries"] = [first | {"task": "macro_average"}]
    tasks = {"los": TASKS["los"], **OWN}
    labels = {first["model"]: {"label": "A", "published": "llama+lora", "table": "main", "of_paper": True}}
    table = build_tables(replace(results, tasks=tasks, comparison=comparison, labels=labels))["downstream_main"]
    published = {record["task"]: record["published_percent"] for record in table.records}
    assert published["macro_average"] is published["readmission"] is None
    assert published["los"] is not None
    assert any("runs over READM, SERV_$x, PROB; no difference" in note for note in table.notes)


def test_a_single_own_task_has_no_column_of_an_average(results):
    name, task = next(iter(results.tasks.items()))
    assert task_order({name: task}) == [name]
    assert task_order({"mortality": TASKS["mortality"]}) == ["mortality", MACRO]
    comparison = results.comparison | {"macro_tasks": []}
    for key in ("summaries", "differences"):
        comparison[key] = [row for row in comparison[key] if row["task"] == name]
    single = replace(results, tasks={name: task}, comparison=comparison)
    for table in map(find_table, ("downstream_main", "uncertainty")):
        assert "acro average" in to_markdown(table.build(results))
        assert "acro average" not in to_markdown(table.build(single))


def test_a_study_compares_by_its_own_metric(results, tmp_path):
    metric = find_metric("f1_macro")
    summaries = [row | {"f1_macro": 0.4375, "interval": [0.25, 0.5]} for row in results.comparison["summaries"]]
    by_f1 = replace(results, metric=metric, comparison={**results.comparison, "summaries": summaries})
    tables = build_tables(by_f1)
    assert "f1_macro_percent" in tables["downstream_main"].fields
    assert tables["downstream_main"].caption.startswith("Test F1 macro in percent")
    assert "43.8 [25.0, 50.0]" in tables["downstream_main"].rows[0]
    draw_all(tmp_path / "figures", by_f1)
    stems = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"downstream_f1_macro", "validation_f1_macro"} <= stems
    assert not {"downstream_auroc", "validation_auroc"} & stems
    drawn = (tmp_path / "figures/downstream_f1_macro.svg").read_text()
    assert "F1 macro (%)" in drawn
    assert "chance" not in drawn
    captions = [figure.captioned(by_f1) for figure in all_figures().values() if figure.by_metric]
    assert all(caption.partition(" ")[0] in ("Test", "F1") and "AUROC" not in caption for caption in captions)


def test_names_of_any_characters_stand_in_every_form(figures, tables):
    assert r"SERV\_\$x" in to_latex(tables["metrics"])
    assert r"SERV\_\$x" in to_markdown(tables["metrics"])
    titles = to_markdown(tables["downstream_main"]).splitlines()[2]
    assert r"SERV\_\$x" in titles
    assert "SERV_$x: ROC" in figures["roc_pr_service"].read_text()
    assert "LLaMA &amp; LoRA" in figures["roc_pr_service"].read_text()
