"""What a study names is looked at before its first job, with one line for everything found wrong."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from models_fixtures import write_base, write_cohort
from safetensors.torch import load_file, save_file
from study_fixtures import study_with

from clinical_peft.config import experiments
from clinical_peft.config.study import Study
from clinical_peft.data import tables
from clinical_peft.data.labelling import label_table
from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.subgroups import build_subgroups
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.sources.mimic_iv import admission_notes as mimic_iv_notes
from clinical_peft.sources.mimic_iv.outcomes import MimicIV
from clinical_peft.synthetic.hospital import generate_hospital
from clinical_peft.workflow.needed_tables import needed_tables
from clinical_peft.workflow.study_inputs import check_inputs

TASKS = ["los", "mortality", "pmv", "diagnoses", "procedures", "control"]


def problems(study: Study, root: Path, **limits) -> list[str]:
    try:
        check_inputs(study, root, **limits)
    except DataError as error:
        return str(error).splitlines()
    return []


def test_no_heavy_library_is_imported():
    heavy = "('torch', 'transformers', 'pandas')"
    code = f"import sys, clinical_peft.workflow.study_inputs; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- notes ------------------------------------------------------------------------------------------------------------

NOTE = {"note_id": "a", "text": "Chief complaint: cough", "patient": 7}


def own_notes(path: Path, **entry) -> Study:
    return study_with(
        data={"note_files": {"own": {"path": str(path), **entry}}},
        adapters={"own-lora": {"base": "tiny-llama", "method": "lora", "corpus": "own"}},
        matrix={"adapters": ["own-lora"], "models": [], "tasks": []},
    )


def test_a_good_file_of_notes_passes(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps(NOTE | {"note_id": number}) + "\n" for number in range(300)))
    assert problems(own_notes(path, subject_column="patient"), tmp_path / "results") == []


@pytest.mark.parametrize(
    ("name", "content", "entry", "expected"),
    [
        ("n.jsonl", json.dumps(NOTE), {"text_column": "body"}, "line 1: expected key body"),
        ("n.jsonl", json.dumps(NOTE), {"id_column": "id"}, "line 1: expected key id"),
        ("n.jsonl", json.dumps(NOTE | {"patient": "x"}), {"subject_column": "patient"}, "whole number in patient"),
        ("n.jsonl", json.dumps(NOTE | {"text": ""}), {}, "expected notes with text in text, found none"),
        ("n.jsonl", "", {}, "expected notes with text in text, found none"),
        ("n.jsonl", "[1]", {}, "line 1: expected a JSON object"),
        ("n.csv", "note_id,body\n1,cough\n", {}, "expected column text"),
        ("n.csv", "note_id,text\n1,cough\n1,cold\n", {}, "row 3: expected a note id of its own"),
        ("n.csv.gz", "note_id,text\n1,cough\n", {}, "the header cannot be read"),
        ("n.txt", "cough", {}, "expected a file of notes ending in"),
    ],
)
def test_a_wrong_file_of_notes_is_one_line(name, content, entry, expected, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    (line,) = problems(own_notes(path, **entry), tmp_path / "results")
    assert line.startswith(f"data.note_files.own: {path}: ")
    assert expected in line
    assert "cough" not in line


def test_a_file_that_no_job_reads_is_left_alone(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("{}")
    assert problems(own_notes(path), tmp_path / "results", reads=[], bases=[]) == []
    assert len(problems(own_notes(path), tmp_path / "results", reads=[str(path)], bases=[])) == 1


# --- bases ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "mine", "causal")


def local_base(path: Path, kind: str = "local", **source) -> Study:
    return study_with(
        data={"synthetic_for_real_bases": True},
        bases={"mine": {"family": "causal", "label": "Mine", "source": {"kind": kind, "path": str(path), **source}}},
        adapters={"mine-lora": {"base": "mine", "method": "lora"}},
        matrix={"adapters": ["mine-lora"], "models": [], "tasks": []},
    )


def test_a_whole_base_passes(whole_base, tmp_path):
    assert problems(local_base(whole_base), tmp_path / "results") == []


def without(name):
    return lambda folder: (folder / name).unlink()


def cut_off(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def pointer(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def in_parts(folder):
    """Divide the weights among two files and an index of them."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    for part, held in parts.items():
        save_file({name: tensors[name] for name in held}, folder / part)
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    return [folder / part for part in parts]


def lacks_a_part(folder):
    in_parts(folder)[1].unlink()


def parts_swapped(folder):
    first, second = in_parts(folder)
    first.rename(folder / "kept")
    second.rename(first)
    (folder / "kept").rename(second)


