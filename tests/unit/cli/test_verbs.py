"""Verbs that look at a study: what they print."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from own_studies import OWN
from own_tables import write_rows

from clinical_peft.cli import init
from clinical_peft.cli.app import group, main
from clinical_peft.config.layers import deep_merge
from clinical_peft.tables.form import Table
from clinical_peft.tables.stored import store_tables

ROWS = [
    {
        "encounter": n,
        "note": f"Secretword {n}",
        "mrn": n // 2,
        "readmitted": n % 2,
        "service": f"S{n % 2}",
        "codes": "A",
    }
    for n in range(40)
]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study(folder) -> str:
    """A study of an own table with one task, in the working directory."""
    path = write_rows(folder / "notes.csv", ROWS)
    matrix = {"tasks": ["readmission"]}
    written = deep_merge(OWN, {"data": {"tables": {"ours": {"path": str(path)}}}, "matrix": matrix})
    (folder / "mine.yaml").write_text(yaml.safe_dump(written))
    return "mine.yaml"


def test_check_ends_with_the_next_command(study, capsys):
    assert main(["check", study]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Ready: clinical-peft run mine.yaml" in printed.out
    assert "$ snakemake --snakefile" in printed.out
    assert "Secretword" not in printed.out


def test_check_of_an_unmounted_disk_is_one_line(study, folder, capsys):
    (folder / "notes.csv").unlink()
    assert main(["check", study]) == 1
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert "expected a file or folder, found none" in printed.err
    assert "Ready" not in printed.out


def test_plan_prints_stages_and_times(study, capsys):
    assert main(["plan", study, "--cores", "4"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("$ make plan STUDY=mine.yaml\n")
    assert "fine-tuning" in printed
    assert "clinical on readmission" in printed
    assert "all, on 4 cores" in printed


def test_show_prints_the_main_table_or_lists_all(study, folder, capsys):
    table = Table(
        name="downstream_main",
        caption="AUROC.",
        fields=(),
        records=(),
        header=("Model", "Mean"),
        rows=(("TF-IDF", "97.9"),),
    )
    store_tables({"downstream_main": table}, folder / "results" / "own" / "tables.json")
    for arguments in (["show", study], ["show", "results/own"], ["show", study, "downstream_main"]):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert "TF-IDF  97.9" in printed
        assert "results/own/tables/downstream_main.md" in printed
    assert main(["show", study, "--list"]) == 0
    assert capsys.readouterr().out == "downstream_main  AUROC.\n"
    assert main(["show", study, "gone"]) == 1


def test_init_writes_a_study_that_check_accepts(folder, capsys):
    write_rows(folder / "reports.csv", ROWS)
    assert main(["init", "--table", "reports.csv", "--label", "readmitted"]) == 0
    printed = capsys.readouterr().out
    assert "id encounter, text note, patient mrn, label readmitted; binary outcome" in printed
    assert "Next: clinical-peft check reports.yaml" in printed
    assert main(["check", "reports.yaml"]) == 0
    assert main(["init", "--table", "reports.csv", "--label", "readmitted"]) == 1
    assert "is there already and is not replaced" in capsys.readouterr().err


def test_init_takes_every_option(folder):
    write_rows(folder / "a.jsonl", [{**row, "when": "2020-01-01"} for row in ROWS])
    options = {"label": "readmitted", "time": "when", "title": "Back again", "base": "owner/name", "name": "again"}
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert main(["init", "--table", "a.jsonl", *given, "-o", "x.yaml", "--tracking-uri", "sqlite:////d/m.db"]) == 0
    written = yaml.safe_load((folder / "x.yaml").read_text())
    assert written["study"] == "again"
    assert written["data"]["tables"]["a"]["time"] == "when"
    assert written["tasks"]["readmitted"]["title"] == "Back again"
    assert written["bases"]["name"]["source"]["id"] == "owner/name"
    assert written["tracking"] == {"uri": "sqlite:////d/m.db"}


def test_init_asks_on_a_terminal(folder, monkeypatch):
    write_rows(folder / "ours.csv", [{"Nummer": row["encounter"], **row} for row in ROWS])
    monkeypatch.setattr(init, "is_terminal", lambda: True)
    answers = ["table", "ours.csv", "tiny", "", "", "", "readmitted", "-"]
    done = CliRunner().invoke(group, ["init"], input="".join(f"{answer}\n" for answer in answers))
    assert done.exit_code == 0, done.output
    assert "Column of the text [note]" in done.output
    assert "Column of the patient (- for none) [mrn]" in done.output
    assert "Nummer" not in done.output  # the name of an unknown column may be a field of a file without a header
    table = yaml.safe_load((folder / "ours.yaml").read_text())["data"]["tables"]["ours"]
    assert table == {"path": "ours.csv", "id": "encounter", "text": "note"}


def test_init_asks_for_notes_and_for_folders(folder, monkeypatch):
    rows = [{"note_id": number, "text": "x"} for number in range(3)]
    (folder / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(init, "is_terminal", lambda: True)
    done = CliRunner().invoke(group, ["init"], input="notes\nn.jsonl\ntiny\nsqlite:////d/m.db\n\n\n\n")
    assert done.exit_code == 0, done.output
    written = yaml.safe_load((folder / "n.yaml").read_text())
    assert written["data"]["note_files"]["n"]["id_column"] == "note_id"
    assert written["tracking"]["uri"] == "sqlite:////d/m.db"
    answers = f"mimic\n{folder}\n\n\ntiny\n\n"
    done = CliRunner().invoke(group, ["init"], input=answers)
    assert "expected NOTEEVENTS.csv" in str(done.exception)


def test_why_of_an_unmounted_disk_is_one_line(study, folder, capsys):
    (folder / "results" / "own").mkdir(parents=True)
    (folder / "results" / "own" / "tables.json").touch()
    (folder / "notes.csv").unlink()
    assert main(["why", study]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: data.tables.ours: ")
    assert len(printed.err.splitlines()) == 1
