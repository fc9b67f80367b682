"""The table of training sizes: order of its rows, what readers see, and what stays hidden."""

from dataclasses import replace

from results_fixtures import EMPTY_COMPARISON, built, records
from training_size_fixtures import part, sizes_of

from clinical_peft.metrics.registry import find_metric
from clinical_peft.metrics.training_size_records import WholeSize
from clinical_peft.tables.html_tables import to_html
from clinical_peft.tables.render import to_latex, to_markdown

LABELS = {"tfidf": {"label": "TF-IDF"}, "llama": {"label": "LLaMA"}}
COMPARISON = EMPTY_COMPARISON | {"protocol": "corrected", "cohorts": {"los": "abc"}}
PARTS = [
    part("llama", "los", None, 0.8),
    part("llama", "los", 100, 0.6),
    part("llama", "los", 1000, 0.75),
    part("tfidf", "los", 100, 0.7, train_rows=None),
    part("tfidf", "mortality", None, 0.8, train_rows=None, train_patients=None),
]
WHOLE = [WholeSize(task="los", size=9000, train_rows=None), WholeSize(task="mortality", size=1000, train_rows=640)]


def table(*parts, whole=None, **changes):
    content = sizes_of(*(parts or PARTS), whole=whole)
    return built("training_size", training_size=content, comparison=COMPARISON, labels=LABELS, **changes)


def test_rows_stand_by_task_model_and_size():
    found = [(row["task"], row["model"], row["train_size"]) for row in records(table())]
    assert found == [
        ("mortality", "tfidf", "all"),
        ("los", "tfidf", "100"),
        ("los", "llama", "100"),
        ("los", "llama", "1000"),
        ("los", "llama", "all"),
    ]


def test_readers_see_the_metric_and_the_loss_with_intervals():
    found = table()
    assert found.header == ("Task", "Model", "Size", "Rows", "Patients", "AUROC", "Difference from all", "p (Holm)")
    assert found.rows[2] == ("LOS", "LLaMA", "100", "104", "104", "60.0 [58.0, 62.0]", "−20.0 [−23.0, −17.0]", "0.010")
    assert found.rows[4][-2:] == ("–", "0.010")
    assert (2, 6) in found.bold


def test_hidden_counts_are_missing():
    found = table()
    assert found.rows[1][3] == found.rows[0][3] == "–"
    assert records(found)[1]["train_rows"] == ""


def test_the_caption_and_columns_name_the_compared_metric():
    metric = find_metric("auprc")
    content = sizes_of(*PARTS)
    for row in content["rows"]:
        row["mean"]["auprc"] = row["mean"].pop("auroc")
    found = built("training_size", training_size=content, comparison=COMPARISON, labels=LABELS, metric=metric)
    assert "Test AUPRC (%)" in found.caption
    assert "auprc_percent" in found.fields
    assert found.header[5] == "AUPRC"


def test_a_size_that_is_no_part_is_noted_with_its_rows():
    (_, note) = table(whole=WHOLE).notes
    assert note == ("Sizes without a row, because the training split is no larger: MOR 1,000 (of 640 rows); LOS 9,000.")
    assert len(table().notes) == 1


def test_seeds_are_named_where_there_are_several():
    assert "over patients and seeds." in table().caption
    once = [replace(one, mean=replace(one.mean, seeds=1)) for one in PARTS]
    assert "over patients." in table(*once).caption


def test_every_form_holds_the_differences():
    found = table()
    assert "**−20.0" in to_markdown(found)
    assert r"\textbf{" in to_latex(found)
    assert "−20.0" in to_html(found)
