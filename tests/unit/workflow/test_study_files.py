"""What rules ask of a study: paths, recipes and settings of jobs, and which names exist."""

import inspect
import json
import re
from pathlib import Path

import pytest
from study_fixtures import LORA, TWO, study_files, wildcards

from clinical_peft.config import experiments
from clinical_peft.errors import ConfigError
from clinical_peft.recipes import FinetuneJob, PretrainJob
from clinical_peft.recipes.job_records import job_from_record
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_files import StudyFiles

CONFIG = Path(__file__).parents[3] / "config"
TASKS = ["los", "mortality", "pmv", "diagnoses", "procedures", "control"]


@pytest.fixture(scope="module")
def tiny() -> StudyFiles:
    return study_files()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    """Folders of MIMIC's tables, all empty, without optional ones."""
    folder = tmp_path_factory.mktemp("hospital")
    tables = {
        "mimic-iii": ["NOTEEVENTS", "ADMISSIONS", "PROCEDUREEVENTS_MV", "DIAGNOSES_ICD", "PROCEDURES_ICD", "ICUSTAYS"],
        "mimic-iv": ["admissions", "patients", "procedureevents", "diagnoses_icd", "procedures_icd"],
        "mimic-iv-note": ["discharge", "radiology"],
    }
    for name, tables_of_folder in tables.items():
        (folder / name).mkdir()
        for table in tables_of_folder:
            (folder / name / f"{table}.csv").touch()
    return folder


def real_files(hospital: Path, source: str = "mimic-iii", *, data: dict | None = None, **changes) -> StudyFiles:
    folders = {key: str(hospital / key.replace("_", "-")) for key in ("mimic_iii", "mimic_iv", "mimic_iv_note")}
    return study_files(cohorts={"source": source}, data=folders | (data or {}), matrix={"tasks": TASKS}, **changes)


def names(paths) -> list[str]:
    return [Path(path).name for path in paths]


# --- every method -----------------------------------------------------------------------------------------------------


def methods() -> dict[str, list[str]]:
    """Methods that rules name, with what else than wildcards they ask for."""
    found = {}
    for name, method in inspect.getmembers(StudyFiles, inspect.isfunction):
        asked = list(inspect.signature(method).parameters)[1:]
        if not name.startswith("_") and asked[:1] == ["wildcards"]:
            found[name] = asked[1:]
    return found


def asked_by_rules() -> set[str]:
    texts = [path.read_text() for path in (CONFIG.parent / "rules").glob("*.smk")]
    return {name for text in texts for name in re.findall(r"\bfiles\.(\w+)", text)}


def test_every_name_in_the_rules_exists():
    assert asked_by_rules() <= set(dir(study_files()))


@pytest.mark.parametrize("study", ["tiny.yaml", "config.yaml", "gaps.yaml", "search.yaml", "disjoint.yaml", "mimic-iv"])
def test_every_method_answers_in_values_for_json(study):
    files = study_files(cohorts={"source": "mimic-iv"}) if study == "mimic-iv" else study_files(study)
    for name, asked in methods().items():
        if name.startswith(("note_", "table_")):  # of a user's files; see below and test_own_tables.py
            continue
        asking = wildcards()
        if name.startswith("feature_"):
            asking = wildcards(features=next(iter(files.feature_sets)))
        if name in ("model_search", "model_trials", "adapter_search", "adapter_trials"):
            kind = "adapter" if "adapter" in name else "model"
            searched = [path for path in files.searches if path.startswith("adapters/") == (kind == "adapter")]
            if not searched:
                continue
            first, _, last = searched[0].rpartition("/")
            asking = wildcards(adapter=last) if kind == "adapter" else wildcards(model=first, task=last)
        answer = getattr(files, name)(asking, *[2 for _ in asked])
        json.dumps(answer)


