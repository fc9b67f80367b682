"""Bases in four bits (QLoRA, Dettmers et al. 2023): what bitsandbytes needs, and what it makes of a network."""

import importlib.util
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from clinical_peft.errors import TrainingError
from clinical_peft.models.pooling import POOLINGS

# Heads are trained or decide the loss, and are small beside the rest.
KEPT_WHOLE = ("lm_head", *(pooling.head for pooling in POOLINGS.values()), "cls")


def four_bit_loading() -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that quantise a network's matrices to NF4 while they are loaded.

    Values are normal-float with blocks of 64 whose scales are quantised too; products are computed in bfloat16.

    Raises:
        TrainingError: There is no GPU, or bitsandbytes is not installed.
    """
    return {"quantization_config": four_bit_config(), "device_map": {"": require_four_bit()}}


def require_four_bit() -> torch.device:
    """Return the GPU on which a base can be held in four bits.

    Raises:
        TrainingError: There is no GPU, or bitsandbytes is not installed.
    """
    if not torch.cuda.is_available():
        raise TrainingError(
            "precision nf4: expected a GPU to hold the base in four bits, found none; use bf16 or fp32 here"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingError(
            "precision nf4: expected the package bitsandbytes, found none; run `pip install bitsandbytes`, or use bf16"
        )
    return torch.device("cuda", torch.cuda.current_device())


def four_bit_config() -> BitsAndBytesConfig:
    """Return QLoRA's quantisation: NF4, doubly quantised, heads left alone."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=list(KEPT_WHOLE),
    )


def parameter_size(parameter: nn.Parameter) -> int:
    """Return how many numbers a parameter stands for; bitsandbytes packs two four-bit values into a byte."""
    if type(parameter).__name__ == "Params4bit":
        return 2 * parameter.numel() * parameter.element_size()
    return parameter.numel()
