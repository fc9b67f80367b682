"""The command `clinical-peft`: its help, its errors of one line, its start and its completion."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from clinical_peft.cli import app
from clinical_peft.cli.app import VERBS, group, main

HEAVY = ("torch", "transformers", "mlflow", "pandas", "pyarrow", "numpy", "sklearn", "snakemake", "pydantic", "yaml")
STUDY = str(Path(__file__).parents[3] / "config" / "tiny.yaml")


def command(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    words = [sys.executable, "-m", "clinical_peft.cli", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, timeout=600)


def test_help_imports_no_heavy_library():
    code = (
        "import sys; from clinical_peft.cli.app import main; main(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_verb_has_examples(capsys):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb} " in listed
        assert main([verb, "--help"]) == 0
        assert f"  clinical-peft {verb}" in capsys.readouterr().out or verb == "completion"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "clinical-peft run: Missing argument 'STUDY'"),
        (["check"], 2, "clinical-peft check: Missing argument 'STUDY'"),
        (["nonsense"], 2, "clinical-peft: No such command 'nonsense'"),
        (["plan", STUDY, "--cores", "0"], 2, "clinical-peft plan: Invalid value for '--cores'"),
        (["run", "gone.yaml"], 1, "gone.yaml: expected a study file, found none"),
        (["run", STUDY, "--", "--configfile", "other.yaml"], 1, "--configfile: expected options of Snakemake without"),
        (["check", "gone.yaml"], 1, "gone.yaml: expected a study file, found none"),
        (["why", STUDY], 1, "expected results in results/tiny, found none"),
        (["show", STUDY], 1, "results/tiny: expected tables, found none"),
        (["track", STUDY], 1, "results/tiny/runs: expected run logs, found none; run the study first"),
        (["init", "--table", "gone.csv"], 1, "gone.csv: expected a file, found none"),
        (["init"], 1, "expected notes to learn from, found none; give --table, --notes or a folder of MIMIC"),
    ],
)
def test_what_is_wrong_is_one_line_and_a_code(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert (len(printed.err.splitlines()), printed.out) == (1, "")


@pytest.mark.parametrize("content", ["", "a: [", "- a\n", "studdy: x\n"])
def test_a_file_that_is_no_study_is_one_line(content, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(content)
    for verb in ("check", "plan", "why", "show"):
        assert main([verb, "mine.yaml"]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_interrupt_is_one_line(capsys, monkeypatch):
    def interrupt(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "main", interrupt)
    assert main(["check", STUDY]) == app.INTERRUPTED
    assert capsys.readouterr().err == "error: interrupted\n"


def test_run_becomes_the_command_that_it_prints(tmp_path):
    done = command("run", STUDY, "--", "--version", folder=tmp_path)
    first, second = done.stdout.splitlines()
    assert first.startswith("$ snakemake --snakefile ")
    assert first.endswith(f"--cores all --version --configfile {STUDY}")
    assert second.startswith("9.")
    assert done.returncode == 0


def test_run_passes_the_exit_code_on(tmp_path):
    done = command("run", STUDY, "--", "--no-such-option", folder=tmp_path)
    assert done.returncode == 2
    assert "unrecognized arguments" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(shell):
    done = CliRunner().invoke(group, ["completion", shell], prog_name=app.NAME)
    assert done.exit_code == 0
    assert "_CLINICAL_PEFT_COMPLETE" in done.output


def test_verbs_and_tables_complete(monkeypatch):
    completing = click.shell_completion.BashComplete(group, {}, app.NAME, "_CLINICAL_PEFT_COMPLETE")
    assert [item.value for item in completing.get_completions([], "c")] == ["check", "completion"]
    assert completing.get_completions(["show", "gone.yaml"], "d") == []


def test_reruns_are_asked_by_the_triggers_of_the_profile():
    profile = yaml.safe_load((Path(STUDY).parents[1] / "profiles" / "default" / "config.yaml").read_text())
    code = "from clinical_peft.cli.dry_run import TRIGGERS; print(*sorted(each.name.lower() for each in TRIGGERS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted(profile["rerun-triggers"])
