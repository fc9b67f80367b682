"""Measure how the memory of the jobs that hold all admission notes grows with their number.

python benchmarks/memory_growth.py

Kept in benchmarks/results/memory_growth.json, in MiB per million admission notes between the two sizes. Notes have 600
words, drawn from 20,000. Each measurement is a process of its own. Pooled notes are cut to 32 tokens and pass through
a network of hidden size 16, so that what grows is the notes and their tokens; features of hidden size h take 4 h bytes
a note in float32 beside that.
"""

import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from turns import peak_memory, run_watched

from clinical_peft.data.note_table import parquet_writer
from clinical_peft.files import sha256_file, write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.tasks import find_task

HERE = Path(__file__).resolve().parent
SIZES = (5_000, 20_000)
WORDS, BATCH = 600, 500
JOBS = ("build_cohort", "describe_cohorts", "pool_notes")
SWITCHES = ("los_rounded", "negative_stays_kept", "label_space_whole_table", "death_phrases_original")


def write_inputs(folder: Path, notes: int) -> None:
    """Write admission notes, a table of admissions, a cohort and a base."""
    rng = np.random.default_rng(0)
    letters = list("etaoinshrdlu")
    vocabulary = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(20_000)])
    schema = pa.schema([("hadm_id", pa.int64()), ("subject_id", pa.int64()), ("text", pa.string())])
    labelled = pa.schema([*schema, ("split", pa.string()), ("label", pa.int64())])

    def batches() -> Iterator[pa.Table]:
        for start in range(0, notes, BATCH):
            numbers = np.arange(start, start + BATCH)
            texts = [" ".join(vocabulary[rng.integers(len(vocabulary), size=WORDS)]) for _ in numbers]
            yield pa.table([numbers, numbers, texts], schema=schema)

    with (
        parquet_writer(folder / "notes.parquet", schema) as writer,
        parquet_writer(folder / "mortality.parquet", labelled) as cohort,
    ):
        for table in batches():
            writer.write_table(table)
            split = pa.array(np.array(["train", "validation", "test"])[np.arange(BATCH) % 3])
            label = pa.array(np.arange(BATCH) % 2)
            cohort.write_table(table.append_column("split", split).append_column("label", label))
    write_json(folder / "mortality.classes.json", ["survived", "died"])
    with (folder / "ADMISSIONS.csv").open("w", newline="") as handle:
        header = ["HADM_ID", "SUBJECT_ID", "HOSPITAL_EXPIRE_FLAG"]
        csv.writer(handle).writerows([header, *([number, number, number % 2] for number in range(notes))])
    write_base(folder / "base", vocabulary.tolist())


def write_base(folder: Path, words: list[str]) -> None:
    """Write a LLaMA of one layer with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: place for place, word in enumerate(["<pad>", "<unk>", "</s>", *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens).save_pretrained(folder)
    size = {"vocab_size": len(vocabulary), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    LlamaForCausalLM(LlamaConfig(**size, num_attention_heads=2, pad_token_id=0)).save_pretrained(folder)
    digest = sha256_file(folder / "model.safetensors")
    write_json(folder / "base.json", {"name": "base", "family": "causal", "revision": "0", "sha256": digest})


def build(folder: Path) -> None:
    """Build a cohort."""
    from clinical_peft.data.cohorts import build_cohort
    from clinical_peft.sources import OutcomeFiles, find_source

    build_cohort(
        find_task("mortality"),
        admission_notes=folder / "notes.parquet",
        outcomes=find_source("mimic-iii").outcomes(OutcomeFiles(folder=folder)),
        splits="hash",
        salt="benchmark",
        pmv_split="core-patient",
        switches=dict.fromkeys(SWITCHES, False),
        output=folder / "built.parquet",
        classes_output=folder / "built.classes.json",
        attrition_output=folder / "built.json",
    )


def describe(folder: Path) -> None:
    """Describe a cohort, in words and in tokens."""
    from clinical_peft.data.statistics import dataset_statistics

    dataset_statistics([folder / "mortality.parquet"], {"base": folder / "base"})


def pool(folder: Path) -> None:
    """Pool the notes of a cohort."""
    from clinical_peft.recipes import PoolJob
    from clinical_peft.runtime.events import NullLog
    from clinical_peft.training.pooling import pool_notes

    outputs = {"output": folder / "features.safetensors", "record": folder / "features.json"}
    pool_notes(
        PoolJob(
            family="causal",
            clinical=None,
            clinical_mode=None,
            context=32,
            micro_batch_size=32,
            precision="fp32",
            threads=1,
            switches={"pool_last_position": False},
        ),
        cohorts=[folder / "mortality.parquet"],
        base=folder / "base",
        adapter=None,
        log=NullLog(),
        **outputs,
    )


def run() -> dict[str, Any]:
    """Measure every job at both sizes."""
    peaks: dict[str, list[int]] = {name: [] for name in JOBS}
    for notes in SIZES:
        with tempfile.TemporaryDirectory() as name:
            write_inputs(Path(name), notes)
            for one in JOBS:
                found = run_watched([sys.executable, __file__, one, name])
                peaks[one].append(max(found["peak_bytes"], found["tree_bytes"]))
                print(f"{notes:6d} {one:16s} {peaks[one][-1] / 2**20:6.0f} MiB", flush=True)
    growth = {name: (last - first) / 2**20 / (SIZES[1] - SIZES[0]) * 1e6 for name, (first, last) in peaks.items()}
    return {
        "notes": list(SIZES),
        "words": WORDS,
        "peak_bytes": peaks,
        "mib_per_million_notes": {name: round(value) for name, value in growth.items()},
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        dict(zip(JOBS, (build, describe, pool), strict=True))[sys.argv[1]](Path(sys.argv[2]))
        print(json.dumps({"peak_bytes": peak_memory()}))
    else:
        write_json(HERE / "results" / "memory_growth.json", run())
