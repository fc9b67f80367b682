"""A user's own tables and tasks in a study: what they become, and one line for each wrong key or combination."""

from datetime import date

import pytest
import yaml
from own_studies import OWN, own_study, with_table, with_task
from study_fixtures import study_with

from clinical_peft.config import notes_in_use
from clinical_peft.config.experiments import (
    finetune_job,
    load_study,
    pretrain_job,
    runs_in_use,
    token_salt,
)
from clinical_peft.config.settings import deciding_settings
from clinical_peft.errors import ConfigError
from clinical_peft.recipes.job_records import as_record, job_from_record, read_record
from clinical_peft.tasks import TASKS, task_from_record, task_record

FILES = {"train": "a.csv", "validation": "b.csv", "test": "c.csv"}
COLUMN = {"type": "binary", "table": "ours", "label_column": "outcome"}
LABELS = {"type": "binary", "labels": "/data/labels.csv", "on": "mimic-iii"}
SITES = {"validation": ["B"], "test": ["C"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (with_table(path=3), "data.tables.ours.path: "),
        (with_table(path={"train": "a.csv"}), "missing key data.tables.ours.path.validation"),
        (with_table(path=FILES, split="hash"), "split: a path by split says it already"),
        (with_table(text=[]), "data.tables.ours.text: List should have at least 1 item"),
        (with_table(text=["note", "note"]), "text: expected each column once"),
        (with_table(id="note"), "id: expected a column of its own, found note, a column of text"),
        (with_table(id=True), "data.tables.ours.id: expected a text; put it in quotation marks (found True)"),
        (with_table(split="random"), "data.tables.ours.split: Input should be 'hash' (found 'random')"),
        (with_table(split={}), "expected one of column, lists, temporal and site; or hash"),
        (with_table(split={"column": "fold", "lists": "x"}), "expected one of column, lists, temporal and site"),
        (with_table(patient=None, split={"lists": "/lists"}), "split: lists needs patient"),
        (with_table(split={"site": SITES}), "split: site needs site, the column of the hospital"),
        (with_table(split={"temporal": {"validation": "2019-01-01", "test": "2020-01-01"}}), "temporal needs time"),
        (
            with_table(time="when", split={"temporal": {"validation": "2020-01-01", "test": "2020-01-01"}}),
            "expected validation before test",
        ),
        (with_table(time="when", split={"temporal": {"validation": "early", "test": "2020-01-01"}}), "validation: "),
        (
            with_table(site="hospital", split={"site": {"validation": ["B"], "test": ["B"]}}),
            "expected each site once, found one twice",
        ),
        (with_table(subgroups={"sex": ["F", "F"]}), "subgroups.sex: expected each value once"),
        (with_table(subgroups={"sex": [True]}), "subgroups.sex.0: expected a text; put it in quotation marks"),
        ({"data": {"tables": {"general": {"path": "x", "id": "a", "text": "b"}}}}, "data.tables.general: this name is"),
        ({"data": {"tables": {"mimic-iii": {"path": "x", "id": "a", "text": "b"}}}}, "this name is taken"),
        ({"data": {"tables": {"a.b": {"path": "x", "id": "a", "text": "b"}}}}, "expected a name without a dot"),
        ({"data": {"note_files": {"ours": {"path": "x"}}}}, "data.tables.ours: data.note_files has this name too"),
    ],
)
def test_a_wrong_table_is_one_line(changes, expected):
    assert_one_line(changes, expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tasks": {"readmision": {}}}, "tasks.readmision: no built-in task (pmv, mortality, "),
        ({"tasks": {"mortality": COLUMN}}, "tasks.mortality.type: mortality is a built-in task"),
        ({"tasks": {"los": {"short": "LOS"}}}, "tasks.los: short: an own task needs table"),
        ({"tasks": {"subgroups": COLUMN}}, "tasks.subgroups: this name is taken"),
        ({"tasks": {"a.b": COLUMN}}, "tasks.a.b: this name is taken by other files, or holds a dot"),
        (with_task(**COLUMN, labels="x.csv"), "table and labels: an own task has its labels in one of the two"),
        (with_task(type="binary"), "type: an own task needs table"),
        (with_task(**COLUMN | {"type": None}), "type: expected binary, multiclass or multilabel, found none"),
        (with_task(**COLUMN | {"type": "ordinal"}), "tasks.more.type: Input should be 'binary', 'multiclass' or"),
        (with_task(**COLUMN | {"table": "theirs"}), "tasks.more.table: 'theirs' is not among data.tables (ours)"),
        (with_task(**COLUMN, label_columns=["a"]), "label_column or label_columns: expected one of the two"),
        (with_task(type="binary", table="ours"), "expected one of the two with table, found none"),
        (with_task(type="binary", table="ours", label_columns=["a", "b"]), "label_columns: are for type multilabel"),
        (with_task(**COLUMN | {"label_column": "note"}), "tasks.more.label_column: note is a column of the id"),
        (with_task(**COLUMN | {"label_column": "mrn"}), "mrn is a column of the id, patient, text or split"),
        (with_task(type="multilabel", table="ours", label_columns=["a", "a"]), "expected each column once"),
        (
            with_task(type="multilabel", table="ours", label_columns=["a", "b"], delimiter=";"),
            "delimiter: divides the field of label_column, found with label_columns",
        ),
        (with_task(**COLUMN, delimiter=";"), "delimiter: is for type multilabel, found binary"),
        (with_task(type="multilabel", table="ours", label_columns=["a"], classes=["a", "b"]), "the label_columns are"),
        (
            with_task(type="multilabel", table="ours", label_column="a", delimiter=";", classes=["a;b", "c"]),
            "classes: expected classes without the delimiter",
        ),
        (with_task(**COLUMN, classes=["a", "b", "c"]), "classes: expected 2 with type binary, found 3"),
        (with_task(**COLUMN, classes=["a", "a"]), "classes: expected each class once"),
        (with_task(**COLUMN, classes=[True, False]), "expected a text; put it in quotation marks (found True)"),
        (with_task(**COLUMN | {"type": "multiclass"}, classes=list(map(str, range(2001)))), "at most 2000 items"),
        (with_task(**COLUMN, min_class_size=10), "min_class_size: is for multiclass and multilabel tasks"),
        (with_task(**LABELS | {"on": None}), "labels and on go together"),
        (with_task(**LABELS | {"on": "mimic-iv"}), "tasks.more.on: expected cohorts.source, mimic-iii"),
        (with_task(**LABELS | {"on": "eicu"}), "tasks.more.on: expected one of mimic-iii, mimic-iv"),
        (with_task(**LABELS, label_column="a"), "label_column: a file of labels has the columns id and label"),
        (with_task(**COLUMN, short="READM"), "tasks.more.short: 'READM' is the short name of another task"),
        (with_task(**COLUMN, short="LOS"), "'LOS' is the short name of another task"),
        (with_task(**COLUMN, stated_outcomes={"home": "sent (home"}), "home: expected a regular expression"),
        (with_task(**COLUMN, stated_outcomes={"home": "(home)?"}), "home: expected a pattern of words"),
        ({"matrix": {"tasks": ["problem"]}}, "matrix.tasks: 'problem' is not among the tasks"),
        ({"models": {"tfidf": {"task_recipes": {"loss": {}}}}}, "models.tfidf.task_recipes: 'loss' is not among"),
        ({"evaluation": {"metric": "accuracy"}}, "evaluation.metric: multilabel task problems has no accuracy; choose"),
        ({"evaluation": {"metric": "f2"}}, "evaluation.metric: Input should be 'auroc', 'auprc', 'accuracy' or"),
    ],
)
def test_a_wrong_task_is_one_line(changes, expected):
    assert_one_line(changes, expected)


