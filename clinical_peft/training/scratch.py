"""Training a small base from scratch on general text: its tokenizer, then a causal or a masked language model."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from clinical_peft.data.hash_split import hash_split
from clinical_peft.errors import TrainingError
from clinical_peft.files import private_directory, sha256_file
from clinical_peft.models.base_folders import write_base
from clinical_peft.models.bases import build_causal, build_encoder, special_ids
from clinical_peft.recipes import IDLE_KEYS, LanguageRecipe, Shape
from clinical_peft.recipes.families import Family, find_family
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.runtime.events import RunLog
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.shards import tokenise
from clinical_peft.tokens.tokenizer import train_tokenizer
from clinical_peft.training.attention import layout_of
from clinical_peft.training.checkpoint import remove_checkpoint
from clinical_peft.training.decoder_checks import settle_loss
from clinical_peft.training.language_loop import measure_perplexity, train_language_model
from clinical_peft.training.language_loss import CausalLoss, LanguageLoss, MaskedLoss
from clinical_peft.training.language_run import LanguageRun
from clinical_peft.training.optimisation import prepare_torch, to_device


def prepare_scratch_base(
    notes: Path,
    output: Path,
    *,
    name: str,
    family: Family,
    shape: Shape,
    recipe: LanguageRecipe,
    seed: int,
    split_salt: str,
    work: Path,
    log: RunLog,
) -> dict[str, Any]:
    """Train a tokenizer and a small network on general text and write them as a base folder.

    A causal base learns to predict the next token, an encoder to fill in masked ones. Tokenizer and network learn
    from the training split alone; the weights with the lowest validation perplexity are kept.

    Args:
        notes: Parquet file of the general corpus, with the columns note_id, subject_id and text.
        output: Base folder to write, whole or not at all.
        name: Name of the base in the study.
        family: Kind of network.
        shape: Dimensions; the tokenizer may use fewer tokens than `shape.vocabulary`.
        recipe: Optimisation and budget.
        seed: Seed of the weights, the order of the text and the masks.
        split_salt: Salt of the hash split.
        work: Folder for tokens and checkpoints, which outlives a failed run.
        log: Where metrics are reported.

    Returns:
        The record that is also written to base.json, with perplexities on validation and test text.

    Raises:
        DataError: The corpus is malformed or too small.
        TrainingError: The recipe's context is longer than the network's, or a loss is not finite.
    """
    if recipe.context > shape.context:
        raise TrainingError(
            f"base {name}: the recipe's context is {recipe.context}, but the shape's is {shape.context}; lower it"
        )
    device = prepare_torch(seed, recipe.threads)
    work = private_directory(Path(work))
    tokenizer = train_tokenizer(_training_texts(notes, split_salt), vocabulary=shape.vocabulary, family=family)
    tokenizer.save_pretrained(work / "tokenizer")
    tokenise(notes, work / "tokenizer", work / "tokens", context=recipe.context, split_salt=split_salt)
    shards = TokenShards(work / "tokens")

    shape = replace(shape, vocabulary=len(tokenizer))
    build = build_causal if find_family(family).is_decoder else build_encoder
    network: PreTrainedModel = build(shape, seed=seed, special=special_ids(tokenizer))
    to_device(network, device)
    asked = {key: value for key, value in asdict(recipe).items() if key not in IDLE_KEYS}
    decides = {"shape": asdict(shape), "recipe": asked, "seed": seed, "family": family} | shards.summary
    run = LanguageRun(
        title=f"base {name}",
        recipe=recipe,
        seed=seed,
        shards=shards,
        loss=_loss(family, tokenizer, device, packed=layout_of(network, recipe, None, device) == "packed"),
        device=device,
        work=work,
        identity=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        log=log,
        salt=split_salt,
        switches=resolve_switches("corrected", {}),
    )
    settle_loss(network, run)
    state = train_language_model(network, run)
    record = {
        "name": name,
        "family": family,
        "source": "trained from scratch on general text",
        "note": find_family(family).network,
        "corpus_sha256": sha256_file(notes),
        "seed": seed,
        "recipe": asdict(recipe),
        "tokens": {split: counts["tokens"] for split, counts in shards.summary["splits"].items()}
        | {"trained_on": state.tokens},
        "perplexity": {split: measure_perplexity(network, run, split) for split in ("validation", "test")},
        "curve": state.curve,
    }
    record = write_base(network.cpu(), tokenizer, output, record)
    remove_checkpoint(work)
    for folder in ("tokenizer", "tokens"):
        shutil.rmtree(work / folder)
    return record


def _training_texts(notes: Path, split_salt: str) -> Iterator[str]:
    for batch in pq.ParquetFile(notes, pre_buffer=False).iter_batches(1024, columns=["note_id", "subject_id", "text"]):
        for row in batch.to_pylist():
            key = row["note_id"] if row["subject_id"] is None else row["subject_id"]
            if row["text"] and hash_split(key, split_salt) == "train":
                yield row["text"]


def _loss(family: Family, tokenizer: PreTrainedTokenizerFast, device: torch.device, *, packed: bool) -> LanguageLoss:
    if find_family(family).is_decoder:
        return CausalLoss(tokenizer.pad_token_id, device, packed=packed)
    return MaskedLoss(
        pad=tokenizer.pad_token_id,
        mask=tokenizer.mask_token_id,
        special=list(tokenizer.all_special_ids),
        vocabulary=len(tokenizer),
        device=device,
    )