def test_paths_lie_below_the_study(tiny):
    for path in [*tiny.cohorts(), *tiny.notes(), *tiny.run_logs(), *tiny.tables(), *tiny.metrics(), tiny.hospital]:
        assert path.startswith("results/tiny/")


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("base_source", {"base": "x"}),
        ("base_files", {"base": "x"}),
        ("adapter_base", {"adapter": "x"}),
        ("adapter_job", {"adapter": "x"}),
        ("adapter_threads", {"adapter": "x"}),
        ("model_base", {"model": "x"}),
        ("clinical_adapter", {"model": "x"}),
        ("finetune_job", {"model": "x"}),
        ("finetune_job", {"task": "x"}),
        ("finetune_threads", {"task": "x"}),
        ("model_features", {"model": "x"}),
        ("cohort_tables", {"task": "x"}),
        ("cohort_salt", {"task": "x"}),
        ("corpus_tables", {"corpus": "x"}),
        ("note_file", {"corpus": "x"}),
        ("note_columns", {"corpus": "x"}),
        ("feature_base", {"features": "x"}),
        ("feature_job", {"features": "x"}),
        ("model_search", {"model": "x"}),
        ("adapter_trials", {"adapter": "x"}),
    ],
)
def test_an_unknown_name_is_refused_in_one_line(tiny, method, values):
    with pytest.raises(ConfigError) as raised:
        getattr(tiny, method)(wildcards(**values))
    assert "x" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_name_is_answered_with_the_known_ones(tiny):
    with pytest.raises(ConfigError, match=r"study tiny: adapter: expected one of tiny-llama-lora, .*, found nobody"):
        tiny.adapter_base(wildcards(adapter="nobody"))


# --- corpora ----------------------------------------------------------------------------------------------------------


def test_a_synthetic_study_reads_the_hospital_it_makes(tiny):
    assert tiny.corpus_tables(wildcards(corpus="combined")) == ["results/tiny/hospital"]
    assert tiny.corpus_folders(wildcards(corpus="mimic-iii")) == {
        "mimic_iii": "results/tiny/hospital/mimic-iii",
        "mimic_iv_note": None,
    }
    assert tiny.outcome_folder(wildcards()) == "results/tiny/hospital/mimic-iii"
    assert tiny.whole_release(wildcards()) is None


def test_a_corpus_reads_the_note_tables_of_its_sources(hospital):
    files = real_files(hospital)
    assert names(files.corpus_tables(wildcards(corpus="mimic-iv"))) == ["discharge.csv", "radiology.csv"]
    assert names(files.corpus_tables(wildcards(corpus="mimic-iii@paper"))) == ["NOTEEVENTS.csv"]
    assert len(files.corpus_tables(wildcards(corpus="combined"))) == 3


def test_a_missing_table_is_named_as_it_should_be(hospital, tmp_path):
    files = real_files(hospital, data={"mimic_iii": str(tmp_path)})
    assert files.corpus_tables(wildcards(corpus="mimic-iii")) == [f"{tmp_path}/NOTEEVENTS.csv.gz"]
    files = real_files(hospital, data={"mimic_iv_note": None})
    assert files.corpus_tables(wildcards())[0] == "(data.mimic_iv_note is not set)/discharge.csv.gz"


def test_a_switch_reaches_the_stages_that_it_changes(tiny):
    assert tiny.corpus_flattened(wildcards(corpus="mimic-iv@notes_flattened"))
    assert not tiny.corpus_flattened(wildcards())
    assert tiny.token_truncation(wildcards(corpus="mimic-iv@truncate_and_pad"))
    assert tiny.token_notes(wildcards(corpus="mimic-iv@truncate_and_pad")) == "results/tiny/notes/mimic-iv.parquet"
    assert tiny.token_notes(wildcards(corpus="mimic-iv@paper")) == "results/tiny/notes/mimic-iv@paper.parquet"