def assert_one_line(changes, expected):
    with pytest.raises(ConfigError) as raised:
        own_study(changes)
    assert expected in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert not any(tag in str(raised.value) for tag in ("<plain>", "<mapping>", "<list>"))


def test_tasks_of_a_study_are_built_in_ones_first_then_its_own():
    study = own_study({"tasks": {"los": {"title": "Days"}}, "matrix": {"tasks": ["service", "los", "readmission"]}})
    assert [task.name for task in study.tasks_in_order] == ["los", "readmission", "service"]
    assert [task.title for task in study.tasks_in_order] == ["Days", "30-day readmission", "service"]
    assert study.hospital_tasks == ["los"]
    assert study.table_of("service") == "ours"
    with pytest.raises(ConfigError, match=r"expected one of pmv, .*, problems, found sepsis"):
        study.task_of("sepsis")


def test_an_own_task_says_all_that_the_study_says():
    task = own_study().task_of("problems")
    assert (task.type, task.table, task.label_columns, task.delimiter) == ("multilabel", "ours", ("codes",), ";")
    assert (task.multilabel, task.is_own, task.is_published) == (True, True, False)
    assert task_from_record(task_record(task)) == task


def test_short_names_are_distinct():
    given = {"type": "binary", "table": "ours", "label_column": "x"}
    study = own_study({"tasks": {"readmission-iii": given, "readmission-iv": given, "los30": given}})
    shorts = [task.short for task in study.own_tasks.values()]
    assert shorts == ["READM", "SERVICE", "PROBLEMS", "READMISS", "READMIS2", "LOS30"]


