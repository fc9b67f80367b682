"""What rules ask of a study of own tables: files, records and the names that divide its rules from a hospital's."""

import gzip
import json
import re

import pytest
from own_studies import own_study, with_table
from study_fixtures import study_with

from clinical_peft.errors import DataError
from clinical_peft.sources.table.spec import table_from_record
from clinical_peft.tasks import task_from_record
from clinical_peft.workflow.own_rows import table_rows
from clinical_peft.workflow.plan import plan, render
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import WildcardValues
from clinical_peft.workflow.study_inputs import check_inputs

LABELS = {"readmission-iii": {"type": "binary", "labels": "/data/labels.csv", "on": "mimic-iii"}}
OURS, PROBLEMS = WildcardValues(table="ours", corpus="ours"), WildcardValues(task="problems")
ON_LABELS = WildcardValues(task="readmission-iii")
GROUPS = with_table(subgroups={"sex": ["F", "M"]})


def files(*changes) -> StudyFiles:
    return StudyFiles(own_study(*changes))


def test_a_table_is_described_to_its_jobs():
    spec = table_from_record(json.loads(json.dumps(files(GROUPS).table_spec(OURS))))
    assert (spec.name, spec.paths, spec.text, spec.patient) == ("ours", {"": "/data/notes.csv"}, ("note",), "mrn")
    assert spec.subgroups == {"sex": ("F", "M")}


@pytest.mark.parametrize(
    ("changes", "kind", "sources"),
    [
        ({}, "hash", ["/data/notes.csv"]),
        ({"path": {"train": "/a", "validation": "/b", "test": "/c"}}, "files", ["/a", "/b", "/c"]),
        ({"split": {"column": "fold"}}, "column", ["/data/notes.csv"]),
        ({"split": {"lists": "/lists"}}, "lists", ["/data/notes.csv", "/lists/train.csv"]),
        ({"site": "s", "split": {"site": {"validation": ["B"], "test": ["C"]}}}, "site", ["/data/notes.csv"]),
        (
            {"time": "t", "split": {"temporal": {"validation": "2019-01-01", "test": "2020-01-01"}}},
            "temporal",
            ["/data/notes.csv"],
        ),
    ],
)
def test_every_split_of_a_table_reaches_its_import(changes, kind, sources):
    asked = files(with_table(**changes))
    split = table_from_record(asked.table_spec(OURS)).split
    assert split.kind == kind
    assert asked.table_sources(OURS)[: len(sources)] == sources
    assert bool(asked.table_salt(OURS)) == (kind == "hash")
    if kind == "temporal":
        assert (split.validation, split.test) == (("2019-01-01",), ("2020-01-01",))


def test_thresholds_of_repetition_are_for_tables_without_patients():
    assert files().table_repetition(OURS) == {}
    without = files(with_table(patient=None))
    assert without.table_repetition(OURS) == {"near_duplicate_threshold": 0.5, "shingle_words": 5}


def test_a_missing_table_ends_the_command_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for ask, wildcards in ((files().table_sources_present, OURS), (files().table_task_files_present, PROBLEMS)):
        with pytest.raises(SystemExit):
            ask(wildcards)
        line = "error: data.tables.ours: /data/notes.csv: expected a file, found none; correct its path in the study\n"
        assert capsys.readouterr().err == line


def test_a_table_gone_since_its_import_is_a_notice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.csv"
    asked = files(with_table(path=str(path)))
    assert asked.gone_tables() == []  # the missing file is an error, not a notice
    for made in ("imported/ours.parquet", "cohorts/problems.parquet"):
        (tmp_path / asked.root / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / asked.root / made).touch()
    assert asked.table_sources_present(OURS) == asked.table_task_files_present(PROBLEMS) == [str(path)]
    assert asked.gone_tables() == [
        f"data.tables.ours: {path} is gone since its import, whose rows stay in use; changes that need the file again "
        "have no effect until it is back"
    ]
    path.touch()
    assert asked.gone_tables() == []


def test_a_task_of_a_table_reads_it():
    asked = files()
    assert asked.table_task_notes(PROBLEMS) == "results/own/imported/ours.parquet"
    assert asked.table_task_files(PROBLEMS) == ["/data/notes.csv"]
    assert asked.table_task_spec(PROBLEMS) == asked.table_spec(OURS)


