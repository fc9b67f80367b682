"""Writing a base folder: network, tokenizer, and base.json, which says where they come from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from clinical_peft.errors import DataError
from clinical_peft.files import atomic_path, read_json, write_json
from clinical_peft.models.adapters import TRAIN_AGAIN, is_of_vocabulary_layer, trainable_parameters
from clinical_peft.models.bases import special_ids
from clinical_peft.models.checkpoint_files import safetensors_header
from clinical_peft.models.digests import weights_sha256
from clinical_peft.models.folders import ADAPTER_WEIGHTS

PAD = "<|padding|>"
SCORED = "scored_tokens"  # in config.json


def write_base(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    output: Path,
    record: Mapping[str, Any],
    *,
    check: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Write a base folder, in which tokenizer and network agree on a padding token used for nothing else.

    Args:
        model: The network; its embeddings grow by one row if the tokenizer had no padding token of its own. Its
            configuration then says how many rows it had; see `scored_tokens`.
        tokenizer: Its tokenizer.
        output: Folder to write, whole or not at all.
        record: What is known of the base; counts and a digest of the weights are added.
        check: Looks at the written folder before it takes its place; what it raises leaves no folder.

    Returns:
        The record that is also written to base.json.
    """
    added = _dedicate_padding(model, tokenizer)
    special = special_ids(tokenizer)
    for key, value in special.items():
        setattr(model.config, key, value)
        if getattr(model, "generation_config", None) is not None:
            setattr(model.generation_config, key, value)
    model.config.use_cache = False
    with atomic_path(Path(output)) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        written = {
            **record,
            "sha256": weights_sha256(folder),
            "padding_token_added": added,
            "vocabulary": len(tokenizer),
            "parameters": trainable_parameters(model)[1],
        }
        write_json(folder / "base.json", written)
        if check is not None:
            check(folder)
    return written


def scored_tokens(folder: Path, model: PreTrainedModel) -> int | None:
    """Return how many tokens, the first, share the probability in a base; None for all.

    A row that was added for padding is none of the base's own: it would take part of the probability of real tokens.

    Args:
        folder: Base folder. If its configuration does not say so, a row that was added shows by its weights: they are
            the mean of the others.
        model: The network in it, as it was loaded.
    """
    if (written := getattr(model.config, SCORED, None)) is not None:
        return int(written)
    record, head = read_json(Path(folder) / "base.json"), model.get_output_embeddings()
    rows = len(model.get_input_embeddings().weight)
    if head is None or not record.get("padding_token_added") or record.get("vocabulary") != rows:
        return None
    weight = head.weight.detach()
    others = weight[:-1].float().mean(0)
    return rows - 1 if torch.allclose(weight[-1].float(), others, rtol=1e-2, atol=1e-5) else None


def rows_to_load_onto(adapter: Path, model: PreTrainedModel) -> int | None:
    """Return how many rows of tokens a base's source needs before it takes an adapter; None where it takes it as it is.

    An adapter of the vocabulary's layers has values for every row, that which was added for padding too.

    Args:
        adapter: Adapter folder, or that of a network which was trained whole.
        model: The base with its weights, as it was loaded.
    """
    rows, file = len(model.get_input_embeddings().weight), Path(adapter) / ADAPTER_WEIGHTS
    if getattr(model.config, SCORED, rows) == rows or not file.exists():
        return None
    names = safetensors_header(file, remedy=TRAIN_AGAIN)
    return rows if any(is_of_vocabulary_layer(name) or ".lora_embedding_" in name for name in names) else None


def _dedicate_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> bool:
    """Give the tokenizer a padding token that stands for nothing else; return whether one had to be added."""
    rows = len(model.get_input_embeddings().weight)
    # Of a base of ours that has been given further tokens since, every row is its own.
    if (scored := getattr(model.config, SCORED, rows)) != rows and (scored, tokenizer.pad_token_id) != (rows - 1,) * 2:
        delattr(model.config, SCORED)
    others = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in others:
        _grow(model, rows=tokenizer.pad_token_id + 1)
        return len(model.get_input_embeddings().weight) > rows
    tokenizer.add_special_tokens({"pad_token": PAD})
    tokens = tokenizer.get_vocab()
    if [name for name, number in tokens.items() if number == tokens[PAD]] != [PAD]:
        raise DataError("tokenizer: its ids have gaps, and no id is free for padding; add a padding token to it first")
    _grow(model, rows=tokens[PAD] + 1)
    if tokens[PAD] + 1 == rows:
        # The last row was there, whatever its weights; see `scored_tokens`.
        setattr(model.config, SCORED, rows)
    return True


def _grow(model: PreTrainedModel, *, rows: int) -> None:
    """Give the embedding and the head a row for the padding token, unless they have one."""
    before = len(model.get_input_embeddings().weight)
    if rows > before:
        # In the configuration, since that goes along with the weights wherever these are saved again.
        setattr(model.config, SCORED, before)
        model.resize_token_embeddings(rows, mean_resizing=False)
        # The mean of the others: a row of zeros would make padding a likelier prediction than most words.
        for layer in filter(None, (model.get_input_embeddings(), model.get_output_embeddings())):
            with torch.no_grad():
                layer.weight[-1] = layer.weight[:-1].float().mean(0).to(layer.weight.dtype)