def quantised(folder):
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(record | {"quantization_config": {"quant_method": "gptq"}}))


def packed(folder):
    save_file({"model.layers.0.mlp.up_proj.weight": torch.zeros(4, 4, dtype=torch.int8)}, folder / "model.safetensors")


def no_json(folder):
    (folder / "config.json").write_text("{")


def no_architecture(folder):
    (folder / "config.json").write_text("{}")


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def damaged_header(folder):
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0" + b"x" * 64)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (shutil.rmtree, "expected the folder of a base, found none"),
        (without("config.json"), "config.json: expected the configuration of a network, found none"),
        (no_json, "config.json: expected JSON"),
        (no_architecture, "with the key model_type"),
        (without("model.safetensors"), "expected weights as *.safetensors, found no weights"),
        (pickled, "found pickled weights only (pytorch_model.bin)"),
        (cut_off, "model.safetensors: expected 1"),
        (pointer, "model.safetensors: expected the file itself, found a Git LFS pointer to it"),
        (damaged_header, "expected a safetensors file, found a damaged file"),
        (lacks_a_part, "model-00002-of-00002.safetensors: expected a shard that model.safetensors.index.json names"),
        (parts_swapped, "model-00001-of-00002.safetensors: expected tensor "),
        (quantised, "config.json: expected plain weights, found quantization_config (gptq)"),
        (packed, "model.safetensors: expected plain weights, found packed tensor"),
        (no_tokenizer, "expected a tokenizer, such as tokenizer.json, found none"),
    ],
)
def test_a_base_that_lacks_something_is_one_line(spoil, expected, whole_base, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(whole_base, folder)
    spoil(folder)
    (line,) = problems(local_base(folder), tmp_path / "results")
    assert line.startswith(f"bases.mine: {folder}")
    assert expected in line


def test_a_gguf_file_is_looked_at(tmp_path):
    file = tmp_path / "mine.gguf"
    assert "expected a GGUF file, found none" in problems(local_base(file, "gguf"), tmp_path / "results")[0]
    file.write_bytes(b"PK\3\4")
    assert "found something else" in problems(local_base(file, "gguf"), tmp_path / "results")[0]
    file.write_bytes(b"GGUF\3")
    assert problems(local_base(file, "gguf"), tmp_path / "results") == []


def test_a_package_that_is_not_installed_is_named(tmp_path):
    (line,) = problems(local_base(Path("model"), package="no_such_package"), tmp_path / "results")
    assert "package no_such_package: expected it installed" in line


# --- lists and cohorts ------------------------------------------------------------------------------------------------


def test_split_lists_and_a_label_file_are_read(tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / f"mimic_{name}.csv").write_text("SUBJECT_ID\n1\n")
    (tmp_path / "labels.pkl").write_bytes(b"no pickle")
    study = study_with(
        data={"splits": str(tmp_path), "pmv_split": "beep", "pmv_labels": str(tmp_path / "labels.pkl")},
        matrix={"tasks": ["pmv"], "models": ["tfidf"], "adapters": []},
    )
    lists, labels = problems(study, tmp_path / "results")
    assert "mimic_val.csv: expected disjoint lists" in lists
    assert "labels.pkl: not a pickle" in labels


def test_a_map_of_codes_is_read(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("icd10_code,icd9_code\nI10,hypertension\n")
    cohorts = {"source": "mimic-iv", "icd": "map-to-9", "icd_map": str(path)}
    study = study_with(cohorts=cohorts, matrix={"tasks": ["diagnoses"], "models": ["tfidf"], "adapters": []})
    (line,) = problems(study, tmp_path / "results", reads={str(path)})
    assert "map.csv: column icd9_code: expected ICD-9 codes, found another value in 1 rows" in line


def test_a_list_of_patients_is_read(tmp_path):
    path = tmp_path / "listed.csv"  # no table of the release, which is looked at by its name
    path.write_text("ROW_ID\n1\n")
    study = study_with(data={"mimic_iii": str(tmp_path), "carevue_patients": str(path)})
    (line,) = problems(study, tmp_path / "results", reads={str(path)})
    assert "listed.csv: expected column SUBJECT_ID; found ROW_ID" in line


def test_a_cohort_with_text_ids_is_refused_by_name(tmp_path):
    cohorts = tmp_path / "results" / "cohorts"
    cohort, _ = write_cohort(cohorts, "mortality")
    study = study_with(matrix={"tasks": ["mortality"], "models": ["tfidf"], "adapters": []})
    assert problems(study, tmp_path / "results") == []
    rows = pq.read_table(cohort).to_pydict()
    pq.write_table(pa.table(rows | {"hadm_id": [f"A{number}" for number in rows["hadm_id"]]}), cohort)
    (line,) = problems(study, tmp_path / "results")
    assert f"{cohort}: column hadm_id: expected whole numbers, found string" in line
    cohort.write_bytes(b"no cohort")
    assert "expected a cohort as Parquet" in problems(study, tmp_path / "results")[0]


# --- hospital tables --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "hospital"
    generate_hospital(folder, size="tiny", seed=4)
    return folder


def hospital_study(hospital: Path, source: str, **data) -> Study:
    folders = {name: str(hospital / name.replace("_", "-")) for name in ("mimic_iii", "mimic_iv_note", "mimic_iv")}
    return study_with(
        cohorts={"source": source},
        data=folders | data,
        adapters={"third": {"base": "tiny-llama", "method": "lora", "corpus": "mimic-iii"}},
        matrix={"tasks": TASKS, "models": ["tfidf"], "adapters": ["tiny-llama-lora", "third"]},
        contamination="carevue" if data.get("carevue_patients") else "paper",
    )


@pytest.mark.parametrize("source", ["mimic-iii", "mimic-iv"])
def test_whole_tables_pass(source, hospital, tmp_path):
    assert problems(hospital_study(hospital, source), tmp_path / "results") == []


def every_reader(hospital: Path, source: str, folder: Path) -> None:
    """Run what reads the tables of a study that asks for every task and both corpora."""
    switches = experiments.switches_under(study_with(), "los")
    iii, iv, iv_note = (hospital / name for name in ("mimic-iii", "mimic-iv", "mimic-iv-note"))
    for corpus in ("mimic-iv", "mimic-iii"):
        extract_notes(corpus, folder / "notes.parquet", mimic_iv_note=iv_note, mimic_iii=iii, flattened=False)
    admission = ("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept")
    if source == "mimic-iv":
        mimic_iv_notes.build_admission_notes(iv, iv_note, folder / "admission.parquet", addenda_searched=False)
        outcomes = MimicIV(iv)
    else:
        build_admission_notes(iii, folder / "admission.parquet", **dict.fromkeys(admission, False))
        outcomes = MimicIII(iii)
    for task in TASKS:
        label_table(task, outcomes, switches, salt="salt")
    build_subgroups(source, outcomes.folder, folder / "subgroups.parquet")


@pytest.mark.parametrize("source", ["mimic-iii", "mimic-iv"])
def test_needed_columns_are_those_that_readers_ask_for(source, hospital, tmp_path, monkeypatch):
    asked: dict[str, set[str]] = {}
    match = tables._match_columns

    def observed(path, names):
        asked.setdefault(path.name.split(".")[0].lower(), set()).update(name.lower() for name in names)
        return match(path, names)

    with monkeypatch.context() as patch:
        patch.setattr(tables, "_match_columns", observed)
        every_reader(hospital, source, tmp_path)
    needed: dict[str, set[str]] = {}
    for need in needed_tables(hospital_study(hospital, source)):
        needed.setdefault(need.table.name.lower(), set()).update(name.lower() for name in need.table.columns)
    assert needed == asked


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda header: re.sub("text", "body", header, flags=re.IGNORECASE), "expected column"),
        (lambda header: header, "expected notes, found only a header"),
        (lambda header: "", "expected a header line, found an empty file"),
    ],
)
@pytest.mark.parametrize(("source", "table"), [("mimic-iii", "NOTEEVENTS"), ("mimic-iv", "discharge")])
def test_a_wrong_table_is_named(source, table, spoil, expected, hospital, tmp_path):
    copied = tmp_path / "hospital"
    shutil.copytree(hospital, copied)
    (path,) = (path for path in copied.rglob("*.csv*") if path.name.split(".")[0].lower() == table.lower())
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        header = next(file)
    with opener(path, "wt", newline="") as file:
        file.write(spoil(header))
    found = problems(hospital_study(copied, source), tmp_path / "results")
    assert all(line.startswith(str(path)) for line in found)
    assert expected in found[0]


def test_tables_that_a_target_does_not_read_may_be_missing(hospital, tmp_path):
    copied = tmp_path / "hospital"
    shutil.copytree(hospital, copied)
    for path in copied.rglob("ICUSTAYS*"):
        path.unlink()
    study = hospital_study(copied, "mimic-iii")
    assert "ICUSTAYS" in problems(study, tmp_path / "results")[0]
    admissions = [str(path) for path in (copied / "mimic-iii").glob("ADMISSIONS*")]
    assert problems(study, tmp_path / "results", reads=admissions, bases=[]) == []
