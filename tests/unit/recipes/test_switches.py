from dataclasses import replace

import pytest

from clinical_peft.recipes.switches import SWITCHES
from clinical_peft.tasks import TASKS

CODES = {"malformed_codes_kept", "label_space_whole_table", "multilabel_softmax"}
OWN = {
    "pmv": {"death_phrases_original"},
    "mortality": {"death_phrases_original"},
    "los": {"los_rounded", "negative_stays_kept"},
    "diagnoses": CODES,
    "procedures": CODES | {"procedure_codes_as_integers"},
    "control": set(),
}


def own_switches(task):
    """Switches for a task that are not for all."""
    return {name for name, switch in SWITCHES.items() if switch.tasks is not None and switch.is_for_task(TASKS[task])}


def test_switches_are_for_the_tasks_that_read_them():
    assert {task: own_switches(task) for task in TASKS} == OWN


@pytest.mark.parametrize("known", OWN)
def test_a_new_task_gets_the_switches_that_its_like_reads(monkeypatch, known):
    monkeypatch.setitem(TASKS, "new", replace(TASKS[known], name="new"))
    assert own_switches("new") == OWN[known]


def test_tasks_name_switches_that_there_are():
    assert {name for task in TASKS.values() for name in task.switches} <= {*SWITCHES}