def test_a_file_of_notes_says_its_columns(tmp_path):
    entries = {"a": {"path": str(tmp_path / "a.csv")}, "b": {"path": "b.csv", "subject_column": "patient"}}
    files = study_files(data={"note_files": entries})
    assert files.note_file(wildcards(corpus="a")) == str(tmp_path / "a.csv")
    assert files.note_columns(wildcards(corpus="b"))["subject_column"] == "patient"
    assert set(files.note_repetition(wildcards(corpus="a"))) == {"near_duplicate_threshold", "shingle_words"}
    assert files.note_repetition(wildcards(corpus="b")) == {}


def test_synthetic_notes_take_one_thread(tiny, hospital):
    assert tiny.threads_for_notes(4) == 1
    assert real_files(hospital).threads_for_notes(4) == 4
    assert tiny.token_memory(wildcards(), threads=4) == "6GB"


def test_a_pair_of_corpora_needs_the_one_it_is_taken_from(tiny):
    assert tiny.disjoint_source(wildcards()) == []
    disjoint = study_files("disjoint.yaml")
    assert disjoint.disjoint_source(wildcards()) == f"{disjoint.root}/notes/mimic-iii.parquet"
    assert disjoint.corpora_with_patients(wildcards()) == ["mimic-iii-disjoint", "mimic-iii-matched"]
    assert names(disjoint.corpus_logs()) == [
        "mimic-iii.jsonl",
        "mimic-iii-disjoint.jsonl",
        "mimic-iii-matched.jsonl",
    ]


# --- cohorts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "task", "tables"),
    [
        ("mimic-iii", "mortality", ["ADMISSIONS.csv"]),
        ("mimic-iii", "diagnoses", ["DIAGNOSES_ICD.csv"]),
        ("mimic-iv", "los@los_rounded", ["admissions.csv"]),
        ("mimic-iv", "procedures", ["procedures_icd.csv"]),
    ],
)
def test_a_cohort_reads_the_tables_of_its_labels(source, task, tables, hospital):
    assert names(real_files(hospital, source).cohort_tables(wildcards(task=task))) == tables


def test_admission_notes_come_from_the_source(hospital):
    iii, iv = real_files(hospital), real_files(hospital, "mimic-iv")
    assert names(iii.admission_tables(wildcards())) == ["NOTEEVENTS.csv", "ADMISSIONS.csv"]
    assert iii.admission_note_folder(wildcards()) is None
    assert set(names(iv.admission_tables(wildcards()))) == {"admissions.csv", "patients.csv", "discharge.csv"}
    assert iv.admission_note_folder(wildcards()) == str(hospital / "mimic-iv-note")


def test_optional_tables_are_read_where_they_are(hospital, tmp_path):
    iii = real_files(hospital)
    assert names(iii.subgroup_tables(wildcards())) == ["ADMISSIONS.csv", "ICUSTAYS.csv"]
    assert names(iii.ventilation_tables(wildcards())) == ["PROCEDUREEVENTS_MV.csv"]
    assert names(real_files(hospital, "mimic-iv").ventilation_tables(wildcards())) == ["procedureevents.csv"]
    (tmp_path / "CHARTEVENTS.csv.gz").touch()
    charted = real_files(hospital, data={"mimic_iii": str(tmp_path)})
    assert names(charted.ventilation_tables(wildcards())) == ["PROCEDUREEVENTS_MV.csv.gz", "CHARTEVENTS.csv.gz"]


def test_a_published_list_takes_the_place_of_ventilation(hospital, tiny):
    listed = real_files(hospital, data={"pmv_split": "beep", "pmv_labels": "/lists/beep.pkl"})
    pmv = wildcards(task="pmv")
    assert listed.cohort_list(pmv) == "/lists/beep.pkl"
    assert listed.cohort_ventilation(pmv) == []
    assert names(listed.cohort_tables(pmv)) == ["ADMISSIONS.csv"]
    assert listed.cohort_list(wildcards()) == []
    assert tiny.cohort_ventilation(pmv) == "results/tiny/cohorts/ventilation.parquet"
    assert tiny.cohort_ventilation(wildcards()) == []


