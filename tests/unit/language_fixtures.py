"""Small corpora, bases and token shards for the tests of language models."""

import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from clinical_peft.events import NullLog
from clinical_peft.recipes import LanguageRecipe, Shape
from clinical_peft.tokens.shards import tokenise
from clinical_peft.training.scratch import prepare_scratch_base

SALT = "salt"
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
    notes = write_corpus(folder / "general.parquet", GENERAL, notes=60, patients=False)
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


def same_tensors(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Return whether two sets of tensors are equal bit by bit."""
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
