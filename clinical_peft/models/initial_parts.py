"""Adapters that begin as a part of the base's weights (PiSSA, OLoRA), saved as plain LoRA on the base as it is.

PEFT puts the largest components of a weight W into B0 A0 and trains W - s B0 A0 + s B A, s the scale. What is saved
here is the same sum on W: s (B A - B0 A0) is one LoRA update of twice the rank, its A the rows of A above those of A0,
its B the columns of B beside those of -B0. So the base of an adapter is the base that was imported.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from torch import Tensor

ROWS, COLUMNS = ".lora_A.", ".lora_B."


def keep_initial(model: PeftModel, adapter_name: str) -> None:
    """Keep the initial values of an adapter that begins as a part of the base; to be called before it is trained."""
    state = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    kept = {key: value.detach().cpu().clone() for key, value in state.items() if ROWS in key or COLUMNS in key}
    model.initial_parts = {**getattr(model, "initial_parts", {}), adapter_name: kept}


def initial_of(model: PeftModel, adapter_name: str) -> Mapping[str, Tensor] | None:
    """Return what `keep_initial` kept, or None for an adapter that is no part of the base."""
    found: Mapping[str, Tensor] | None = getattr(model, "initial_parts", {}).get(adapter_name)
    return found


def as_plain_lora(
    state: Mapping[str, Tensor], record: Mapping[str, Any], initial: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an adapter's tensors and configuration as those of a plain LoRA adapter of twice the rank.

    Args:
        state: Trained tensors by PEFT's names.
        record: PEFT's configuration.
        initial: Tensors before training.
    """
    tensors = dict(state)
    for key, before in initial.items():
        after = state[key]
        parts = (after, before.to(after.dtype)) if ROWS in key else (after, -before.to(after.dtype))
        tensors[key] = torch.cat(parts, dim=0 if ROWS in key else 1).contiguous()
    # alpha / rank stays as it was, or alpha / sqrt(rank).
    factor = math.sqrt(2) if record["use_rslora"] else 2
    alphas = {key: alpha * factor for key, alpha in (record["alpha_pattern"] or {}).items()}
    ranks = {key: 2 * rank for key, rank in (record["rank_pattern"] or {}).items()}
    plain = {
        "init_lora_weights": True,
        "r": 2 * record["r"],
        "lora_alpha": record["lora_alpha"] * factor,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
    }
    return tensors, {**record, **plain}