def test_a_title_is_no_reason_to_run_a_job_on_one_task_again():
    renamed = files({"tasks": {"problems": {"title": "Other", "short": "OTHER"}}})
    assert renamed.task_record(PROBLEMS) == files().task_record(PROBLEMS)
    assert renamed.task_records() != files().task_records()
    assert task_from_record(files().task_record(PROBLEMS)).delimiter == ";"


def test_records_of_all_tasks_are_titled_and_in_order():
    tasks = list(map(task_from_record, files().task_records()))
    assert [(task.name, task.title) for task in tasks] == [
        ("readmission", "30-day readmission"),
        ("service", "service"),
        ("problems", "Problems"),
    ]
    assert StudyFiles(study_with()).task_record(WildcardValues(task="mortality@marks_kept")) == {"name": "mortality"}


def test_a_file_of_labels_is_joined_to_the_admissions():
    asked = files({"tasks": LABELS, "data": {"mimic_iii": "/mimic"}})
    assert asked.cohort_label_file(ON_LABELS) == "/data/labels.csv"
    assert asked.cohort_tables(ON_LABELS) == ["/mimic/ADMISSIONS.csv.gz"]
    assert asked.cohort_ventilation(ON_LABELS) == asked.cohort_list(ON_LABELS) == []
    assert StudyFiles(study_with()).cohort_label_file(WildcardValues(task="mortality")) == []


def test_names_divide_the_rules_that_write_cohorts():
    names = files({"tasks": LABELS | {"los": {}}}).names
    matches = {name: [bool(re.fullmatch(pattern, name)) for pattern in (names.hospital_task, names.table_task)]
               for name in ("los", "los@los_rounded", "readmission-iii", "service", "service@paper")}  # fmt: skip
    assert matches == {
        "los": [True, False],
        "los@los_rounded": [True, False],
        "readmission-iii": [True, False],
        "service": [False, True],
        "service@paper": [False, False],
    }
    assert re.fullmatch(names.task, "service")
    assert re.fullmatch(names.corpus, "ours")


def test_subgroups_are_those_of_every_source_in_use():
    assert files().subgroups() == []
    assert files(GROUPS).subgroups() == ["results/own/cohorts/ours.subgroups.parquet"]
    beside = files(GROUPS, {"tasks": {"los": {}}, "matrix": {"tasks": ["los", "service"]}})
    assert beside.subgroups() == [f"results/own/cohorts/{name}.parquet" for name in ("subgroups", "ours.subgroups")]
    assert [path.rpartition("/")[2] for path in beside.hospital_cohorts()] == ["los.parquet"]


def test_switches_of_a_hospital_change_no_own_table():
    everything = {"gaps": {"model": "clinical"}, "matrix": {"tasks": ["service"]}}
    asked = files(everything)
    assert {cohort for _, _, _, cohort in asked.ablation_runs()} == {"service"}
    assert not {each.switch for each in asked.ablations} & {"marks_kept", "addenda_searched", "los_rounded"}
    assert asked.token_notes(WildcardValues(corpus="ours@paper")) == "results/own/notes/ours.parquet"


