"""The registry of tasks: what a module must say, and what a stranger's module becomes."""

import subprocess
import sys

import pytest

from clinical_peft import tasks
from clinical_peft.errors import ConfigError
from clinical_peft.tasks import CONTROL, PAPER_TASKS, TASKS, find_task, read_tasks

READMISSION = """
from clinical_peft.tasks.task import Task

TASK = Task(
    name="{name}", title="30-day readmission", short="READM", place=3, type="{type}", classes=("no", "yes"),
    tables={{"mimic-iii": {{"ADMISSIONS": {{"HADM_ID": "integer"}}}}}}, {label}
)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder that is part of the package of tasks."""
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    yield tmp_path
    sys.modules.pop("clinical_peft.tasks.readmission", None)


def write(package, *, name="readmission", type="binary", label="label=lambda request: None"):
    (package / "readmission.py").write_text(READMISSION.format(name=name, type=type, label=label))


def test_tasks_stand_in_the_order_of_the_paper():
    assert [*TASKS] == ["pmv", "mortality", "los", "diagnoses", "procedures", "control"]
    assert (*PAPER_TASKS, CONTROL) == tuple(TASKS)
    assert [task.short for task in TASKS.values()] == ["PMV", "MOR", "LOS", "DIAG", "PROC", "Control"]


def test_a_module_of_the_package_is_a_task(package):
    write(package)
    found = read_tasks()
    assert found["readmission"].title_in_a_sentence == "30-day readmission (READM)"
    assert [*found].index("readmission") == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": ""}, r"readmission\.py: .*'label'"),
        ({"type": "multilabel"}, r"readmission\.py: .*names the table of its codes"),
        ({"name": "los"}, r"a second task is called los"),
    ],
)
def test_an_incomplete_task_says_what_is_missing(package, changes, message):
    write(package, **changes)
    with pytest.raises(ConfigError, match=message):
        read_tasks()


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"expected one of pmv, .*, control, found death"):
        find_task("death")


def test_the_registry_needs_neither_pandas_nor_torch(pytestconfig):
    code = "import clinical_peft.tasks, sys; print({'pandas', 'torch', 'pyarrow', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
