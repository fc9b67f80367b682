"""Small networks with every PEFT method, and documents to run them on."""

from dataclasses import replace

import numpy as np
import torch
from language_fixtures import RECIPE, SHAPE

from clinical_peft.methods.adalora import AdaLora
from clinical_peft.methods.adaption_prompt import AdaptionPrompt
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.p_tuning import PTuning
from clinical_peft.methods.prefix_tuning import PrefixTuning
from clinical_peft.methods.prompt_tuning import PromptTuning
from clinical_peft.models.bases import build_causal
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.optimisation import autocast

CPU = torch.device("cpu")
CONTEXT = 40
METHODS = {
    "lora": Lora(r=4, alpha=8, target_modules=("q_proj", "v_proj", "down_proj")),
    "dora": Lora(r=4, alpha=8, dora=True),
    "rank_stabilised": Lora(r=4, alpha=8, rank_stabilised=True),
    "adalora": AdaLora(init_r=4, target_r=2),
    "adaption_prompt": AdaptionPrompt(adapter_len=4, adapter_layers=2),
    "prefix_tuning": PrefixTuning(num_virtual_tokens=3),
    "prefix_projection": PrefixTuning(num_virtual_tokens=3, prefix_projection=True),
    "prompt_tuning": PromptTuning(num_virtual_tokens=3),
    "p_tuning_lstm": PTuning(num_virtual_tokens=3, encoder="LSTM", hidden_size=16, layers=1),
    "p_tuning_mlp": PTuning(num_virtual_tokens=3, encoder="MLP", hidden_size=16),
    "full": None,
}
LENGTHS = (31, 7, 7, 1, 2, 40, 7, 19, 31)


def network(method, *, heads=SHAPE.heads):
    """A network with an adapter whose every trained tensor is away from zero."""
    base = build_causal(replace(SHAPE, heads=heads), seed=3, special={"pad_token_id": 0})
    if method is None:
        return base.train()
    base.requires_grad_(False)
    torch.manual_seed(1)
    model = add_adapter(base, method, total_steps=100, context=CONTEXT)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.train()


def documents(lengths=LENGTHS):
    draw = np.random.default_rng(5)
    return [draw.integers(5, SHAPE.vocabulary, length, dtype=np.int32) for length in lengths]


def loss_and_gradients(model, groups, *, packed, recipe=RECIPE):
    loss = CausalLoss(0, CPU, packed=packed)
    total, predicted = torch.zeros(()), 0
    for group in groups:
        with autocast(recipe, CPU):
            part, count = loss(model, group, key=(0,))
        part.backward()
        total, predicted = total + part.detach(), predicted + count
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    return total, gradients, predicted
