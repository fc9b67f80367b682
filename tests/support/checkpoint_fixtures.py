"""Tiny random checkpoints of many architectures, as their makers publish them."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast

ROWS = 200
SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZE |= {"vocab_size": ROWS, "max_position_embeddings": 64}
GROUPED = SIZE | {"num_key_value_heads": 2}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION |= {"image_size": 28, "patch_size": 14}
IMAGE = {"image_token_index": 199}

CAUSAL: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "gpt_neox": SIZE,  # Pythia
    "phi": SIZE,
    "phi3": GROUPED | {"pad_token_id": 0},
    "stablelm": GROUPED,
    "falcon": SIZE,
    "opt": SIZE | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"vocab_size": ROWS, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mamba": {"vocab_size": ROWS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "gpt_oss": GROUPED | {"head_dim": 8, "num_local_experts": 4, "sliding_window": 16},
    "gemma3_text": GROUPED | {"head_dim": 8, "sliding_window": 16},
}
SEVERAL_MODES: dict[str, dict[str, Any]] = {
    "gemma3": {
        "text_config": GROUPED | {"head_dim": 8, "sliding_window": 16},
        "vision_config": VISION,
        "mm_tokens_per_image": 4,
        "image_token_index": 199,
        "boi_token_index": 198,
        "eoi_token_index": 197,
    },
    "llava": {
        "text_config": GROUPED | {"model_type": "llama"},
        "vision_config": VISION | {"model_type": "clip_vision_model", "projection_dim": 16},
        **IMAGE,
    },
    "mistral3": {
        "text_config": GROUPED | {"model_type": "mistral"},
        "vision_config": VISION | {"model_type": "pixtral", "head_dim": 16},
        **IMAGE,
    },
    "qwen2_vl": {
        "text_config": GROUPED | {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}},
        "vision_config": {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
    },
}


def build(kind: str, **changes: Any) -> Any:
    """Build a network of an architecture, every matrix away from zero."""
    several = kind in SEVERAL_MODES
    settings = (SEVERAL_MODES if several else CAUSAL)[kind] | changes
    config = AutoConfig.for_model(kind, **settings)
    torch.manual_seed(0)
    network = (AutoModelForImageTextToText if several else AutoModelForCausalLM).from_config(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    return network


def write_word_tokenizer(
    folder: Path, *, words: int = ROWS, special: tuple[str, ...] = (), pad: str | None = None
) -> None:
    """Write a tokenizer of `words` ids, whose first is the end of text, and of further special tokens.

    It has no padding token unless one of its words is named as that, and no template adds the start token.
    """
    vocabulary = {"<|end|>": 0, "word1": 1, "<|unk|>": 2} | {f"word{number}": number for number in range(3, words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<|unk|>", bos_token="<|end|>", eos_token="<|end|>", pad_token=pad
    )
    if special:
        fast.add_special_tokens({"additional_special_tokens": list(special)})
    fast.save_pretrained(folder)


def write_checkpoint(folder: Path, network: Any, *, words: int = ROWS, **saving: Any) -> Path:
    """Write a network and a tokenizer."""
    network.save_pretrained(folder, **saving)
    write_word_tokenizer(folder, words=words)
    return folder
