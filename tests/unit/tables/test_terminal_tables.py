"""Tables on a terminal."""

from pathlib import Path

import pytest

from clinical_peft.errors import DataError
from clinical_peft.tables.form import Table
from clinical_peft.tables.stored import store_tables
from clinical_peft.tables.terminal import as_text, choose_table, list_tables, stored_tables

MAIN = Table(
    name="downstream_main",
    caption="Test AUROC.",
    fields=("model", "auroc"),
    records=({"model": "a", "auroc": 1.0},),
    header=("Model", "LOS", "Mean"),
    rows=(("TF-IDF", "97.9", "1"), ("LLaMA + LoRA", "8.1", "–")),
    notes=("Intervals: none.",),
)
EMPTY = Table(name="cost", caption="Cost.", fields=(), records=(), header=("Part",), rows=())


@pytest.fixture
def results(tmp_path) -> Path:
    store_tables({"cost": EMPTY, "downstream_main": MAIN}, tmp_path / "tables.json")
    return tmp_path


def test_columns_are_aligned():
    assert as_text(MAIN).splitlines() == [
        "Test AUROC.",
        "",
        "Model          LOS  Mean",
        "------------  ----  ----",
        "TF-IDF        97.9     1",
        "LLaMA + LoRA   8.1     –",
        "",
        "Intervals: none.",
    ]


def test_a_narrow_terminal_has_a_value_a_line():
    assert as_text(MAIN, width=24) == as_text(MAIN)
    assert as_text(MAIN, width=23).splitlines()[2:5] == ["TF-IDF", "  LOS   97.9", "  Mean  1"]


def test_tables_without_rows_are_not_listed(results):
    assert list_tables(stored_tables(results)) == "downstream_main  Test AUROC."


def test_the_main_table_comes_first(results):
    assert choose_table(stored_tables(results), None).name == "downstream_main"
    with pytest.raises(DataError, match="expected one of downstream_main, found cost"):
        choose_table(stored_tables(results), "cost")


def test_a_study_without_tables_is_one_line(tmp_path):
    with pytest.raises(DataError, match="expected tables, found none; run the study first"):
        stored_tables(tmp_path)
