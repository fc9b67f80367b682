"""Counting a PEFT method's parameters on a network of any size, without its weights."""

import torch
from transformers import AutoModelForCausalLM

from clinical_peft.models.adapters import trainable_parameters
from clinical_peft.models.bases import llama_config
from clinical_peft.models.methods import add_adapter, peft_config, virtual_tokens
from clinical_peft.recipes import Shape
from clinical_peft.recipes.methods import Full, Method, PromptTuning

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
    if isinstance(method, PromptTuning):
        # The text of a prompt sets initial values, which are not counted, and would need a tokenizer.
        method = PromptTuning(num_virtual_tokens=method.num_virtual_tokens)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(llama_config(shape))
        if isinstance(method, Full):
            return trainable_parameters(network)
        adapted = add_adapter(
            network, peft_config(method, total_steps=STEPS), context=shape.context - virtual_tokens(method)
        )
    return trainable_parameters(adapted)


def trainable_percent(trainable: int, total: int) -> str:
    """Return the trainable share in percent with the two significant digits that tables print, such as `0.12%`.

    A share of at least 0.01% is rounded to hundredths, a smaller one to ten-thousandths of a percent.
    """
    percent = 100 * trainable / total
    return f"{percent:.2f}%" if percent >= 0.01 else f"{percent:.4f}%"
