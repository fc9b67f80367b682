"""Small corpora, bases and token shards for the tests of language models."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from clinical_peft.data.hash_split import hash_split
from clinical_peft.methods import Method
from clinical_peft.methods.adalora import AdaLora
from clinical_peft.methods.lora import Lora
from clinical_peft.models.folders import ADAPTER_WEIGHTS
from clinical_peft.recipes import LanguageRecipe, PretrainJob, Shape
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.runtime.events import NullLog, RunLog
from clinical_peft.tokens.shards import tokenise
from clinical_peft.training.language import pretrain
from clinical_peft.training.scratch import prepare_scratch_base

SALT = "salt"
LORA = Lora(r=4, alpha=8, dropout=0.1)
ADALORA = AdaLora(init_r=4, target_r=2)
SHAPE = Shape(hidden_size=32, intermediate_size=64, layers=2, heads=2, vocabulary=320, context=64)
RECIPE = LanguageRecipe(
    learning_rate=1e-2,
    context=32,
    epochs=2,
    batch_tokens=512,
    micro_batch_tokens=256,
    evaluations=2,
    checkpoint_seconds=1e9,
)
CLINICAL = ("patient admitted with chest pain", "given aspirin and heparin", "discharged home on warfarin")
GENERAL = ("the river runs to the sea", "a function returns its value", "trees grow in the north")


def write_corpus(path: Path, sentences: tuple[str, ...], *, notes: int, patients: bool = True, seed: int = 0) -> Path:
    """Write notes of random sentences; two notes per patient, or none at all."""
    draw = random.Random(seed)
    table = pa.table(
        {
            "note_id": [f"note-{number}" for number in range(notes)],
            "subject_id": pa.array([900 + number // 2 if patients else None for number in range(notes)], pa.int64()),
            "text": [". ".join(draw.choices(sentences, k=draw.randint(1, 9))) for _ in range(notes)],
        }
    )
    pq.write_table(table, path)
    return path


BASE_RECIPE = replace(RECIPE, epochs=6)


def scratch_base(
    folder: Path, *, family: str = "causal", recipe: LanguageRecipe = BASE_RECIPE, shape: Shape = SHAPE
) -> Path:
    """Train a tiny base on general sentences."""
    notes = general_corpus(folder)
    prepare_scratch_base(
        notes,
        folder / family,
        name="tiny",
        family=family,
        shape=shape,
        recipe=recipe,
        seed=0,
        split_salt=SALT,
        work=folder / f"work-{family}",
        log=NullLog(),
    )
    return folder / family


def clinical_tokens(folder: Path, base: Path, **settings) -> Path:
    """Tokenise a tiny clinical corpus for a base."""
    notes = write_corpus(folder / "clinical.parquet", CLINICAL, notes=50)
    tokenise(notes, base, folder / "clinical", context=RECIPE.context, split_salt=SALT, **settings)
    return folder / "clinical"


def general_corpus(folder: Path) -> Path:
    """Write notes of general sentences that no patient has."""
    return write_corpus(folder / "general.parquet", GENERAL, notes=60, patients=False)


def unlearning_tokens(folder: Path, base: Path) -> Path:
    """Tokens of which validation gets worse from one evaluation to the next: what the base has learned is unlearned."""
    sentences = {"train": CLINICAL, "validation": GENERAL, "test": CLINICAL}
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": ". ".join(sentences[hash_split(n, SALT)])} for n in range(60)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "notes.parquet")
    tokenise(folder / "notes.parquet", base, folder / "tokens", context=RECIPE.context, split_salt=SALT)
    return folder / "tokens"


def job(method: Method = LORA, *, switches: dict[str, bool] | None = None, **recipe: object) -> PretrainJob:
    """Make the job of an adapter; `recipe` changes fields of `RECIPE`."""
    return PretrainJob(
        adapter="clinical",
        method=method,
        recipe=replace(RECIPE, **recipe),
        seed=5,
        split_salt=SALT,
        general_salt=SALT,
        switches=resolve_switches("corrected", switches or {}),
    )


def run(
    folder: Path,
    base: Path,
    tokens: Path,
    this_job: PretrainJob,
    log: RunLog | None = None,
    general: Path | None = None,
) -> dict[str, Any]:
    """Train an adapter in a folder; returns what its perplexity file holds."""
    return pretrain(
        this_job,
        base=base,
        tokens=tokens,
        output=folder / "adapter",
        perplexity=folder / "perplexity.json",
        work=folder / "work",
        log=log or NullLog(),
        general=general,
    )


def adapter_bytes(folder: Path) -> dict[str, bytes]:
    """Content of each file of a run's adapter."""
    return {file.name: file.read_bytes() for file in (folder / "adapter").iterdir()}


def weight_bytes(folder: Path) -> bytes:
    """Content of the file of a run's adapter that holds the weights."""
    return (folder / "adapter" / ADAPTER_WEIGHTS).read_bytes()


def same_tensors(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Return whether two sets of tensors are equal bit by bit."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
