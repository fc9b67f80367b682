"""The published parameter counts of Table 2, to the digit."""

import pytest

from clinical_peft.errors import TrainingError
from clinical_peft.methods.adalora import AdaLora
from clinical_peft.methods.adaption_prompt import AdaptionPrompt
from clinical_peft.methods.full import Full
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.p_tuning import PTuning
from clinical_peft.methods.prefix_tuning import PrefixTuning
from clinical_peft.methods.prompt_tuning import PromptTuning
from clinical_peft.models.counting import count_parameters, trainable_percent
from clinical_peft.recipes import Shape

LLAMA_7B = Shape(hidden_size=4096, intermediate_size=11008, layers=32, heads=32, vocabulary=32000, context=2048)
LLAMA_7B_PARAMETERS = 6_738_415_616

# Method, trainable parameters and percent as printed: LLaMA-7B, then PMC-LLaMA-7B (arXiv 2307.03042v2, table 2).
PUBLISHED = [
    (Lora(r=16), 8_388_608, "0.12%"),
    (AdaptionPrompt(adapter_len=10, adapter_layers=30), 1_228_830, "0.02%"),
    (PrefixTuning(num_virtual_tokens=20), 5_242_880, "0.08%"),
    (PromptTuning(num_virtual_tokens=15), 61_440, "0.0009%"),
    (PTuning(num_virtual_tokens=20, encoder="LSTM", hidden_size=256, layers=4), 16_093_696, "0.24%"),
    (Lora(r=4), 2_097_152, "0.03%"),
    (AdaptionPrompt(adapter_len=10, adapter_layers=30), 1_228_830, "0.02%"),  # there printed as 0.018%
    (PrefixTuning(num_virtual_tokens=10), 2_621_440, "0.04%"),
    (PromptTuning(num_virtual_tokens=10), 40_960, "0.0006%"),
    (PTuning(num_virtual_tokens=1, encoder="MLP", hidden_size=256), 2_171_392, "0.03%"),
]


@pytest.mark.parametrize(("method", "trainable", "percent"), PUBLISHED)
def test_published_counts(method, trainable, percent):
    found, total = count_parameters(LLAMA_7B, method)
    assert found == trainable
    assert total == LLAMA_7B_PARAMETERS + trainable
    assert trainable_percent(found, total) == percent


def test_text_initialised_prompt_needs_no_tokenizer():
    method = PromptTuning(num_virtual_tokens=15, init_text="Finish this clinical note: ")
    assert count_parameters(LLAMA_7B, method)[0] == 61_440


def test_full_fine_tuning_trains_every_weight():
    assert count_parameters(LLAMA_7B, Full()) == (LLAMA_7B_PARAMETERS, LLAMA_7B_PARAMETERS)


def test_adalora_counts_the_ranks_before_allocation():
    # Per matrix: A (12 x 4096), E (12 x 1) and B (4096 x 12); two matrices in each of 32 layers.
    assert count_parameters(LLAMA_7B, AdaLora(init_r=12, target_r=8))[0] == 64 * (12 * 4096 * 2 + 12)


def test_more_prompt_layers_than_the_network_has():
    with pytest.raises(TrainingError, match="adapter_layers is 33"):
        count_parameters(LLAMA_7B, AdaptionPrompt(adapter_layers=33))
