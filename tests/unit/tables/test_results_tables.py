"""The paper's tables: published figures, columns, and the four written forms."""

import json
from importlib import resources

import pytest
from results_fixtures import EMPTY_COMPARISON, built, built_from, records
from simulated_study import OF_PAPER, VARIANTS, simulate_perplexity

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.tables.form import p_text, with_interval
from clinical_peft.tables.html_tables import to_html, to_page
from clinical_peft.tables.published import (
    PAPER_TASKS,
    average_is_row_mean,
    published,
    published_adapter,
    published_auroc,
    published_statistics,
    published_table,
)
from clinical_peft.tables.render import to_csv, to_latex, to_markdown, write_table
from clinical_peft.tables.study_results import StudyResults

PAPER_TABLES = ("dataset_statistics", "domain_adaptation", "downstream_main", "downstream_lora_baselines")
STATISTICS = [
    {"task": "control", "classes": 2, "multilabel": False, "train": 9, "validation": 3, "test": 2},
    {"task": "diagnoses", "classes": 60, "multilabel": True, "train": 1400, "validation": 200, "test": 400},
]


def summary(model, task, auroc, **changes):
    row = {"model": model, "task": task, "auroc": auroc, "seed_sd": 0.01, "seeds": 3,
           "interval": [auroc - 0.05, auroc + 0.04], "interval_99": [0.1, 0.9],
           "undefined": 0, "n": 230, "patients": 200, "classes": 2, "classes_scored": 2,
           "positives": 20}  # fmt: skip
    return row | ({"n": None, "patients": None, "classes_scored": None} if task == MACRO else {}) | changes


def study_tables(models=("llama", "tfidf", "bluebert+lora"), seconds=100.0, **changes):
    summaries = [
        summary(model, task, 0.5 + 0.01 * place)
        for model in models
        for place, task in enumerate((*PAPER_TASKS, MACRO, "control"))
    ]
    aggregate = {"level": 0.95, "resamples": 1000, "macro_tasks": list(PAPER_TASKS), "summaries": summaries} | changes
    perplexity = simulate_perplexity("tiny-lora", "lora", 7.5) | {
        "seconds": seconds,
        "tokens_per_second": 1e6 / seconds,
        "general": {"corpus": "general", "perplexity": {"before": 31.25, "after": 40.5}},
    }
    other = simulate_perplexity("tiny-adalora", "adalora", 8.0) | {"method": {"type": "adalora", "init_r": 12}}
    results = StudyResults(
        statistics=STATISTICS,
        perplexities=[other, perplexity],
        comparison=aggregate,
        labels=OF_PAPER,
        has_paper_cohorts=True,
    )
    return built_from(results, *PAPER_TABLES)


def test_published_numbers_name_their_source_and_ship():
    stored = json.loads(resources.files("clinical_peft.tables").joinpath("published.json").read_text())
    assert stored == published()
    assert "2307.03042" in stored["source"]


def test_published_rows_are_found_by_name():
    assert published_statistics("los") == {
        "classes": 4, "multilabel": False, "train": 30421, "validation": 4391, "test": 8797}  # fmt: skip
    assert published_statistics("control") is None
    assert published_adapter("llama-7b/prompt_tuning") == {
        "trainable_parameters": 61440, "percent": 0.0009, "train_perplexity": 4.846, "test_perplexity": 4.007,
        "train_seconds": 23 * 3600 + 27 * 60 + 28}  # fmt: skip
    for unknown in (None, "columns", "columns/lora", "llama-7b/adalora"):
        assert published_adapter(unknown) is None
        assert published_auroc(unknown) is None
    assert published_auroc("llama+clinical-frozen+downstream")["mortality"] == 66.0
    assert published_table("core+lora") == "lora_baselines"
    assert published_table("core") == "main"


def test_exactly_the_three_known_printed_averages_are_flagged():
    names = [*published()["table3_downstream_auroc"], *published()["table4_lora_baselines_auroc"]]
    rows = {name: published_auroc(name) for name in names if name != "columns"}
    assert len(rows) == 20
    flagged = {name for name, row in rows.items() if not average_is_row_mean(row)}
    assert flagged == {"llama", "pmc-llama+clinical-frozen", "bluebert+lora"}


def test_dataset_statistics_keep_the_papers_order():
    table = study_tables()["dataset_statistics"]
    diagnoses, control = records(table)
    assert (diagnoses["task"], diagnoses["classes"], diagnoses["published_classes"]) == ("diagnoses", "60", "1266")
    assert (diagnoses["multilabel"], diagnoses["published_multilabel"]) == ("true", "true")
    assert [diagnoses[f"difference_{field}"] for field in ("classes", "train", "test")] == ["-1206", "-32594", "-9429"]
    assert (control["published_train"], control["difference_train"]) == ("", "")
    assert table.rows[1][-1] == "–"