def test_a_study_of_own_tables_plans_no_job_of_a_hospital():
    planned = planned_outputs(files(GROUPS))["data"]
    assert [path.removeprefix("results/own/") for path in planned] == [
        "notes/ours.parquet",
        "imported/ours.parquet",
        "cohorts/service.parquet",
        "cohorts/readmission.parquet",
        "cohorts/problems.parquet",
        "cohorts/ours.subgroups.parquet",
        "cohorts/leakage.json",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.csv", b'id,text\n1,"two\nlines"\n2,b\n'),
        ("n.csv.gz", gzip.compress(b"id,text\n1,a\n2,b\n", mtime=0)),
        ("n.jsonl", b'{"id": 1, "text": "a \\" b"}\n{"id": 2, "text": "c"}\n'),
    ],
)
def test_rows_of_a_table_are_counted_for_plans(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert table_rows(own_study(with_table(path=str(tmp_path / name))), "ours") == (1, 2)


def test_a_plan_says_what_it_assumes_of_tables(tmp_path):
    path = tmp_path / "notes.csv"
    study = own_study(with_table(path=str(path)))
    printed = render(study, plan(study))
    assert "MIMIC" not in printed
    assert printed.splitlines()[-1] == f"data.tables.ours: {path} is not there, so its notes are not counted"
    path.write_text("encounter,mrn,note\n1,1,x\n", encoding="utf-8")
    assert "is not there" not in render(study, plan(study))
    beside = own_study({"tasks": {"los": {}}, "matrix": {"tasks": ["los", "service"]}})
    assert "per MIMIC note" in render(beside, plan(beside))


def test_a_plan_of_a_table_that_is_not_there_or_damaged_is_empty(tmp_path):
    assert table_rows(own_study(), "ours") == (0, 0)
    (tmp_path / "n.csv.gz").write_text("plain")
    assert table_rows(own_study(with_table(path=str(tmp_path / "n.csv.gz"))), "ours") == (0, 0)


def test_a_table_by_split_names_its_training_rows(tmp_path):
    for name, rows in (("train", 5), ("validation", 2), ("test", 3)):
        (tmp_path / name).with_suffix(".csv").write_text("id,text\n" + "1,a\n" * rows)
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("train", "validation", "test")}
    study = own_study(with_table(path=paths))
    assert table_rows(study, "ours") == (5, 10)
    jobs = {stage.name: stage.jobs for stage in plan(study)}
    assert (jobs["data"], jobs["adapters"], jobs["fine-tuning"]) == (6, 1, 2 * 3 + 1)


def test_a_table_is_looked_at_before_the_first_job(tmp_path):
    (tmp_path / "notes.csv").write_text("encounter,mrn,note,readmitted,service\n1,7,secret cough,0,a\n")
    study = own_study(with_table(path=str(tmp_path / "notes.csv")))
    with pytest.raises(DataError) as raised:
        check_inputs(study, tmp_path / "results", bases=[])
    assert str(raised.value).startswith(f"data.tables.ours: {tmp_path}/notes.csv: expected column codes")
    assert "secret" not in str(raised.value)
    check_inputs(study, tmp_path / "results", bases=[], reads=[])


def test_a_file_of_labels_is_looked_at_before_the_first_job(tmp_path):
    (tmp_path / "labels.csv").write_text("id,label\n1,0.5\n")
    study = own_study({"tasks": {"more": LABELS["readmission-iii"] | {"labels": str(tmp_path / "labels.csv")}}})
    reads = [str(tmp_path / "labels.csv")]
    with pytest.raises(DataError, match=r"^tasks\.more\.labels: .*labels\.csv: row 2"):
        check_inputs(study, tmp_path / "results", bases=[], reads=reads)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "by a hash"),
        (with_table(split={"column": "fold"}), "as column fold says"),
        (with_table(split={"lists": "/lists"}), "by lists of patients"),
        (
            with_table(time="when", split={"temporal": {"validation": "2020-01-01", "test": "2021-01-01"}}),
            "by time, with validation from 2020-01-01 and test from 2021-01-01",
        ),
        (
            with_table(site="place", split={"site": {"validation": ["B", "C"], "test": ["D"]}}),
            "by site, with validation at B, C and test at D",
        ),
        (with_table(path={"train": "a.csv", "validation": "b.csv", "test": "c.csv"}), "by one file for each part"),
    ],
)
def test_readers_are_told_how_a_table_is_split(changes, words):
    assert files(changes).description(PROBLEMS)["tables"] == {"ours": words}
    assert "tables" not in StudyFiles(study_with()).description(PROBLEMS)


def test_a_split_by_years_reaches_cohorts_of_mimic_iv():
    years = {"validation": "2014 - 2016", "test": "2017 - 2019"}
    data = {"splits": {"temporal": years}, "mimic_iv": "/iv", "mimic_iv_note": "/note"}
    asked = StudyFiles(study_with(cohorts={"source": "mimic-iv"}, data=data))
    mortality = WildcardValues(task="mortality")
    assert asked.cohort_splits(mortality) == years
    assert asked.split_lists(mortality) == ["/iv/admissions.csv.gz"]
    assert asked.cohort_salt(mortality) == ""
    assert asked.description(mortality)["split"] == "temporal"
