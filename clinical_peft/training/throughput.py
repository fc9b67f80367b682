"""Use of the device by a run: share of its peak arithmetic, energy, idle time.

Useful arithmetic is counted by the usual rule: a forward pass takes two floating-point operations per token and
parameter of a matrix product, the gradients of activations two more, those of trained weights another two. Attention
scores, padding, virtual tokens and recomputation do not count.
"""

import importlib
import importlib.util
import logging
import resource
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from clinical_peft.methods import Method
from clinical_peft.recipes import Precision

logger = logging.getLogger(__name__)

FORWARD, ACTIVATION_GRADIENTS, WEIGHT_GRADIENTS = 2, 2, 2
CEILING_SIZE = {"cpu": 1024, "cuda": 8192}
CEILING_SECONDS = 0.2
SAMPLE_SECONDS = 1.0


def matrix_parameters(network: nn.Module) -> int:
    """Count the parameters of a network's matrix products: every linear layer, the vocabulary's included.

    Token embeddings are looked up, not multiplied, and do not count; for LLaMA-7B this gives 6.607 billion.
    """
    layers = (module for module in network.modules() if isinstance(module, nn.Linear))
    return sum(layer.in_features * layer.out_features for layer in layers)


def flops_per_token(method: Method, parameters: int) -> int:
    """Return the useful operations of a training step per token: 4N for an adapter, 6N for full fine-tuning.

    Args:
        method: What is trained.
        parameters: From `matrix_parameters`, N; an adapter's own are too few to count.
    """
    trained = WEIGHT_GRADIENTS if method.trains_every_weight else 0
    return (FORWARD + ACTIVATION_GRADIENTS + trained) * parameters


@cache
def matrix_ceiling(device: torch.device, precision: Precision) -> float:
    """Measure how many floating-point operations per second a large matrix product reaches on a device.

    Takes a fraction of a second, once per process.

    Args:
        device: Where to measure.
        precision: Type of a run's activations.
    """
    size = CEILING_SIZE[device.type]
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator, device=device).to(dtype) for _ in range(2))
    product = left @ right
    best, until = 0.0, time.perf_counter() + CEILING_SECONDS
    while best == 0.0 or time.perf_counter() < until:
        _wait_for(device)
        started = time.perf_counter()
        torch.mm(left, right, out=product)
        _wait_for(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def peak_memory_bytes(device: torch.device) -> int:
    """Return the largest memory in use so far: of the GPU if there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class DeviceUsage:
    """What a GPU's sensors reported during a run; all zero where there are none.

    Attributes:
        seconds: Time for which they were read.
        joules: Energy used in that time.
        busy_seconds: Part of that time in which a kernel ran, as the driver counts it.
    """

    seconds: float = 0.0
    joules: float = 0.0
    busy_seconds: float = 0.0

    def metrics(self, seconds: float) -> dict[str, float | None]:
        """Return energy_joules of a whole run of `seconds`, and device_idle_share; None where nothing was reported."""
        if not self.seconds:
            return {"energy_joules": None, "device_idle_share": None}
        return {
            "energy_joules": self.joules / self.seconds * seconds,
            "device_idle_share": max(0.0, 1 - self.busy_seconds / self.seconds),
        }


class DeviceMeter:
    """Reads a GPU's power and load about once a second while a run goes on.

    Args:
        device: Where the run is.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.last = time.monotonic()
        self.errors = _sensor_errors()
        self.works = device.type == "cuda"

    def restart(self) -> None:
        """Start counting from now; the time before does not count."""
        self.last = time.monotonic()

    def add_to(self, usage: DeviceUsage) -> None:
        """Count the time since the last reading at what the sensors show now, if a second has passed."""
        now = time.monotonic()
        elapsed = now - self.last
        if not self.works or elapsed < SAMPLE_SECONDS:
            return
        try:
            watts, load = torch.cuda.power_draw(self.device) / 1000, torch.cuda.utilization(self.device) / 100
        except self.errors as error:
            logger.info("the device reports neither power nor load (%s)", type(error).__name__)
            self.works = False
            return
        self.last = now
        usage.seconds += elapsed
        usage.joules += watts * elapsed
        usage.busy_seconds += load * elapsed


def _sensor_errors() -> tuple[type[Exception], ...]:
    """Errors raised when a sensor cannot be read: pynvml is not installed, or has an error of its own."""
    if importlib.util.find_spec("pynvml") is None:
        return (ImportError, RuntimeError)
    return (ImportError, RuntimeError, importlib.import_module("pynvml").NVMLError)


def speed_metrics(
    *, method: Method, parameters: int, device: torch.device, precision: Precision, tokens_per_second: float
) -> dict[str, Any]:
    """Return what a training speed means on a device.

    Args:
        method: What was trained.
        parameters: From `matrix_parameters`.
        device: Where.
        precision: Type of the activations.
        tokens_per_second: Real tokens trained on per second.

    Returns:
        flops_per_token, ceiling_flops_per_second (of a matrix product, measured now), flops_utilisation (their quotient
        with the speed, between 0 and about 1).
    """
    useful, ceiling = flops_per_token(method, parameters), matrix_ceiling(device, precision)
    return {
        "flops_per_token": useful,
        "ceiling_flops_per_second": ceiling,
        "flops_utilisation": tokens_per_second * useful / ceiling,
    }
