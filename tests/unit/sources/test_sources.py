"""The registry of sources, and a hospital of three files that becomes a corpus, cohorts and attributes by it."""

import json
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort_fixtures import CORRECTED
from study_fixtures import study_with
from tables_fixtures import write_csv

from clinical_peft import sources
from clinical_peft.config.hospital import Cohorts
from clinical_peft.config.notes_in_use import check_runnable
from clinical_peft.data.attrition import Attrition
from clinical_peft.data.cohorts import build_cohort
from clinical_peft.data.joined_notes import ADMISSION_SCHEMA
from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.subgroups import build_subgroups
from clinical_peft.data.tables import FLAG, INTEGER, TEXT, TIME, read_table, stream_table
from clinical_peft.errors import ConfigError
from clinical_peft.recipes.switches import SWITCHES
from clinical_peft.sources import (
    SOURCES,
    AdmissionRequest,
    NoteTable,
    OutcomeFiles,
    Source,
    Table,
    find_source,
    hospital_corpora,
    read_sources,
    sources_of_corpus,
)
from clinical_peft.tasks import TASKS, find_task

STAYS = {"stay": "integer", "person": "integer", "dead": "integer", "began": "time", "ended": "time"}
LETTERS = {"letter": "text", "person": "integer", "stay": "integer", "words": "text"}
FINDINGS = {"stay": "integer", "person": "integer", "finding": "text"}


def read_letters(path):
    for batch in stream_table(path, {"letter": TEXT, "person": INTEGER, "stay": INTEGER, "words": TEXT}):
        rows = batch.num_rows
        yield pa.RecordBatch.from_pydict(
            {
                "note_id": batch["letter"],
                "subject_id": batch["person"],
                "hadm_id": batch["stay"],
                "kind": pa.repeat("letter", rows),
                "charttime": pa.nulls(rows, TEXT),
                "text": batch["words"],
                "is_error": pa.repeat(False, rows),
            }
        )


def build_admission_notes(request: AdmissionRequest):
    attrition, notes = Attrition(), read_table(request.note_folder / "letters.csv", ["stay", "person", "words"])
    notes.columns = ADMISSION_SCHEMA.names
    attrition.record("letters", notes.astype({"hadm_id": "int64", "subject_id": "int64"}))
    with parquet_writer(request.output, ADMISSION_SCHEMA, attrition.metadata()) as writer:
        frame = notes.astype({"hadm_id": "int64", "subject_id": "int64"})
        writer.write_table(pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False))
    return attrition.steps


class Outcomes:
    def __init__(self, files: OutcomeFiles) -> None:
        self.folder = files.folder

    def admissions(self, *, times=False):
        columns = {"stay": INTEGER, "person": INTEGER, "dead": FLAG, "began": TIME, "ended": TIME}
        rows = read_table(self.folder / "stays.csv", columns)
        rows.columns = ["hadm_id", "subject_id", "died", "admittime", "dischtime"]
        return rows.astype({"hadm_id": "int64", "subject_id": "int64"})

    def codes(self, task, switches, attrition):
        rows = read_table(self.folder / "findings.csv", {"stay": INTEGER, "person": INTEGER, "finding": TEXT})
        rows.columns = ["hadm_id", "subject_id", "code"]
        return attrition.record("rows of findings", rows)


def patient_attributes(folder):
    stays = Outcomes(OutcomeFiles(folder=folder)).admissions()
    blank = dict.fromkeys(("sex", "ethnicity", "insurance", "admission_type", "era"))
    return stays[["hadm_id"]].assign(age=50.0, **blank)


CLINIC = Source(
    name="clinic",
    title="Clinic",
    folders={"clinic": "folder of the clinic's files"},
    key="clinic",
    note_key="clinic",
    note_tables=(NoteTable(key="clinic", name="letters", columns=LETTERS, read=read_letters),),
    admission_tables=(Table(key="clinic", name="letters", columns=LETTERS),),
    attribute_tables=(Table(key="clinic", name="stays", columns=STAYS),),
    task_tables={
        **{name: {"stays": STAYS} for name in ("mortality", "los", "control")},
        "diagnoses": {"findings": FINDINGS},
    },
    build_admission_notes=build_admission_notes,
    outcomes=Outcomes,
    patient_attributes=patient_attributes,
)


@pytest.fixture
def clinic(tmp_path, monkeypatch):
    """A registered clinic of forty stays, in three files."""
    monkeypatch.setitem(SOURCES, "clinic", CLINIC)
    folder = tmp_path / "clinic"
    folder.mkdir()
    numbers = range(1, 41)
    stays = [[n, n + 100, int(n % 3 == 0), "2020-01-01 00:00:00", f"2020-01-{2 + n % 20:02} 00:00:00"] for n in numbers]
    write_csv(folder / "stays.csv", ",".join(STAYS), stays)
    write_csv(folder / "letters.csv", ",".join(LETTERS), [[f"L{n}", n + 100, n, f"Complaint {n}."] for n in numbers])
    write_csv(folder / "findings.csv", ",".join(FINDINGS), [[n, n + 100, "fever"] for n in numbers])
    return folder


