"""What the benchmarks of a pretraining step share: a network of a known shape, documents, and measures of a turn."""

import gc
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM

from clinical_peft.methods.lora import Lora
from clinical_peft.models.bases import DTYPES, llama_config
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.recipes import Precision, Shape
from clinical_peft.tokens.reading import Ids, TokenShards
from clinical_peft.training.attention import base_network, set_layout
from clinical_peft.training.optimisation import prepare_torch
from clinical_peft.training.throughput import CEILING_SIZE, flops_per_token, matrix_parameters

SHAPES = {
    "tiny": Shape(hidden_size=96, intermediate_size=256, layers=2, heads=4, vocabulary=4096, context=2048),
    "23m": Shape(hidden_size=512, intermediate_size=1376, layers=6, heads=8, vocabulary=4096, context=2048),
    "7b": Shape(hidden_size=4096, intermediate_size=11008, layers=32, heads=32, vocabulary=32000, context=2048),
}
PAD = 0
FIRST_ID = 3
SPREAD = 0.8  # of the logarithms of the lengths
LORA = Lora(r=16, alpha=32)
SEED = 0


@dataclass
class Case:
    """A network with a fresh adapter, and documents to train it on.

    Attributes:
        model: The network with its adapter.
        shape: Its dimensions.
        device: Where it is.
        precision: Type of the activations.
        context: Longest document.
        documents: Token ids of every document.
        updates: Optimizer steps of a pass over them.
        first: The adapter's first weights.
    """

    model: nn.Module
    shape: Shape
    device: torch.device
    precision: Precision
    context: int
    documents: list[Ids]
    updates: int
    first: dict[str, Tensor]

    @property
    def tokens(self) -> int:
        """Real tokens of all documents."""
        return sum(map(len, self.documents))

    @property
    def rows(self) -> int:
        """Documents of an optimizer step."""
        return len(self.documents) // self.updates

    def restart(self) -> None:
        """Put the adapter's first weights back."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(self.first[name])
        self.model.zero_grad(set_to_none=True)

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def build_case(shape: str, *, context: int, updates: int, rows: int, padding: float, threads: int) -> Case:
    """Build a network with random weights on the device, and documents of random ids.

    Args:
        shape: Name of a shape.
        context: Longest document.
        updates: Optimizer steps.
        rows: Documents per optimizer step.
        padding: Share of `context` that padding takes when every document is padded to it.
        threads: CPU threads.
    """
    device = prepare_torch(SEED, threads)
    # Deterministic kernels are this package's choice, not that of the ways it is compared with.
    torch.use_deterministic_algorithms(False)
    precision: Precision = "bf16" if device.type == "cuda" else "fp32"
    size = SHAPES[shape]
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[precision])
    try:
        with device:
            network = LlamaForCausalLM(llama_config(size, pad_token_id=PAD))
    finally:
        torch.set_default_dtype(before)
    network.requires_grad_(False)
    model = add_adapter(network, LORA, total_steps=updates, context=context).to(device)
    generator = torch.Generator().manual_seed(SEED)
    first = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            if "lora_B" in name:  # which starts at zero, so that a wrong adapter would go unnoticed
                parameter.data = (torch.randn(parameter.shape, generator=generator) / 100).to(device)
            first[name] = parameter.detach().clone()
    lengths = document_lengths(updates * rows, context=context, padding=padding)
    draw = np.random.default_rng(SEED)
    documents = [draw.integers(FIRST_ID, size.vocabulary, length, dtype=np.int32) for length in lengths]
    return Case(model, size, device, precision, context, documents, updates, first)


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """Ask for deterministic kernels inside, as `prepare_torch` does for this package's training."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def document_lengths(count: int, *, context: int, padding: float) -> np.ndarray:
    """Draw log-normal lengths, cut at the context, of which padding to the context makes the given share."""
    normal = np.random.default_rng(SEED).standard_normal(count)
    low, high = 0.0, 2 * math.log(context)
    for _ in range(60):
        middle = (low + high) / 2
        lengths = np.clip(np.exp(middle + SPREAD * normal), 8, context).astype(np.int64)
        low, high = (middle, high) if lengths.mean() < (1 - padding) * context else (low, middle)
    return lengths