def test_splits_come_from_a_hash_or_from_lists(tiny):
    lists = study_files(data={"splits": "/lists"})
    assert (tiny.cohort_splits(wildcards()), tiny.split_lists(wildcards())) == ("hash", [])
    assert lists.split_lists(wildcards())[0] == "/lists/mimic_train.csv"
    assert tiny.cohort_salt(wildcards()) == tiny.study.data.split_salt
    assert lists.cohort_salt(wildcards()) == ""
    assert lists.cohort_salt(wildcards(task="control")) == lists.study.data.split_salt


def test_only_tasks_with_codes_depend_on_their_map(hospital):
    files = real_files(hospital, "mimic-iv")
    mapped = StudyFiles(
        files.study.model_copy(
            update={"cohorts": files.study.cohorts.model_copy(update={"icd": "map-to-9", "icd_map": Path("/m.csv")})}
        )
    )
    assert mapped.cohort_icd(wildcards(task="diagnoses")) == "map-to-9"
    assert mapped.cohort_icd_map(wildcards(task="diagnoses")) == "/m.csv"
    assert (mapped.cohort_icd(wildcards()), mapped.cohort_icd_map(wildcards())) == ("separate", [])


def test_a_cohort_depends_on_the_switches_of_its_task(tiny):
    assert set(tiny.cohort_switches(wildcards())) == {"los_rounded", "negative_stays_kept"}
    assert tiny.cohort_switches(wildcards(task="los@los_rounded"))["los_rounded"]
    assert tiny.admission_switches(wildcards(admission="admission@marks_kept"))["marks_kept"]
    assert tiny.cohort_notes(wildcards(task="los@los_rounded")) == "results/tiny/notes/admission.parquet"


def test_a_split_by_admission_is_said_of_its_task_alone(tiny):
    random = study_files(data={"pmv_split": "derived-random"}, matrix={"tasks": ["pmv", "los"]})
    assert random.tasks_split_by_admission() == ["pmv"]
    assert not random.patients_apart(wildcards(task="pmv"))
    assert random.patients_apart(wildcards())
    assert random.cohort_pmv_split(wildcards()) == "core-patient"
    assert tiny.tasks_split_by_admission() == []


def test_patients_of_carevue_come_from_a_list_or_tables(hospital):
    files = real_files(hospital, contamination="carevue")
    assert names(files.carevue_tables(wildcards())) == ["ICUSTAYS.csv"]
    assert names(files.carevue()) == ["carevue.parquet", "carevue.json"]
    listed = real_files(hospital, contamination="carevue", data={"carevue_patients": "/lists/patients.csv"})
    assert listed.carevue_tables(wildcards()) == ["/lists/patients.csv"]
    assert real_files(hospital).carevue() == []


# --- networks ---------------------------------------------------------------------------------------------------------


def test_jobs_are_records_of_the_resolved_recipes(tiny):
    study = tiny.study
    record = tiny.finetune_job(wildcards(model=TWO))
    assert job_from_record(FinetuneJob, record).recipe == experiments.finetune_job(study, TWO, "los").recipe
    record = tiny.adapter_job(wildcards())
    assert job_from_record(PretrainJob, record).method == experiments.pretrain_job(study, LORA).method
    assert "checkpoint_seconds" not in json.dumps([record, tiny.base_source(wildcards())])


def test_a_model_reads_its_base_adapter_and_features(tiny):
    assert tiny.model_base(wildcards(model="tfidf")) == []
    assert tiny.model_base(wildcards(model=f"{TWO}@unclipped")) == "results/tiny/bases/tiny-llama"
    assert tiny.clinical_adapter(wildcards()) == []
    assert tiny.clinical_adapter(wildcards(model=f"{TWO}@unclipped")) == f"results/tiny/adapters/{LORA}@unclipped"
    assert tiny.clinical_adapter(wildcards(model=f"{TWO}@pool_last_position")) == f"results/tiny/adapters/{LORA}"
    (features,) = tiny.pooled_features()
    assert tiny.model_features(wildcards(task="mortality")) == features
    assert tiny.model_features(wildcards(model=TWO)) == []


