import pytest
import torch
from language_fixtures import SHAPE
from transformers import AutoModelForCausalLM

from clinical_peft.methods.full import Full
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.prompt_tuning import PromptTuning
from clinical_peft.models.bases import build_causal, llama_config
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.recipes import Shape
from clinical_peft.training import throughput
from clinical_peft.training.throughput import (
    DeviceMeter,
    DeviceUsage,
    flops_per_token,
    matrix_ceiling,
    matrix_parameters,
)

CPU = torch.device("cpu")
LLAMA_7B = Shape(hidden_size=4096, intermediate_size=11008, layers=32, heads=32, vocabulary=32000, context=2048)


def test_llama_7b_multiplies_6_6_billion_parameters():
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(llama_config(LLAMA_7B))
    assert matrix_parameters(network) == 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096 == 6_607_077_376


def test_useful_operations_per_parameter_are_four_or_six():
    assert [flops_per_token(method, 10) for method in (Lora(), PromptTuning(), Full())] == [40, 40, 60]


def test_useful_operations_agree_with_what_pytorch_counts():
    """Trained without attention scores and dropout, a step of full fine-tuning multiplies what the rule says."""
    from torch.utils.flop_counter import FlopCounterMode

    network = build_causal(SHAPE, seed=0, special={"pad_token_id": 0})
    ids = torch.arange(4, 24)[None]
    parameters, tokens = matrix_parameters(network), ids.shape[1]
    with FlopCounterMode(display=False) as counter:
        network(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    linear = sum(count for operation, count in counter.get_flop_counts()["Global"].items() if "mm" in str(operation))
    assert linear == pytest.approx(flops_per_token(Full(), parameters) * tokens, rel=0.1)
    adapted = add_adapter(network, Lora(r=1), total_steps=1, context=32)
    with FlopCounterMode(display=False) as counter:
        adapted(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    linear = sum(count for operation, count in counter.get_flop_counts()["Global"].items() if "mm" in str(operation))
    assert linear == pytest.approx(flops_per_token(Lora(), parameters) * tokens, rel=0.2)


def test_the_ceiling_is_measured_once():
    before = torch.get_rng_state()
    first = matrix_ceiling(CPU, "fp32")
    assert first > 1e9
    assert matrix_ceiling(CPU, "fp32") == first
    assert torch.equal(torch.get_rng_state(), before)


def test_a_cpu_reports_neither_energy_nor_load():
    usage, meter = DeviceUsage(), DeviceMeter(CPU)
    meter.last -= 10
    meter.add_to(usage)
    assert usage.metrics(5.0) == {"energy_joules": None, "device_idle_share": None}


def gpu_meter(monkeypatch, watts, load):
    monkeypatch.setattr(torch.cuda, "power_draw", watts)
    monkeypatch.setattr(torch.cuda, "utilization", load)
    monkeypatch.setattr(throughput.time, "monotonic", iter([0.0, 0.5, 2.0, 10.0, 12.0]).__next__)
    return DeviceMeter(torch.device("cuda", 0))


def test_sensors_are_read_once_a_second_while_training(monkeypatch):
    meter = gpu_meter(monkeypatch, lambda _: 300_000, lambda _: 90)
    usage = DeviceUsage()
    meter.add_to(usage)  # at 0.5 s: too soon
    assert usage == DeviceUsage()
    meter.add_to(usage)  # at 2 s
    meter.restart()  # an evaluation until 10 s
    meter.add_to(usage)  # at 12 s
    assert usage == DeviceUsage(seconds=4.0, joules=1200.0, busy_seconds=pytest.approx(3.6))
    assert usage.metrics(5.0) == {"energy_joules": 1500.0, "device_idle_share": pytest.approx(0.1)}


def test_an_unreadable_sensor_gives_no_metrics(monkeypatch):
    def absent(_):
        raise ModuleNotFoundError("pynvml")

    meter = gpu_meter(monkeypatch, absent, lambda _: 90)
    usage = DeviceUsage()
    meter.add_to(usage)
    meter.add_to(usage)
    assert not meter.works
    assert usage.metrics(5.0)["energy_joules"] is None
