"""Records of own tasks give the same task again."""

import json

from clinical_peft.tasks import OwnTask, task_from_record, task_record
from clinical_peft.tasks.task import Statement


def test_an_own_task_survives_its_record():
    task = OwnTask(
        name="problems",
        title="Problems",
        short="PROB",
        place=100,
        type="multilabel",
        classes=("A10", "B20"),
        table="ours",
        label_columns=("codes",),
        delimiter=";",
        stated_outcomes={"stated": Statement("relapse", ("relapse",))},
    )
    assert task_from_record(json.loads(json.dumps(task_record(task)))) == task