def test_pooled_features_serve_all_tasks_of_a_head(tiny):
    asked = wildcards(features=Path(tiny.pooled_records()[0]).stem)
    assert tiny.feature_cohorts(asked) == tiny.cohorts()
    assert tiny.feature_base(asked) == "results/tiny/bases/tiny-llama"
    assert tiny.feature_adapter(asked) == []
    assert tiny.feature_threads(asked) == tiny.feature_job(asked)["threads"]


def test_an_adapter_reads_shards_and_general_text(tiny):
    assert tiny.adapter_tokens(wildcards()) == "results/tiny/tokens/tiny-llama/mimic-iv"
    switched = wildcards(adapter=f"{LORA}@truncate_and_pad")
    assert tiny.adapter_tokens(switched) == "results/tiny/tokens/tiny-llama/mimic-iv@truncate_and_pad"
    assert tiny.adapter_general_text(wildcards()) == "results/tiny/notes/general.parquet"


def test_processes_of_an_adapter_multiply_its_threads():
    two = {"devices": {"processes": 2}, "threads": 3, "batch_tokens": 4096}
    files = study_files(pretraining=two)
    assert files.adapter_threads(wildcards()) == 6
    assert files.adapter_trial_threads(wildcards()) == 3


def test_weights_are_kept_in_the_type_of_training():
    files = study_files(pretraining={"precision": "bf16"})
    assert files.base_precision(wildcards()) == "bf16"
    assert files.base_precision(wildcards(base="tiny-bert")) == "fp32"


def test_a_base_on_this_machine_is_watched(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    local = {"kind": "local", "path": str(tmp_path)}
    files = study_files(bases={"mine": {"family": "causal", "label": "M", "source": local}})
    assert f"{tmp_path}/config.json" in files.base_files(wildcards(base="mine"))
    assert files.base_files(wildcards()) == []


# --- searches ---------------------------------------------------------------------------------------------------------


def test_a_search_divides_its_trials_among_workers():
    files = study_files("search.yaml")
    path = next(path for path in files.searches if not path.startswith("adapters/"))
    model, _, task = path.rpartition("/")
    asked = wildcards(model=model, task=task)
    assert len(files.model_trials(asked)) == files.searches[path].planned_workers
    assert files.best_model_recipe(asked) == f"{files.root}/search/{path}.json"
    assert files.best_model_recipe(wildcards(model="tfidf")) == []
    assert files.model_search(asked)["trials"] == files.searches[path].trials


# --- names and jobs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wildcard", "name", "expected"),
    [
        ("corpus", "mimic-iv", True),
        ("corpus", "mimic-iv@truncate_and_pad", True),
        ("corpus", "mimic-iv@unclipped", False),
        ("hospital_corpus", "mimic-iv@truncate_and_pad", False),
        ("task", "los@los_rounded", True),
        ("task", "los@unclipped", False),
        ("adapter", f"{LORA}@unclipped", True),
        ("model", f"{TWO}@pool_last_position", True),
        ("model", f"{TWO}@los_rounded", False),
        ("admission", "admission@marks_kept", True),
        ("scratch_base", "tiny-llama", True),
        ("real_base", "tiny-llama", False),
        ("note_file", "placebo", True),
        ("note_file", "none", False),
        ("base", "tiny.llama", False),
    ],
)
def test_a_wildcard_stands_for_known_names_alone(tiny, wildcard, name, expected):
    assert bool(re.fullmatch(getattr(tiny.names, wildcard), name)) == expected


@pytest.mark.parametrize("study", ["tiny.yaml", "config.yaml", "gaps.yaml", "search.yaml", "disjoint.yaml"])
def test_each_planned_output_is_of_a_job_of_its_own(study):
    outputs = [path for paths in planned_outputs(study_files(study)).values() for path in paths]
    assert len(outputs) == len(set(outputs))
