"""Tiny decoders of many architectures, with random weights that leave nothing at zero."""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 200
IDS = {"bos_token_id": 0, "eos_token_id": 0}
PLAIN = IDS | {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 1,
}
SHARED_KEYS = PLAIN | {"num_key_value_heads": 2}
WIDE = SHARED_KEYS | {"head_dim": 8}
NARROW = IDS | {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LINEAR = {
    "num_hidden_layers": 4,
    "shared_expert_intermediate_size": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
SCAN = IDS | {"vocab_size": VOCABULARY, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "pad_token_id": 1}


@dataclass(frozen=True)
class Decoder:
    """An architecture and what becomes of it.

    Attributes:
        settings: Of its configuration.
        packs: Whether its documents can be packed; else they are grouped.
        matrix: Whether its logits are the product with a bare matrix.
        kind: Its name in transformers, if the key of `DECODERS` is another.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    packs: bool = True
    matrix: bool = True
    kind: str = ""


DECODERS = {
    "llama": Decoder(SHARED_KEYS),
    "mistral": Decoder(SHARED_KEYS | {"sliding_window": None}),
    "mistral_window": Decoder(SHARED_KEYS | {"sliding_window": 16}, packs=False, kind="mistral"),
    "mixtral": Decoder(SHARED_KEYS | {"num_local_experts": 4, "sliding_window": None}),
    "qwen2": Decoder(SHARED_KEYS),
    "qwen3": Decoder(WIDE),
    "qwen3_moe": Decoder(WIDE | EXPERTS),
    "qwen3_next": Decoder(WIDE | EXPERTS | LINEAR, packs=False),
    "phi": Decoder(PLAIN, matrix=False),
    "phi3": Decoder(SHARED_KEYS),
    "gemma": Decoder(WIDE),
    "gemma2": Decoder(WIDE | {"sliding_window": 64}, packs=False, matrix=False),
    "gemma3_text": Decoder(WIDE | {"sliding_window": 64}),
    "gemma3_window": Decoder(WIDE | {"sliding_window": 16, "num_hidden_layers": 6}, packs=False, kind="gemma3_text"),
    "recurrent_gemma": Decoder(
        SHARED_KEYS
        | {
            "num_key_value_heads": 1,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "lru_width": 32,
            "attention_window_size": 64,
        },
        packs=False,
        matrix=False,
    ),
    "gpt2": Decoder(NARROW),
    "gpt_neo": Decoder(
        IDS
        | {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 128,
        },
        packs=False,
    ),
    "gptj": Decoder(NARROW | {"rotary_dim": 4}, packs=False, matrix=False),
    "gpt_neox": Decoder(PLAIN),
    "gpt_oss": Decoder(WIDE | {"num_local_experts": 4, "sliding_window": 64}, packs=False),
    "opt": Decoder(
        IDS
        | {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "word_embed_proj_dim": 16,
            "ffn_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 128,
            "pad_token_id": 1,
        }
    ),
    "stablelm": Decoder(PLAIN | {"num_key_value_heads": 4}, packs=False),
    "bloom": Decoder(
        IDS | {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 1}, packs=False
    ),
    "falcon": Decoder(PLAIN, packs=False),
    "falcon_alibi": Decoder(PLAIN | {"alibi": True}, packs=False, kind="falcon"),
    "mpt": Decoder(
        {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}, packs=False
    ),
    "cohere": Decoder(SHARED_KEYS | {"logit_scale": 0.3}, matrix=False),
    "granite": Decoder(SHARED_KEYS | {"logits_scaling": 8.0, "attention_multiplier": 0.1}, matrix=False),
    "olmo2": Decoder(SHARED_KEYS),
    "deepseek_v3": Decoder(
        SHARED_KEYS
        | {
            "num_key_value_heads": 4,
            "kv_lora_rank": 16,
            "q_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "first_k_dense_replace": 1,
            "moe_intermediate_size": 32,
            "n_group": 1,
            "topk_group": 1,
        }
    ),
    "llama4_text": Decoder(
        WIDE
        | {"num_local_experts": 2, "attention_chunk_size": 16, "intermediate_size_mlp": 64, "num_experts_per_tok": 1},
        packs=False,
    ),
    "jamba": Decoder(
        SHARED_KEYS
        | {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
        packs=False,
    ),
    "lfm2": Decoder(SHARED_KEYS | {"num_hidden_layers": 3, "full_attn_idxs": [1]}, packs=False),
    "mamba": Decoder(SCAN, packs=False),
    "mamba2": Decoder(SCAN | {"num_heads": 4, "head_dim": 16, "n_groups": 2, "chunk_size": 8}, packs=False),
    "rwkv": Decoder(
        IDS
        | {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "context_length": 128,
            "attention_hidden_size": 32,
            "intermediate_size": 64,
        },
        packs=False,
    ),
}
# Its layers read a text in both directions.
XLNET = {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}


def decoder(
    name: str, *, settings: dict[str, Any] | None = None, model: type = AutoModelForCausalLM, **more: Any
) -> Any:
    """Build a decoder in evaluation mode, its biases, sinks and matrices drawn away from zero."""
    known = DECODERS.get(name, Decoder(settings or {}))
    torch.manual_seed(0)
    network = model.from_config(AutoConfig.for_model(known.kind or name, **(known.settings | more)))
    with torch.no_grad():
        for key, value in network.named_parameters():
            if value.ndim > 1 and "A_log" not in key:
                value.normal_(0, 0.15)
            elif key.endswith("bias") and "dt_" not in key:
                value.normal_(0, 0.5)
            elif "sinks" in key:
                value.normal_(1.0, 0.5)
    return network.eval()