def test_the_key_on_is_no_boolean():
    written = yaml.safe_load("tasks: {more: {type: binary, labels: /data/labels.csv, on: mimic-iii}}")
    assert own_study(written).task_of("more").on == "mimic-iii"


def test_whole_numbers_name_classes():
    assert own_study(with_task(**COLUMN, classes=[0, 1])).task_of("more").classes == ("0", "1")


def test_dates_of_yaml_and_of_text_are_one_split():
    splits = [
        with_table(time="when", split={"temporal": {"validation": first, "test": "2020-01-01"}})
        for first in ("2019-01-01", date(2019, 1, 1))
    ]
    assert own_study(splits[0]).data == own_study(splits[1]).data


def test_a_study_of_own_tables_reads_no_hospital():
    study = own_study()
    assert not notes_in_use.reads_hospital(study)
    assert not notes_in_use.reads_synthetic_notes(study)
    assert not notes_in_use.all_adapters_of_synthetic_notes(study)
    assert notes_in_use.tables_in_use(study) == ["ours"]
    beside = own_study({"tasks": {"los": {}}, "matrix": {"tasks": ["los", "service"]}})
    assert notes_in_use.reads_synthetic_notes(beside)


def test_real_weights_may_learn_from_an_own_table():
    mine = {"family": "causal", "label": "Mine", "source": {"kind": "local", "path": "/base"}}
    notes_in_use.check_runnable(load_study({**OWN, "bases": {"tiny": mine}}))


def test_recipes_need_no_section_of_their_own():
    study = own_study()
    assert pretrain_job(study, "ours-lora").recipe.context == 512
    assert finetune_job(study, "clinical", "service").recipe.learning_rate == 2e-4
    full = own_study({"models": {"whole": {"kind": "full", "base": "tiny", "label": "Whole"}}})
    assert finetune_job(full, "whole", "service").recipe.learning_rate == 3e-5
    assert (
        finetune_job(own_study({"finetuning": {"learning_rate": 1.0}}), "clinical", "service").recipe.learning_rate == 1
    )


def test_a_job_on_an_own_task_knows_its_type():
    job = finetune_job(own_study(), "clinical", "problems")
    assert as_record(job)["task_type"] == "multilabel"
    assert job_from_record(type(job), read_record(job)).type == "multilabel"
    assert "class_weights" not in read_record(job)["recipe"]
    assert "multilabel_softmax" in read_record(job)["switches"]


def test_a_job_on_a_built_in_task_has_its_earlier_record():
    job = finetune_job(study_with(), "tfidf", "mortality")
    assert "task_type" not in as_record(job)
    assert job.type == TASKS["mortality"].type


def test_training_notes_get_a_split_of_their_own():
    assert token_salt(own_study(), "ours") == "clinical-peft:pretraining"


def test_what_decides_own_tasks_is_in_the_settings():
    before = deciding_settings(own_study())
    assert before["own_tasks"]["problems"]["delimiter"] == ";"
    assert before["data"]["tables"]["ours"]["id"] == "encounter"
    assert "metric" not in before["evaluation"]
    assert deciding_settings(own_study({"evaluation": {"metric": "auprc"}}))["evaluation"]["metric"] == "auprc"
    renamed = own_study({"tasks": {"problems": {"title": "Other", "short": "X"}}})
    assert deciding_settings(renamed) == before
    assert deciding_settings(own_study({"tasks": {"problems": {"delimiter": ","}}})) != before
    assert "own_tasks" not in deciding_settings(study_with())


def test_a_study_without_own_tasks_says_nothing_of_them():
    entry = study_with().model_dump(mode="json")["tasks"]["mortality"]
    assert entry == {"title": None, "recipe": {}, "task_adapter": {}, "models": None}


def test_runs_are_of_tasks_with_these_models():
    some = own_study({"tasks": {"service": {"models": ["tfidf"]}}})
    assert ("clinical", "service") not in runs_in_use(some)
