"""Claims about the kernel for packed documents: where it computes, and for which networks it is chosen."""

from collections.abc import Iterator

import torch
from gpu_claims import LIMITS, one_at_a_time, training_pass
from gpu_setting import Claim, Finding, Setting, distance
from pretraining_case import LORA, SHAPES

from clinical_peft.models.bases import DTYPES
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.training import attention

HEAD_WIDTHS = (32, 64, 80, 96, 128, 160, 192, 256, 288)
NEEDED_WIDTHS = (64, 128)
SHARING = (1, 4)  # query heads for each head of keys and values
DROPOUT = 0.1


def varlen(setting: Setting) -> Iterator[Finding]:
    """Probe PyTorch's kernel for packed documents at the head widths of common networks."""
    claim = "the varlen kernel computes attention of packed documents"
    if not setting.gpu:
        yield Finding(claim, None, {"why": "needs a GPU", "importable": attention.varlen_kernel() is not None})
        return
    works = {
        queries: {width: attention.varlen_works(setting.device, width, queries) for width in HEAD_WIDTHS}
        for queries in SHARING
    }
    needed = [works[queries][width] for queries in SHARING for width in NEEDED_WIDTHS]
    yield Finding(claim, all(needed), {"by_queries_per_key_and_width": works})


def shared_heads(setting: Setting) -> Iterator[Finding]:
    """Train a network of shared keys and values, whose heads are wider than hidden / heads, on packed documents."""
    shape = SHAPES[setting.middle]
    width = 2 * shape.hidden_size // shape.heads
    network = setting.network(setting.middle, torch.float32, num_key_value_heads=shape.heads // 4, head_dim=width)
    recipe = LanguageRecipe(learning_rate=1.0, context=setting.context, precision=setting.precision)
    layout = attention.layout_of(network, recipe, LORA, setting.device)
    model, documents = setting.adapted(network), setting.documents(12)
    loss, expected = one_at_a_time(setting, model, documents)
    other, found = training_pass(setting, model, documents, setting.precision, packed=True, layers=0)
    apart = (abs(other / loss - 1), distance(found, expected))
    limits = LIMITS[setting.precision]
    yield Finding(
        "keys and values that query heads share are read as they are, at the base's own width of a head",
        layout == "packed" and all(value <= limit for value, limit in zip(apart, limits, strict=True)),
        {"layout": layout, "width": width, "loss_and_gradients_differ_by": apart, "limits": limits},
    )


def dropped_weights(setting: Setting) -> Iterator[Finding]:
    """Ask how a network is trained whose attention weights are dropped."""
    network = setting.network(setting.middle, DTYPES[setting.precision], attention_dropout=DROPOUT)
    recipe = LanguageRecipe(learning_rate=1.0, context=setting.context, precision=setting.precision)
    layout = attention.layout_of(network, recipe, LORA, setting.device)
    claim = "documents of a base that drops attention weights are grouped, not attended to one by one"
    yield Finding(claim, layout == "grouped" if setting.gpu else None, {"layout": layout})


CLAIMS = (
    Claim("varlen kernel", 5, varlen),
    Claim("shared heads", 10, shared_heads),
    Claim("dropped attention weights", 5, dropped_weights),
)
