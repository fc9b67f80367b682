"""Recipes of a study that gives none: what real networks of 100 million to some billion parameters begin with.

They stand below the sections `pretraining` and `finetuning`, so every key can be set there; keys that are not named
here have the defaults of `clinical_peft.recipes`. config/config.yaml sets them all for its own small bases.
"""

from clinical_peft.config.sections import Partial
from clinical_peft.methods import Method
from clinical_peft.recipes.kinds import ModelKind

BUILT_IN = "built-in defaults"
"""Place of these layers in messages."""

CONTEXT = 512
"""Tokens that every encoder can read, and most of an admission note."""
ADAPTER_RATE = 2.0e-4
"""Of adapters alone, as QLoRA (Dettmers et al. 2023) and PEFT's own examples use it for LoRA."""
FULL_RATE = 3.0e-5
"""Of a whole network, the middle of BERT's own range (Devlin et al. 2019)."""
HEAD_RATE = 1.0e-3
"""Of a classification head, which starts from nothing."""

MEASURING = (
    *("context", "micro_batch_tokens", "attention", "compile", "precision", "threads"),
    *("evaluation_tokens", "train_evaluation_tokens", "general_tokens"),
)
"""Keys of `pretraining` that decide how a perplexity is measured."""


def pretraining_defaults(method: Method | None) -> Partial:
    """Recipe of an adapter of a study that says nothing.

    Args:
        method: The adapter's method; None for one that exists already.
    """
    trains_every_weight = method is not None and method.trains_every_weight
    return {"context": CONTEXT, "learning_rate": FULL_RATE if trains_every_weight else ADAPTER_RATE}


def finetuning_defaults(kind: ModelKind) -> Partial:
    """Recipe of a model of a study that says nothing.

    Args:
        kind: The kind of model.
    """
    rate = FULL_RATE if kind.trains_every_weight else ADAPTER_RATE
    return {"context": CONTEXT, "learning_rate": rate, "head_learning_rate": HEAD_RATE}