def test_adapters_stand_beside_the_published_ones():
    table = study_tables()["domain_adaptation"]
    lora, adalora = records(table)
    assert float(lora["trainable_percent"]) == pytest.approx(100 * 12288 / 3200000)
    assert (lora["test_perplexity_before"], lora["test_perplexity_after"]) == ("44.0", "7.75")
    assert lora["published_trainable_parameters"] == "8388608"
    assert adalora["method"] == "adalora"
    assert (lora["general_perplexity_before"], lora["general_perplexity_after"]) == ("31.25", "40.5")
    assert (adalora["general_perplexity_before"], adalora["general_perplexity_after"]) == ("", "")
    assert [row[-2:] for row in table.rows] == [("31.250", "40.500"), ("–", "–")]
    sampled = table.notes[-1]
    assert "train 50,000 of 1,800,000 tokens" in sampled
    assert "validation" not in sampled.partition(":")[2].partition(".")[0]
    assert adalora["published_test_perplexity"] == ""


def test_the_table_of_adapters_names_their_corpora():
    one = study_tables()["domain_adaptation"]
    assert [row["corpus"] for row in records(one)] == ["mimic-iv", "mimic-iv"]
    assert "All notes are of corpus mimic-iv." in one.notes
    both = [simulate_perplexity("a", "lora", 7.5), simulate_perplexity("b", "lora", 7.5) | {"corpus": "mimic-iii"}]
    notes = " ".join(built("domain_adaptation", perplexities=both).notes)
    assert "held-out notes of its own corpus, of mimic-iv, mimic-iii" in notes
    assert "for all adapters of a base and corpus" in notes


def test_only_columns_of_time_and_speed_depend_on_measured_time():
    slow, fast = records(study_tables(seconds=200.0)["domain_adaptation"]), records(study_tables()["domain_adaptation"])
    differing = {field for a, b in zip(slow, fast, strict=True) for field in a if a[field] != b[field]}
    assert differing == {"train_seconds", "tokens_per_second"}


def test_downstream_table_has_a_row_per_model_and_task():
    tables = study_tables(models=("tfidf", *VARIANTS, "bluebert+lora"))
    main = records(tables["downstream_main"])
    assert len(main) == 7 * (1 + len(VARIANTS))
    assert list(dict.fromkeys(row["model"] for row in main)) == ["tfidf", *VARIANTS]
    assert {row["model"] for row in records(tables["downstream_lora_baselines"])} == {"bluebert+lora"}
    row = next(row for row in main if (row["model"], row["task"]) == ("llama", "los"))
    assert [row[k] for k in ("auroc_percent", "low_percent", "high_percent", "published_percent")] == [
        "52.0", "47.0", "56.0", "57.65"]  # fmt: skip
    assert (row["seeds"], row["test_admissions"], row["seed_sd_percent"]) == ("3", "230", "1.0")


def test_a_printed_average_that_is_no_mean_is_flagged():
    table = study_tables()["downstream_main"]
    row = next(row for row in records(table) if (row["model"], row["task"]) == ("llama", MACRO))
    assert (row["published_average_is_row_mean"], row["published_row_mean_percent"]) == ("false", "59.944")
    assert "58.61\\*" in to_markdown(table)
    assert "58.61*" in to_latex(table)
    assert "mean of its row 59.94" in to_latex(table)
    assert "58.61*<small> (" in to_page(table)
    assert "mean of its row 59.94" in to_page(table)


def test_published_values_stand_with_the_difference_to_ours():
    tables = study_tables()
    los = next(row for row in records(tables["downstream_main"]) if (row["model"], row["task"]) == ("llama", "los"))
    assert float(los["difference_percent"]) == pytest.approx(52.0 - 57.65)
    row = dict(zip(tables["downstream_main"].row_names, tables["downstream_main"].rows, strict=True))["llama"]
    assert "57.65 (−5.65)" in row
    assert "57.65 ($-$5.65)" in to_latex(tables["downstream_main"])
    cell = '<td class="published" data-sort="57.65">57.65<small> (−5.65)</small></td>'
    assert cell in to_html(tables["downstream_main"])
    lora = records(tables["domain_adaptation"])[0]
    assert float(lora["difference_test_perplexity"]) == pytest.approx(7.75 - 2.244)
    assert "8,388,608 (−8,376,320)" in tables["domain_adaptation"].rows[0]
    assert "1,266 (−1,206)" in tables["dataset_statistics"].rows[0]


def test_only_several_seeds_point_to_seed_intervals():
    once = [summary("llama", "los", 0.5, seeds=1)]
    for tables, over in ((study_tables(), "patients and seeds"), (study_tables(summaries=once), "patients alone")):
        assert f"Table uncertainty has intervals over {over}, by" in tables["downstream_main"].notes[0]


def test_a_row_of_the_html_form_links_to_its_run():
    table = study_tables()["downstream_main"]
    text = to_html(table, {"llama": "http://127.0.0.1:5000/#/runs/1"})
    assert text.count('<a href="http://127.0.0.1:5000/#/runs/1" title="MLflow run">tiny LLaMA</a>') == 1
    cells = [line.count("<td") + line.count("<th ") for line in text.splitlines() if line.startswith("<tr>")]
    assert cells == [len(table.header)] * len(table.rows)
    assert "href" not in to_html(table)


