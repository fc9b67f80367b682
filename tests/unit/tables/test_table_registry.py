"""Tables and figures declare themselves: names, columns, needs, and what an incomplete declaration is told."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from golden_columns import COLUMNS

from clinical_peft.errors import ConfigError
from clinical_peft.figures.registry import all_figures
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.tables.declared import read_declared
from clinical_peft.tables.registry import all_tables, build_tables, find_table, table_names
from clinical_peft.tables.stored import read_tables, store_tables
from clinical_peft.tables.study_results import OPTIONAL, StudyResults, read_results
from clinical_peft.tasks import TASKS

REPOSITORY = Path(__file__).parents[3]
EMPTY = {"level": 0.95, "resamples": 0, "macro_tasks": [], "summaries": [], "differences": []}
GAPS = {"level": 0.95, "model": "llama", "rows": [], "untouched": {}}
SIZES = {"level": 0.95, "rows": [], "whole": []}
MEMBERSHIP = {"approximate": False, "source": "list"}
CONTAMINATION = {"level": 0.95, "carevue": [], "disjoint": [], "membership": MEMBERSHIP, "smallest_cell": 10}


def empty_results(**more):
    nothing = {"bins": 10, "runs": [], "resamples": 0, "smallest_cell": 10, "cells": [], "gaps": []}
    return StudyResults(comparison=EMPTY, calibration=nothing, subgroups=nothing, **more)


def test_every_table_has_the_columns_that_users_read():
    found = {name: [one.field for one in table.columns_for(COMPARED)] for name, table in all_tables().items()}
    assert found == {name: columns.split() for name, columns in COLUMNS.items()}


def test_every_table_is_named_in_the_documentation():
    text = (REPOSITORY / "docs/results.md").read_text()
    assert [name for name in all_tables() if f"`{name}`" not in text] == []


def test_every_column_that_readers_see_is_declared_with_a_title():
    for table in all_tables().values():
        columns = {column.field: column for column in table.columns_for(COMPARED)}
        assert all(columns[field].title for field in table.shown if field in columns), table.name


def test_optional_tables_stand_where_a_study_measures_them():
    asked_for = {"protocol_gaps", "contamination_gaps", "training_size"}
    assert set(table_names()) == set(all_tables()) - asked_for
    assert set(table_names(["contamination"])) == set(all_tables()) - {"protocol_gaps", "training_size"}
    assert list(build_tables(empty_results())) == table_names()
    every = empty_results(protocol_gaps=GAPS, contamination=CONTAMINATION, training_size=SIZES)
    assert list(build_tables(every)) == table_names(OPTIONAL) == list(all_tables())


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"table: expected one of .*subgroups.*, found dataset"):
        find_table("dataset")


def declare(tmp_path, monkeypatch, text, name="made_up_tables"):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.delitem(sys.modules, f"{name}.one", raising=False)
    return package


TABLE = """
from clinical_peft.tables.study_column import Column, digits
from clinical_peft.tables.study_table import StudyTable

TABLE = StudyTable(
    name="patients",
    place=9,
    section="{section}",
    needs=("{needs}",),
    columns=(Column("task", lambda row: row["task"], "Task"), Column("n", lambda row: row["patients"], "N", digits(0))),
    rows=lambda results: results.statistics,
    shown=("task", "n"),
    caption=lambda *_: "Patients of each task.",
)
"""


def test_a_table_is_one_module(tmp_path, monkeypatch):
    package = declare(tmp_path, monkeypatch, TABLE.format(section="data", needs="statistics"))
    table = read_declared(package, "TABLE")["patients"].build(
        StudyResults(statistics=[{"task": "los", "patients": 1234}])
    )
    assert (table.fields, table.rows) == (("task", "n"), (("los", "1,234"),))
    assert table.records == ({"task": "los", "n": 1234},)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "made_up_tables/one.py: expected TABLE, found none"),
        (
            TABLE.format(section="dta", needs="statistics"),
            "section of table patients: expected one of .*, data, .* found",
        ),
        (TABLE.format(section="data", needs="statistic"), "result of table patients: expected one of .*, found"),
        (TABLE.replace('    shown=("task", "n"),\n', "").format(section="data", needs="metrics"), "says neither which"),
        (
            TABLE.replace('"task", "n")', '"task", "m")').format(section="data", needs="metrics"),
            "shows m, expected one",
        ),
        (TABLE.replace('Column("n"', 'Column("task"').format(section="data", needs="metrics"), "shows n|two columns"),
        (TABLE.replace("    place=9,\n", "").format(section="data", needs="metrics"), "'place'"),
    ],
)
def test_an_incomplete_declaration_is_refused(tmp_path, monkeypatch, text, message):
    with pytest.raises(ConfigError, match=message):
        read_declared(declare(tmp_path, monkeypatch, text), "TABLE")


def test_a_table_whose_rule_lacks_a_result_is_refused():
    with pytest.raises(ConfigError, match="table corpora: needs corpora, which its rule does not read"):
        find_table("corpora").build(read_results(SimpleNamespace(metrics=[]), protocol="paper"))


def test_stored_tables_are_read_as_they_were_built(tmp_path):
    tables = build_tables(empty_results(statistics=[
        {"task": "los", "classes": 4, "multilabel": False, "train": 9, "validation": 3, "test": 2}
    ]))  # fmt: skip
    store_tables(tables, tmp_path / "tables.json")
    assert read_tables(tmp_path / "tables.json") == tables


def test_figures_have_captions_and_stems_of_their_own():
    figures = all_figures()
    stems = [stem for figure in figures.values() for stem in figure.stems(TASKS, COMPARED)]
    assert len(stems) == len(set(stems))
    assert all(figure.captioned(StudyResults()).endswith(".") for figure in figures.values())
    assert {"attrition", "downstream_auroc", "roc_pr_los", "reliability_pmv", "validation_auroc"} <= set(stems)


FIGURE = """
from clinical_peft.figures.study_figure import StudyFigure

FIGURE = StudyFigure(name="ages", place=9, section="data", needs=("statistics",), caption="Ages."{more})
"""


def test_a_figure_without_a_drawing_is_refused(tmp_path, monkeypatch):
    package = declare(tmp_path, monkeypatch, FIGURE.format(more=""), name="made_up_figures")
    with pytest.raises(ConfigError, match=r"^made_up_figures/one\.py: .*'drawings'$"):
        read_declared(package, "FIGURE")
    whole = declare(tmp_path, monkeypatch, FIGURE.format(more=", drawings=lambda _: {}"), name="whole_figures")
    assert [*read_declared(whole, "FIGURE")] == ["ages"]
