"""Counting a PEFT method's parameters on a network of any size, without its weights."""

import torch
from transformers import AutoModelForCausalLM

from clinical_peft.methods import Method
from clinical_peft.models.adapters import trainable_parameters
from clinical_peft.models.bases import llama_config
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.recipes import Shape

# AdaLoRA's phases need a length of run; its counts do not depend on it.
STEPS = 1000


def count_parameters(shape: Shape, method: Method) -> tuple[int, int]:
    """Count a method's parameters on a LLaMA network of a given shape.

    The network and its adapter are real objects of `transformers` and `peft` on PyTorch's meta device, which
    keeps shapes and no values.

    Args:
        shape: Dimensions of the network; 7 billion parameters take no more memory than a thousand.
        method: The method and its settings.

    Returns:
        Parameters that the method trains, and parameters of the network and the adapter together.

    Raises:
        TrainingError: The method does not fit the network.
    """
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(llama_config(shape))
        if method.trains_every_weight:
            return trainable_parameters(network)
        context = shape.context - method.virtual_tokens
        adapted = add_adapter(network, method.counted, total_steps=STEPS, context=context)
    return trainable_parameters(adapted)


def trainable_percent(trainable: int, total: int) -> str:
    """Return the trainable share in percent with the two significant digits that tables print, such as `0.12%`.

    A share of at least 0.01% is rounded to hundredths, a smaller one to ten-thousandths of a percent.
    """
    percent = 100 * trainable / total
    return f"{percent:.2f}%" if percent >= 0.01 else f"{percent:.4f}%"
