"""What a command does before its first job and after its last: checks, one controller per study, what is printed."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from study_fixtures import study_of

from clinical_peft.errors import ConfigError, DataError, StudyInUseError
from clinical_peft.tracking.records import write_reason
from clinical_peft.training.kept_seeds import FINISHED
from clinical_peft.workflow.controller import Controller
from clinical_peft.workflow.study_files import StudyFiles

CONFIG = Path(__file__).parents[3] / "config"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory, below which results lie."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(name: str = "tiny.yaml", **changes) -> StudyFiles:
    return StudyFiles(study_of(name, changes))


@pytest.fixture
def controller(folder):
    controller = Controller(files())
    yield controller
    controller.release()


def job(rule: str, *, reads: tuple[str, ...] = (), work: Path | None = None, base: str = "") -> SimpleNamespace:
    return SimpleNamespace(
        rule=SimpleNamespace(name=rule),
        wildcards=SimpleNamespace(base=base),
        params=SimpleNamespace(work=str(work)),
        input=reads,
        output=(),
    )


def test_a_study_is_taken_until_it_is_released(controller):
    controller.start([], demanded=[], run=None)
    with pytest.raises(StudyInUseError, match="runs study tiny already"):
        Controller(files()).take()
    controller.release()
    other = Controller(files())
    other.take()
    other.release()


def test_a_study_that_may_not_run_is_not_taken(folder):
    with pytest.raises(ConfigError, match="synthetic_for_real_bases"):
        Controller(files("paper.yaml")).start([], demanded=[], run=None)
    assert not (folder / "results" / "paper" / "controller.json").exists()


def test_a_file_that_jobs_read_is_looked_at(folder):
    (folder / "notes.csv").write_text("note_id,body\n1,cough\n")
    own = files(
        data={"note_files": {"own": {"path": str(folder / "notes.csv")}}},
        adapters={"own-lora": {"base": "tiny-llama", "method": "lora", "corpus": "own"}},
        matrix={"adapters": ["own-lora"], "models": [], "tasks": []},
    )
    reading = job("import_notes", reads=(str(folder / "notes.csv"),))
    with pytest.raises(DataError, match="expected column text"):
        Controller(own).start([reading], demanded=[], run=None)


@pytest.mark.parametrize("rule", ["finetune_model", "train_adapter"])
def test_only_jobs_run_by_demand_lose_what_they_kept(controller, folder, rule):
    kept = {}
    for name in ("forced", "other"):
        kept[name] = folder / name / FINISHED / "seed0"
        kept[name].mkdir(parents=True)
    forced, other = (job(rule, work=folder / name) for name in ("forced", "other"))
    controller.start([forced, other], demanded=[forced, job("build_cohort")], run=None)
    assert not kept["forced"].exists()
    assert kept["other"].exists()


@pytest.mark.parametrize("dryrun", [True, False])
def test_outputs_of_a_running_study_are_not_deleted(controller, dryrun, capsys):
    controller.take()
    deleted = []
    guarded = Controller(files()).guard_deletion(lambda **given: deleted.append(given))
    if dryrun:
        guarded(only_temp=True, dryrun=True)
        assert deleted == [{"only_temp": True, "dryrun": True}]
        return
    with pytest.raises(SystemExit):
        guarded(only_temp=False, dryrun=False)
    assert deleted == []
    assert capsys.readouterr().err.startswith("error: results/tiny/controller.json: process ")


def test_results_are_named_once_there_is_a_report(controller, folder, capsys):
    controller.print_results()
    assert capsys.readouterr().out == ""
    (folder / "results" / "tiny").mkdir(parents=True)
    (folder / "results" / "tiny" / "report.html").touch()
    controller.print_results()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Tables: results/tiny/tables", "Report: results/tiny/report.html"]


@pytest.mark.parametrize(
    ("studies", "command"),
    [
        ([], "clinical-peft track config/config.yaml"),
        (["a study.yaml"], "clinical-peft track 'a study.yaml'"),
        (["one.yaml", "two.yaml"], "run the same command again"),
    ],
)
def test_what_a_server_did_not_take_is_one_line(folder, studies, command, capsys):
    controller = Controller(files(), studies)
    controller.take()
    runs = folder / "results" / "tiny" / "runs"
    for name in ("tracked/tfidf.json", "tracked.json", "study.json"):
        write_reason(runs / name, "MLflow at http://host cannot be reached")
    (folder / "results" / "tiny" / "report.html").touch()
    controller.release()
    assert [path for path in runs.rglob("*") if path.is_file()] == []
    controller.print_results()
    (line,) = capsys.readouterr().out.splitlines()[2:]
    assert line == f"Runs:   not sent. MLflow at http://host cannot be reached. To send them later: {command}"


def test_records_stay_while_another_command_runs_the_study(controller, folder):
    controller.take()
    record = folder / "results" / "tiny" / "runs" / "tracked.json"
    write_reason(record, "MLflow at http://host cannot be reached")
    Controller(files()).release()
    assert record.exists()


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import clinical_peft.workflow.controller", "torch transformers mlflow pandas numpy pyarrow snakemake"),
        (
            "from clinical_peft.workflow.plan import main; main([CONFIG])",
            "torch transformers mlflow pandas numpy pyarrow",
        ),
        ("StudyFiles(Study(study='x')).table_names", "torch transformers mlflow pandas sklearn"),
    ],
    ids=["controller", "plan", "tables"],
)
def test_what_rules_ask_imports_little(statement, heavy):
    start = "from clinical_peft.workflow.study_files import Study, StudyFiles; from pathlib import Path; "
    code = f"import sys; {start} CONFIG = Path({str(CONFIG / 'config.yaml')!r}); {statement}; "
    code += f"print(sorted(set({heavy.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
