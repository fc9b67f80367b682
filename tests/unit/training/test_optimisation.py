import itertools
import math
from dataclasses import replace

import pytest
import torch
from language_fixtures import RECIPE
from peft import get_peft_model
from peft.optimizers import create_loraplus_optimizer
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from clinical_peft.errors import TrainingError
from clinical_peft.methods.lora import Lora
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.training.optimisation import (
    build_optimizer,
    clip_gradients,
    learning_rate_schedule,
    parameter_groups,
    prepare_torch,
    require_finite,
    set_learning_rate,
)

OFF = resolve_switches("corrected", {})


def test_learning_rate_warms_up_and_falls_to_zero():
    schedule = learning_rate_schedule(replace(RECIPE, warmup_ratio=0.1), steps=100, passes_per_step=4, switches=OFF)
    factors = [schedule(step) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[10] == 1.0
    assert all(left > right for left, right in itertools.pairwise(factors[10:]))
    assert factors[100] == 0.0


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_schedules_meet_in_the_middle(schedule, middle):
    recipe = replace(RECIPE, warmup_ratio=0.0, schedule=schedule)
    assert learning_rate_schedule(recipe, steps=100, passes_per_step=1, switches=OFF)(50) == pytest.approx(middle)


def test_warmup_given_as_steps_wastes_the_first_update():
    schedule = learning_rate_schedule(
        replace(RECIPE, warmup_ratio=0.06), steps=100, passes_per_step=1, switches=OFF | {"warmup_as_steps": True}
    )
    assert schedule(0) == 0.0
    assert schedule(1) > 0.98


def test_a_schedule_in_micro_steps_ends_near_its_peak():
    # 64 forward passes per update: the published recipe ends at 98.5 % of the peak.
    switches = OFF | {"warmup_as_steps": True, "schedule_in_micro_steps": True}
    schedule = learning_rate_schedule(RECIPE, steps=1000, passes_per_step=64, switches=switches)
    assert schedule(1000) == pytest.approx(1 - 1 / 64, abs=1e-4)


def test_vectors_do_not_decay_and_groups_share_the_schedule():
    layer = nn.Linear(3, 2)
    optimizer = build_optimizer(parameter_groups(layer.named_parameters(), learning_rate=0.1, weight_decay=0.5))
    assert [(group["params"][0].ndim, group["weight_decay"]) for group in optimizer.param_groups] == [
        (2, 0.5),
        (1, 0.0),
    ]
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


def test_lora_plus_groups_are_those_of_peft():
    network = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    method = Lora(r=2, dora=True, loraplus_lr_ratio=16.0)
    model = get_peft_model(network, method.peft_config(total_steps=1))
    theirs = create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=0.1, loraplus_lr_ratio=16.0, loraplus_weight_decay=0.5
    )
    groups = parameter_groups(
        model.named_parameters(), learning_rate=0.1, weight_decay=0.5, rate_factor=method.rate_factor
    )
    assert rates(build_optimizer(groups)) == rates(theirs)
    assert {rate for rate, _ in rates(theirs).values()} == {0.1, 1.6}


def rates(optimizer):
    """Learning rate and weight decay by parameter; PEFT lets vectors decay, which here never do."""
    return {
        id(parameter): (group["lr"], group["weight_decay"] if parameter.ndim > 1 else 0.0)
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_nothing_to_train_is_an_error():
    with pytest.raises(TrainingError, match="no trainable parameter"):
        build_optimizer(parameter_groups([], learning_rate=0.1, weight_decay=0.0))


def test_gradients_are_clipped_unless_switched_off():
    parameter = nn.Parameter(torch.zeros(2))
    for switches, norm in ((OFF, 1.0), (OFF | {"unclipped": True}, 5.0)):
        parameter.grad = torch.tensor([3.0, 4.0])
        found = clip_gradients([parameter], RECIPE, switches)
        assert found == (None if switches["unclipped"] else pytest.approx(5.0))
        assert float(parameter.grad.norm()) == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_figure_names_its_step(value):
    with pytest.raises(TrainingError, match="training loss at optimizer step 7"):
        require_finite(value, what="training loss", step=7)


def test_kernels_without_a_deterministic_form_may_run():
    before = torch.are_deterministic_algorithms_enabled()
    place = torch.tensor([0, 1])
    try:
        torch.use_deterministic_algorithms(True)
        with pytest.raises(RuntimeError, match="deterministic"):
            torch.zeros(3).put_(place, torch.ones(2))
        prepare_torch(0, torch.get_num_threads())
        with pytest.warns(UserWarning, match="deterministic"):
            assert torch.zeros(3).put_(place, torch.ones(2)).sum() == 2
    finally:
        torch.use_deterministic_algorithms(before)


def test_kernels_are_deterministic_and_memory_unfilled():
    before = torch.are_deterministic_algorithms_enabled()
    try:
        prepare_torch(0, torch.get_num_threads())
        assert torch.are_deterministic_algorithms_enabled()
        # With filling, an empty tensor would hold nothing but NaN.
        assert not all(torch.empty(1000).isnan().all() for _ in range(3))
    finally:
        torch.use_deterministic_algorithms(before)
