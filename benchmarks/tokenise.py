"""Measure tokenising against the original's way and against Hugging Face's encoder alone, and how full packed rows are.

python benchmarks/tokenise.py [--work FOLDER] [--repeats 5]

CLINICAL_PEFT_REAL_DATA names a folder with mtsamples/. Notes of shuffled fragments of its real transcriptions are
encoded with two tokenizers of at most 32,000 tokens, which are trained on them: a byte-level one (as GPT-2's, and those
of this project's small bases) and one like LLaMA's. The ways take turns, each in a process of its own; ratios are taken
within a turn, and the script ends where two ways give different ids. How full packed rows are is measured on the
transcriptions as they are and on discharge summaries of the synthetic hospital.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from extract import fragment_texts, make_generated
from tokenise_ways import CONTEXT, WAYS, WHOLE
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from turns import CLOCKS, medians, spread

from clinical_peft.data.note_table import write_notes
from clinical_peft.data.tables import stream_table
from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.tokens.encoding import reference_encoder
from clinical_peft.tokens.packing import cut_notes, pack
from clinical_peft.tokens.tokenizer import load_tokenizer, train_tokenizer

HERE = Path(__file__).resolve().parent
NOTES = 16_384
VOCABULARY = 32_000
TRAINING_TEXTS = 3_000
THREADS = (1, 2)
TIMED = "fragments of transcriptions"
KINDS = ("byte-level", "llama")
CONTEXTS = (128, 512, 2048)
ROWS_IN_CONTEXTS = (1, 2, 4, 8)


def corpora(work: Path, real: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the texts of each corpus."""
    yield TIMED, list(fragment_texts(NOTES, real))
    yield "transcriptions", [json.loads(line)["text"] for line in real.read_text(encoding="utf-8").splitlines()]
    make_generated(work / "hospital", NOTES)
    batches = stream_table(work / "hospital" / "discharge.csv.gz", ["text"])
    yield "synthetic hospital", [text or "" for batch in batches for text in batch["text"].to_pylist()]


def like_llama(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a tokenizer of LLaMA's kind: words begin with a mark for the space, bytes stand in for unknown letters."""
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special + spelled, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][: len(special)]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = None
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def prepare(folder: Path, texts: list[str], kind: str) -> None:
    """Write a corpus and a tokenizer trained on some of it."""
    folder.mkdir()
    rows = ({"note_id": f"{n:07d}", "subject_id": n, "text": text} for n, text in enumerate(texts))
    write_notes(folder / "notes.parquet", rows)
    some = texts[:: max(1, len(texts) // TRAINING_TEXTS)]
    trained = like_llama(some) if kind == "llama" else train_tokenizer(some, vocabulary=VOCABULARY, family="causal")
    trained.save_pretrained(folder / "base")


def measure(way: str, threads: int, folder: Path) -> dict[str, Any]:
    """Run one way in a fresh process."""
    output = folder / "output"
    command = [sys.executable, str(HERE / "tokenise_ways.py"), way, str(threads), str(folder), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way}: {done.stderr}")
    shutil.rmtree(output, ignore_errors=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compare(folder: Path, repeats: int) -> dict[str, Any]:
    """Let all ways take turns on one corpus and tokenizer."""
    size = sum(len(text.encode()) for text in pq.read_table(folder / "notes.parquet")["text"].to_pylist())
    runs: dict[str, list[dict[str, Any]]] = {}
    digests: dict[str, set[str]] = {"kept": set(), "whole": set()}
    for turn in range(repeats):
        for threads in THREADS:
            for way in WAYS:
                result = measure(way, threads, folder)
                digests["kept"].add(result.pop("kept_sha256"))
                whole = result.pop("whole_sha256")
                digests["whole"] |= {whole} if way in WHOLE else set()
                if max(map(len, digests.values())) > 1:
                    sys.exit(f"{way}, {threads} threads: its ids differ from those of the ways before")
                runs.setdefault(f"{way}, {threads}", []).append(result)
                print(
                    f"{turn} {way:28s} {threads} {result['seconds']:7.2f} s {result['cpu_seconds']:7.2f} s processor",
                    flush=True,
                )
    return {
        "text_bytes": size,
        "ids_sha256": {key: value.pop() for key, value in digests.items()},
        "ways": {way: medians(results, size) for way, results in runs.items()},
        "ratios": {
            f"{other} / {own}, {threads}": {
                clock: spread(runs[f"{other}, {threads}"], runs[f"{own}, {threads}"], clock) for clock in CLOCKS
            }
            for threads in THREADS
            for own in ("ours, padded", "ours, packed", "ours, packed, by tokenizers")
            for other in ("datasets.map, padded", "tokenizers, encoding alone")
        },
    }


def fill(folder: Path) -> dict[str, Any]:
    """How much of packed rows is empty, and how many documents more than the context asks for, by length of a row."""
    texts = pq.read_table(folder / "notes.parquet")["text"].to_pylist()
    _, offsets = reference_encoder(load_tokenizer(folder / "base"))(texts)
    lengths = np.diff(offsets) + 2
    found: dict[str, Any] = {"notes": len(lengths), "tokens": int(lengths.sum()), "median": float(np.median(lengths))}
    for context in CONTEXTS:
        documents = cut_notes(lengths, context)
        for times in ROWS_IN_CONTEXTS:
            packed, row = pack(documents, times * context, context)
            room = (int(row[-1]) + 1) * times * context
            found[f"context {context}, row {times * context}"] = {
                "padding_share": 1 - int(lengths.sum()) / room,
                "more_documents_share": len(packed.note) / len(documents.note) - 1,
                "rows_of_one_document_share": float((np.bincount(row) == 1).mean()),
            }
    return found


def run(work: Path, repeats: int, kinds: list[str]) -> dict[str, Any]:
    """Make the corpora, measure, and return everything with machine, versions and revision."""
    load_before = os.getloadavg()[0]
    real = Path(os.environ.get("CLINICAL_PEFT_REAL_DATA", "")) / "mtsamples" / "notes.jsonl"
    if not real.is_file():
        sys.exit("CLINICAL_PEFT_REAL_DATA: expected a folder with mtsamples/notes.jsonl (docs/data.md)")
    speed, filling = {}, {}
    for corpus, texts in corpora(work, real):
        for kind in kinds:
            folder = work / f"{corpus}, {kind}".replace(" ", "-")
            prepare(folder, texts, kind)
            filling[f"{corpus}, {kind}"] = fill(folder)
            if corpus == TIMED:
                speed[f"{corpus}, {kind}"] = compare(folder, repeats)
    return {
        "speed": speed,
        "filling": filling,
        "context": CONTEXT,
        "repeats": repeats,
        "load_before": load_before,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions() | {"fastokens": version("fastokens")},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, help="folder for the files, about 1 GB; default: a temporary one")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="tokenizers to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        write_json(HERE / "results" / "tokenise.json", run(Path(folder), arguments.repeats, arguments.kinds))