class SampleShards(TokenShards):
    """Documents in memory as token shards: all of them to train on, and one of two tokens to validate on."""

    def __init__(self, documents: list[Ids]) -> None:
        self.folder = Path()
        rows = [*documents, np.array([FIRST_ID, FIRST_ID], np.int32)]
        self.lengths = np.array([len(row) for row in rows], np.int32)
        self._values = [np.concatenate(rows)]
        self._offsets = [np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int32)]
        self._documents = []
        self._splits = np.array([0] * len(documents) + [1], np.int8)
        self._starts = np.array([0, len(rows)])
        counts = {"rows": len(documents), "tokens": int(self.lengths[:-1].sum())}
        self.summary = {"pad_token_id": PAD, "truncate_and_pad": False, "splits": {"train": counts}}
        self.summary["context"] = int(self.lengths.max())


def reference_loss(case: Case, documents: list[Ids]) -> float:
    """Summed loss of a forward pass per document, in float32 and with the network's own attention and logits."""
    set_layout(case.model, "grouped")
    case.model.eval()
    narrow = [parameter for parameter in case.model.parameters() if parameter.dtype == torch.bfloat16]
    for parameter in narrow:
        parameter.data = parameter.data.float()
    total = 0.0
    with torch.no_grad():
        for document in documents:
            ids = torch.from_numpy(document.astype(np.int64))[None].to(case.device)
            logits = case.model(input_ids=ids, use_cache=False).logits[0, :-1]
            total += functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
    for parameter in narrow:
        parameter.data = parameter.data.bfloat16()
    return total


@dataclass
class Spent:
    """What a turn took: seconds by the clock and of the processor, peak bytes of a GPU, graphs that were compiled."""

    seconds: float = math.nan
    cpu_seconds: float = math.nan
    gpu_bytes: int = 0
    compiled: int = 0


@contextmanager
def measured(device: torch.device) -> Iterator[Spent]:
    """Measure what happens inside."""
    spent, graphs = Spent(), _graphs()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    cpu, wall = time.process_time(), time.perf_counter()
    yield spent
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        spent.gpu_bytes = torch.cuda.max_memory_allocated(device)
    spent.seconds, spent.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    spent.compiled = _graphs() - graphs


def _graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def gemm_flops(device: torch.device, precision: Precision) -> dict[str, float]:
    """Operations per second, and per second of the processor, of one large product of random matrices."""
    size = CEILING_SIZE[device.type]
    left, right = torch.randn(2, size, size, device=device).to(DTYPES[precision])
    best = {"seconds": 0.0, "cpu_seconds": 0.0}
    for _ in range(6):
        with measured(device) as spent:
            torch.mm(left, right)
        for name in best:
            best[name] = max(best[name], 2 * size**3 / max(getattr(spent, name), 1e-9))
    return best


def useful_flops(case: Case) -> int:
    """Floating-point operations that a pass over the documents needs; see `clinical_peft.training.throughput`."""
    return case.tokens * flops_per_token(LORA, matrix_parameters(base_network(case.model)))


def fastest_fitting(sizes: list[int], attempt: Callable[[int], float]) -> tuple[int, dict[str, float | None]]:
    """Try ascending sizes of a forward pass until memory runs out, and return the fastest.

    Args:
        sizes: To try.
        attempt: Runs with a size and returns seconds.

    Returns:
        The size, and the seconds of each; None for the one that did not fit.
    """
    tried: dict[str, float | None] = {}
    for size in sizes:
        try:
            tried[str(size)] = attempt(size)
        except torch.OutOfMemoryError:
            tried[str(size)] = None
            break
        finally:
            release()
    fitting = {int(size): seconds for size, seconds in tried.items() if seconds is not None}
    if not fitting:
        raise SystemExit(f"no forward pass fits, not even one of size {sizes[0]}")
    return min(fitting, key=lambda size: fitting[size]), tried


def release() -> None:
    """Give unused memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def load() -> float:
    """Processes that want the processor, averaged over a minute."""
    return os.getloadavg()[0]


def described_device(device: torch.device) -> dict[str, Any]:
    """Name and memory of a GPU; empty for a CPU."""
    if device.type == "cpu":
        return {}
    properties = torch.cuda.get_device_properties(device)
    return {"gpu": properties.name, "gpu_memory_gib": round(properties.total_memory / 2**30)}