def cohort(task, folder, output):
    notes = output / "admission.parquet"
    source = find_source("clinic")
    source.build_admission_notes(
        AdmissionRequest(folder=folder, note_folder=folder, output=notes, switches=dict.fromkeys(SWITCHES, False))
    )
    build_cohort(
        find_task(task),
        admission_notes=notes,
        outcomes=source.outcomes(OutcomeFiles(folder=folder)),
        splits="hash",
        salt="salt",
        pmv_split="core-patient",
        switches=CORRECTED,
        output=output / f"{task}.parquet",
        classes_output=output / f"{task}.classes.json",
        attrition_output=output / f"{task}.attrition.json",
    )
    return pq.read_table(output / f"{task}.parquet").to_pandas(), json.loads(
        (output / f"{task}.classes.json").read_text()
    )


def test_three_files_become_a_cohort(clinic, tmp_path):
    rows, classes = cohort("mortality", clinic, tmp_path)
    assert classes == ["survived", "died"]
    assert rows["label"].tolist() == [int(number % 3 == 0) for number in rows["hadm_id"]]
    rows, _ = cohort("los", clinic, tmp_path)
    assert set(rows["hadm_id"]) == {number for number in range(1, 41) if number % 3}
    rows, classes = cohort("diagnoses", clinic, tmp_path)
    assert classes == ["fever"]
    assert rows["text"][0] == "Complaint 1."
    assert {*cohort("control", clinic, tmp_path)[0]["label"]} == {0, 1}


def test_three_files_become_a_corpus_and_attributes(clinic, tmp_path):
    assert hospital_corpora()[-2:] == ("clinic", "combined")
    counts = extract_notes("clinic", tmp_path / "notes.parquet", clinic=clinic, flattened=False)
    assert counts["letters_rows"] == counts["written"] == 40
    assert build_subgroups("clinic", clinic, tmp_path / "subgroups.parquet") == 40
    assert set(pq.read_table(tmp_path / "subgroups.parquet")["age_band"].to_pylist()) == {"40 to 59"}


def test_a_source_must_read_every_patient_attribute(clinic, tmp_path, monkeypatch):
    def without_sex(folder):
        return patient_attributes(folder).drop(columns="sex")

    monkeypatch.setitem(SOURCES, "clinic", replace(CLINIC, patient_attributes=without_sex))
    with pytest.raises(ConfigError, match="source clinic: patient_attributes: expected column sex, found none"):
        build_subgroups("clinic", clinic, tmp_path / "subgroups.parquet")


def test_a_source_without_a_tasks_tables_refuses_the_task(clinic):
    assert [table.name for table in CLINIC.label_tables(find_task("diagnoses"))] == ["findings"]
    with pytest.raises(ConfigError, match="task pmv: has no tables of source clinic; drop the task"):
        CLINIC.label_tables(find_task("pmv"))
    with pytest.raises(ConfigError, match="clinic has no tables of ventilation"):
        CLINIC.tables_of_ventilation(lambda name: True)
    with pytest.raises(ConfigError, match="clinic has no tables of ventilation"):
        CLINIC.derive_ventilation(clinic)


def test_a_study_may_name_a_registered_source(clinic):
    assert Cohorts(source="clinic").source == "clinic"
    with pytest.raises(ValueError, match="icd is for the source mimic-iv"):
        Cohorts(source="clinic", icd="only-9")


def test_the_synthetic_hospital_says_which_source_it_lacks(clinic, monkeypatch):
    study = study_with(cohorts={"source": "clinic"}, matrix={"tasks": ["los"], "models": ["tfidf"], "adapters": []})
    with pytest.raises(ConfigError, match=r"the synthetic hospital has no tables of Clinic; give data\.clinic"):
        check_runnable(study)


def test_an_unknown_source_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="expected one of mimic-iii, mimic-iv, found mimic-ii"):
        find_source("mimic-ii")
    with pytest.raises(ConfigError, match="expected one of mimic-iii, mimic-iv, combined, found general"):
        sources_of_corpus("general")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sources/x: expected SOURCE, found none"),
        ("SOURCE = Source(name='x')", "sources/x: .*missing"),
        ("from clinical_peft.sources.mimic_iii import SOURCE as OTHER\nSOURCE = replace(OTHER)", "called mimic-iii"),
        (
            "from clinical_peft.sources.mimic_iii import SOURCE as OTHER\nSOURCE = replace(OTHER, key='y')",
            "expected one of mimic_iii as key, found y",
        ),
    ],
)
def test_an_incomplete_source_says_what_is_missing(text, message, tmp_path, monkeypatch):
    header = "from dataclasses import replace\nfrom clinical_peft.sources.source import Source\n"
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "__init__.py").write_text(header + text)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "clinical_peft.sources.x", raising=False)
    with pytest.raises(ConfigError, match=message):
        read_sources()


def test_a_combined_corpus_keeps_the_originals_order():
    assert [source.name for source in sources_of_corpus("combined")] == ["mimic-iii", "mimic-iv"]


def test_every_task_has_tables_of_every_source_here():
    for source in SOURCES.values():
        for task in TASKS.values():
            assert source.label_tables(task)
    by_list = find_source("mimic-iii").label_tables(find_task("pmv"), by_list=True)
    assert [table.name for table in by_list] == ["ADMISSIONS"]


def test_switches_name_known_sources():
    for switch in SWITCHES.values():
        assert {*(switch.sources or ())} <= {*SOURCES}


def test_the_registry_of_sources_is_light(pytestconfig):
    code = "import clinical_peft.sources, sys; print({'pandas', 'torch', 'pyarrow', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
