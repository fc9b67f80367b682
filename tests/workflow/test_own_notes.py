"""A study of a user's own notes: a base from a folder adapted to a file of notes, no hospital and no tasks."""

import csv
import json

import pyarrow.parquet as pq
import pytest
import yaml
from workflow_run import REPOSITORY, snakemake

pytestmark = pytest.mark.workflow


def test_notes_from_a_file_lead_to_perplexities_and_a_report(tiny_run, tmp_path):
    tiny = tiny_run.results / "tiny"
    notes = pq.read_table(tiny / "notes" / "mimic-iv.parquet").to_pylist()[:200]
    rows = [{"note_id": note["note_id"], "patient": note["subject_id"], "text": note["text"]} for note in notes]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    source = {"kind": "local", "path": str(tiny / "bases" / "tiny-llama")}
    study |= {
        "study": "own",
        "data": {"note_files": {"own": {"path": str(tmp_path / "notes.jsonl"), "subject_column": "patient"}}},
        "bases": {"mine": {"family": "causal", "label": "Mine", "source": source}},
        "adapters": {"mine-lora": {"base": "mine", "method": "lora", "corpus": "own"}},
        "matrix": {"adapters": ["mine-lora"], "models": [], "tasks": [], "seeds": [0]},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(study))

    run = snakemake(tmp_path, config=tmp_path / "own.yaml")

    assert run.returncode == 0, run.output[-3000:]
    results = run.results / "own"
    (row,) = csv.DictReader((results / "tables" / "domain_adaptation.csv").open())
    assert float(row["test_perplexity_after"]) < float(row["test_perplexity_before"])
    assert "Mine: LoRA" in (results / "report.html").read_text()
    assert not (results / "hospital").exists()
