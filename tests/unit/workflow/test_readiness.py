"""What is found out about a study before its first job."""

import json
from pathlib import Path

import pytest
import yaml
from own_studies import OWN
from own_tables import write_rows

from clinical_peft.config.layers import deep_merge
from clinical_peft.runtime.devices import Gpu, TorchBuild
from clinical_peft.workflow import readiness
from clinical_peft.workflow.opened_study import open_study
from clinical_peft.workflow.readiness import Finding, check_study, report_findings


def rows(number: int = 60) -> list[dict]:
    return [
        {
            "encounter": place,
            "note": f"Secretword{place} was seen",
            "mrn": f"P{place // 2}",
            "readmitted": place % 2,
            "service": ("ICU", "Ward", "Home")[place % 3],
            "codes": "A;B" if place % 2 else "C",
        }
        for place in range(number)
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to run in, on a machine without GPUs or SLURM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(readiness, "gpus", list)
    return tmp_path


def write_study(folder: Path, data: Path, *changes: dict) -> Path:
    study = deep_merge(OWN, {"data": {"tables": {"ours": {"path": str(data)}}}}, *changes)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


def findings(study: Path, **options) -> list[Finding]:
    return list(check_study(open_study(study), **options))


def texts(found: list[Finding], place: str) -> list[str]:
    return [each.text for each in found if each.place == place]


def errors(found: list[Finding]) -> list[str]:
    return report_findings(iter(found), lambda line: None)


def test_a_whole_study_is_ready(folder):
    found = findings(write_study(folder, write_rows(folder / "notes.csv", rows())))
    assert errors(found) == []
    assert texts(found, "data.tables.ours") == ["60 rows with ids of their own, 30 patients"]
    assert texts(found, "tasks.readmission") == ["2 classes: 30 0, 30 1"]
    assert texts(found, "tasks.service") == ["3 classes: 20, 20, 20"]
    assert texts(found, "tasks.problems") == ["3 classes: 30, 30, 30"]
    assert texts(found, "bases.tiny")[0].startswith("is trained here: about ")
    assert texts(found, "SLURM") == ["no sbatch, squeue, sacct, scancel here; profiles/slurm needs them"]
    assert len(texts(found, "disk")) == len(texts(found, "torch")) == len(texts(found, "GPU")) == 1


def test_nothing_is_written_and_no_field_is_shown(folder, capsys):
    study = write_study(folder, write_rows(folder / "notes.csv", rows()))
    lines: list[str] = []
    report_findings(iter(findings(study)), lines.append)
    assert {path.name for path in folder.iterdir()} == {"notes.csv", "mine.yaml"}
    shown = "\n".join(lines) + capsys.readouterr().out
    assert not any(word in shown for word in ("Secretword", "ICU", "Ward", "P1"))


def test_a_mistake_beyond_the_first_rows_is_found(folder):
    table = rows(400)
    table[300]["encounter"] = 7
    study = write_study(folder, write_rows(folder / "notes.csv", table))
    (error,) = errors(findings(study))
    assert "data.tables.ours: " in error
    assert "row 302, column encounter: expected each id once" in error
    assert errors(findings(study, whole=False)) == []


def test_a_disk_that_is_not_mounted_is_one_line(folder):
    (folder / "disk").mkdir()
    for place, remedy in (("gone/a/notes.csv", "gone is not there either: mount its disk"), ("disk/n.csv", "is empty")):
        (error,) = errors(findings(write_study(folder, folder / place)))
        assert f"data.tables.ours: {folder / place}: expected a file or folder, found none; " in error
        assert remedy in error


def test_folders_of_mimic_are_looked_at(folder):
    path = folder / "mimic.yaml"
    path.write_text(
        "study: mimic\ndata: {mimic_iii: /gone/iii}\nmatrix: {adapters: [], models: [tfidf], tasks: [los]}\n"
    )
    (error,) = errors(findings(path))
    assert error.startswith("data.mimic_iii: /gone/iii: expected a file or folder, found none; /gone is not there")


def test_a_file_of_notes_is_read_to_its_end(folder):
    notes = [{"note_id": number, "text": f"note {number % 50}"} for number in range(60)]
    data = {"tables": None, "note_files": {"own": {"path": str(write_rows(folder / "n.jsonl", notes))}}}
    changes = {
        "data": data,
        "adapters": {"ours-lora": {"corpus": "own"}},
        "matrix": {"models": [], "tasks": []},
        "tasks": None,
    }
    study = deep_merge(OWN, changes)
    study = {key: value for key, value in study.items() if value is not None}
    study["data"].pop("tables")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(study))
    found = findings(path)
    assert errors(found) == []
    assert texts(found, "data.note_files.own") == ["60 notes with ids of their own, 10 of them empty or a repetition"]
    (folder / "n.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [*notes, notes[0]]))
    assert "line 61: expected a note id of its own" in errors(findings(path))[0]


def test_one_class_makes_no_task(folder):
    table = [row | {"readmitted": 1} for row in rows()]
    found = findings(write_study(folder, write_rows(folder / "notes.csv", table)))
    assert errors(found) == [
        "tasks.readmission: column readmitted: expected two classes of a binary task, found 1; "
        "correct the labels, or set type: multiclass"
    ]


def test_what_the_matrix_leaves_out_is_a_note(folder):
    data = write_rows(folder / "notes.csv", rows())
    found = findings(write_study(folder, data, {"matrix": {"tasks": ["service"]}}))
    assert "mine.yaml: defined, but not in the matrix, so not run: tasks problems, readmission" in texts(found, "study")


def base_of(folder: Path, source: dict) -> list[Finding]:
    data = write_rows(folder / "notes.csv", rows())
    study = write_study(folder, data)
    written = yaml.safe_load(study.read_text())
    written["bases"]["tiny"]["source"] = source
    study.write_text(yaml.safe_dump(written))
    return findings(study, whole=False)


def test_a_base_of_the_hub_is_fetched_or_missing(folder, monkeypatch):
    source = {"kind": "hub", "id": "owner/no-such-base", "revision": "main"}
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "is fetched by the first job" in texts(base_of(folder, source), "bases.tiny")[0]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert any("is not in the local cache" in error for error in errors(base_of(folder, source)))


def test_a_base_in_a_folder_needs_its_files(folder):
    (folder / "base").mkdir()
    found = base_of(folder, {"kind": "local", "path": str(folder / "base")})
    (error,) = errors(found)
    assert error.startswith(f"bases.tiny: {folder / 'base'}")
    assert texts(found, "bases.tiny") == []


def test_a_build_for_cpus_beside_a_gpu_is_a_note(folder, monkeypatch):
    study = write_study(folder, write_rows(folder / "notes.csv", rows()))
    monkeypatch.setattr(readiness, "gpus", lambda: [Gpu("H200", 140_000_000_000, 139_000_000_000)])
    monkeypatch.setattr(readiness, "torch_build", lambda: TorchBuild("2.13.0+cpu", "CPU"))
    found = findings(study, whole=False)
    assert texts(found, "GPU") == ["H200, 140 GB, of which 139 GB are free"]
    assert "is a build for CPUs" in texts(found, "torch")[0]
    monkeypatch.setattr(readiness, "torch_build", lambda: TorchBuild("2.13.0", "CUDA 12.8"))
    assert texts(findings(study, whole=False), "torch") == ["2.13.0, built for CUDA 12.8"]


def test_weights_larger_than_the_memory_are_a_note(folder, monkeypatch):
    monkeypatch.setattr(readiness, "gpus", lambda: [Gpu("small", 1_000_000, 1_000_000)])
    source = {"kind": "hub", "id": "owner/name", "revision": "main"}
    assert any(
        "of weights in fp32, and 1 MB of memory" in text for text in texts(base_of(folder, source), "bases.tiny")
    )


def test_a_full_disk_is_an_error(folder, monkeypatch):
    study = write_study(folder, write_rows(folder / "notes.csv", rows()))
    monkeypatch.setattr(readiness.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    assert errors(findings(study, whole=False))[0].startswith("disk: 10 B free, about ")