def test_a_model_or_task_without_a_figure_shows_a_dash():
    summaries = [summary("tfidf", "los", 0.7, interval=None)]
    table = study_tables(summaries=summaries, macro_tasks=["los"])["downstream_main"]
    (row,) = table.rows
    by_title = dict(zip(table.header, row, strict=False))
    assert by_title["LOS (n = 230)"] == "70.0"
    assert by_title["PMV"] == by_title["Control"] == "–"
    assert all(row[place] == "–" for place, title in enumerate(table.header) if title.startswith("paper"))
    assert any("runs over LOS only" in note for note in table.notes)


def test_an_average_of_fewer_tasks_takes_no_difference():
    summaries = [summary("llama", "los", 0.7), summary("llama", MACRO, 0.7)]
    table = study_tables(summaries=summaries, macro_tasks=["los"])["downstream_main"]
    by_task = {row["task"]: row for row in records(table)}
    assert float(by_task["los"]["difference_percent"]) == pytest.approx(70 - 57.65)
    assert by_task[MACRO]["published_percent"] == "58.61"
    assert by_task[MACRO]["difference_percent"] == ""
    averages = table.rows[0][table.header.index("Macro average") :][:2]
    assert averages == ("70.0 [65.0, 74.0]", "58.61*")


def test_dropped_resamples_are_those_of_the_tables_models():
    summaries = [summary("llama", "los", 0.7, undefined=5), summary("bluebert+lora", "los", 0.7, undefined=7)]
    tables = study_tables(summaries=summaries, macro_tasks=["los"])
    for name, count in (("downstream_main", 5), ("downstream_lora_baselines", 7)):
        assert any(f"over all cells: {count}." in note for note in tables[name].notes)


def test_metrics_over_fewer_classes_are_marked():
    summaries = [
        summary("tfidf", "los", 0.7, classes=4, classes_scored=3),
        summary("tfidf", "diagnoses", 0.6, classes=60, classes_scored=60),
    ]
    table = study_tables(summaries=summaries, macro_tasks=["los", "diagnoses"])["downstream_main"]
    by_title = dict(zip(table.header, table.rows[0], strict=False))
    assert by_title["LOS (n = 230)"] == "70.0† [65.0, 74.0]"
    assert "†" not in by_title["DIAG (n = 230)"]
    assert [row["classes"] for row in records(table) if row["task"] == "los"] == ["4"]
    for text in (to_markdown(table), to_latex(table), to_page(table)):
        assert "LOS 3 of 4" in text
    assert r"70.0$^\dagger$ {[}" in to_latex(table)
    assert not any("†" in note for note in study_tables()["downstream_main"].notes)


def test_a_study_without_models_has_tables_that_say_so():
    tables = built_from(StudyResults(comparison=EMPTY_COMPARISON), *PAPER_TABLES)
    for table in tables.values():
        assert to_csv(table).count("\n") == 1
        assert "no such row" in to_markdown(table)
        assert "no such row" in to_latex(table)
        assert "no such row" in to_page(table)


def test_markdown_and_latex_rows_have_a_cell_per_column():
    for table in study_tables().values():
        bars = [line.replace("\\|", "").count("|") for line in to_markdown(table).splitlines() if line.startswith("|")]
        assert set(bars) == {len(table.header) + 1}
        assert len(bars) == len(table.rows) + 2
        lines = [line for line in to_latex(table).splitlines() if line.endswith(r" \\")]
        assert {line.replace(r"\&", "").count("&") for line in lines} == {len(table.header) - 1}


def test_special_characters_are_escaped():
    labels = {"tfidf": {"label": "a_b & 100% | $x$ <i>", "published": None}}
    aggregate = {"level": 0.95, "resamples": 10, "macro_tasks": [], "summaries": [summary("tfidf", "los", 0.7)]}
    table = built("downstream_main", comparison=aggregate, labels=labels)
    assert r"a\_b \& 100\% \textbar{} \$x\$ $<$i$>$" in to_latex(table)
    assert r"a\_b & 100% \| \$x$ \<i>" in to_markdown(table)
    assert records(table)[0]["label"] == "a_b & 100% | $x$ <i>"
    assert '<th scope="row" class="text">a_b &amp; 100% | $x$ &lt;i&gt;</th>' in to_page(table)


def test_tables_are_written_as_four_files_the_same_to_the_byte(tmp_path):
    for name, table in study_tables().items():
        paths = write_table(table, tmp_path / name)
        assert [path.name for path in paths] == [f"{name}.csv", f"{name}.md", f"{name}.tex", f"{name}.html"]
        first = [path.read_bytes() for path in paths]
        write_table(study_tables()[name], tmp_path / name)
        assert [path.read_bytes() for path in paths] == first


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "–"), (0.0, "<0.001"), (0.000999, "<0.001"), (0.001, "0.001"), (0.0234, "0.023"), (1.0, "1.000")],
)
def test_a_p_value_is_never_printed_as_zero(p, text):
    assert p_text(p) == text


def test_a_difference_and_the_ends_of_its_interval_have_signs():
    assert with_interval(-0.04, -3.21, 5.0) == "+0.0 [−3.2, +5.0]"
    assert with_interval(1.5, None, None) == "+1.5"
