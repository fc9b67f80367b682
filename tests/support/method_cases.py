"""Settings of every method, small enough for networks of width 32, and training of an adapter on such a network."""

from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from transformers import AutoModelForCausalLM

from clinical_peft.methods import METHODS, Method
from clinical_peft.models.adapters import save_adapter
from clinical_peft.models.bases import read_identity
from clinical_peft.models.new_adapters import add_adapter

STEPS = 4
NORMS = {"target_modules": ["input_layernorm", "post_attention_layernorm"]}
SMALL: dict[str, dict[str, Any]] = {
    "ia3": {},
    "vera": {"r": 4},
    "loha": {"r": 4},
    "lokr": {"r": 4},
    "oft": {"oft_block_size": 8},
    "hra": {"r": 4},
    "fourierft": {"n_frequency": 20},
    "miss": {"r": 4},
    "delora": {"r": 4},
    "hira": {"r": 4},
    "gralora": {"r": 4},
    "road": {"group_size": 8},
    "ln_tuning": NORMS,
}
PATTERNS = {"rank_pattern": {"q_proj|query": 2}, "alpha_pattern": {"v_proj|value": 4}}
LORAS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"dora": True},
    "rank-stabilised": {"rank_stabilised": True},
    "lora+": {"loraplus_lr_ratio": 16.0},
    "init false": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "olora": {"init_lora_weights": "olora"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa, rank-stabilised": {"init_lora_weights": "pissa_niter_4", "rank_stabilised": True},
    "pissa, patterns": {"init_lora_weights": "pissa", **PATTERNS},
    "patterns": PATTERNS,
    "all-linear": {"target_modules": "all-linear"},
    "without one": {"target_modules": "all-linear", "exclude_modules": ["k_proj", "key"]},
    "last block": {"layers_to_transform": [1]},
}
PROMPTS: dict[str, dict[str, Any]] = {
    "prefix_tuning": {"num_virtual_tokens": 3},
    "prompt_tuning": {"num_virtual_tokens": 3, "init_text": "septic stable"},
    "p_tuning": {"num_virtual_tokens": 3, "hidden_size": 8, "layers": 1},
}
LAYERS = {"causal": ["q_proj", "v_proj"], "encoder": ["query", "value"]}
IN_ENCODERS = {"target_modules": ["LayerNorm"]}


def method_of(name: str, family: str = "causal") -> Method:
    """A method of the catalogue, or LoRA or virtual tokens in one of the cases above."""
    if name in LORAS:
        return make("lora", {"r": 4, "alpha": 8, "target_modules": LAYERS[family]} | LORAS[name])
    if name in PROMPTS:
        return make(name, PROMPTS[name])
    return make(name, SMALL[name] | (IN_ENCODERS if name == "ln_tuning" and family == "encoder" else {}))


def make(name: str, settings: dict[str, Any]) -> Method:
    """A method with settings as a study has them."""
    kind: type[Method] = type(METHODS[name])
    return TypeAdapter(kind).validate_python({"type": name, **settings})


def train_clinical(folder: Path, base: Path, method: Method) -> torch.Tensor:
    """Train an adapter of a language model for some steps and save it; returns its logits of `token_ids`."""
    torch.manual_seed(5)
    model = add_adapter(AutoModelForCausalLM.from_pretrained(base), method, total_steps=STEPS, context=24, base=base)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.05)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(input_ids=token_ids(), labels=token_ids(), use_cache=False).loss.backward()
        optimizer.step()
    save_adapter(model, folder, base=read_identity(base), card="A test.\n")
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=token_ids(), use_cache=False).logits
    return logits


def token_ids() -> torch.Tensor:
    """Token ids of six documents, int64 of shape (6, 12)."""
    return torch.randint(4, 200, (6, 12), generator=torch.Generator().manual_seed(3))
