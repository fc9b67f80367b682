"""Claims about speed on a GPU: matrix products of vocabularies, and a pretraining step of LLaMA-7B's shape."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_setting import Claim, Finding, Setting
from pretraining_case import LORA, deterministic_kernels, release
from torch import Tensor

from clinical_peft.models.bases import DTYPES
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.tokens.reading import Ids
from clinical_peft.training import attention
from clinical_peft.training.activations import free_bytes, layers_to_recompute
from clinical_peft.training.language_loop import train_language_model
from clinical_peft.training.language_loss import linear_cross_entropy
from clinical_peft.training.language_run import LanguageState
from clinical_peft.training.throughput import flops_per_token, matrix_ceiling, matrix_parameters, peak_memory_bytes

VOCABULARIES = ((32000, 32001), (128256, 128257))  # with a padding token added, and without
LEAST_ODD = 0.8
ROWS = (8, 32, 64)  # of the context's length, in a forward pass
SMALL_ROWS = (4,)
UPDATES = 4
SHARE = 0.6  # of what a large matrix product reaches
COMPILING_SECONDS = 100
ORIGINAL_ROWS = 16


def vocabularies(setting: Setting) -> Iterator[Finding]:
    """Time the cross-entropy over even and odd vocabularies."""
    width, rows = (64, 64) if setting.small else (4096, 8192)
    dtype = DTYPES[setting.precision]
    tflops = {}
    for count in (count for pair in VOCABULARIES for count in pair):
        hidden = torch.randn(rows, width, device=setting.device).to(dtype).requires_grad_()
        matrix = torch.randn(count, width, device=setting.device).to(dtype)
        targets = torch.randint(0, count, (rows,), device=setting.device)

        def step(hidden: Tensor = hidden, matrix: Tensor = matrix, targets: Tensor = targets) -> None:
            linear_cross_entropy(hidden, matrix, targets).backward()

        tflops[count] = 4 * rows * width * count / _seconds(setting, step) / 1e12
    slowest = min(tflops[odd] / tflops[even] for even, odd in VOCABULARIES)
    claim = "a padding token does not slow the cross-entropy down"
    holds = slowest > LEAST_ODD if setting.gpu and not setting.small else None
    yield Finding(claim, holds, {"tflops": tflops, "slowest_odd_over_even": slowest})


def _seconds(setting: Setting, step: Callable[[], Any], turns: int = 3) -> float:
    step()
    best = math.inf
    for _ in range(turns):
        setting.wait()
        started = time.perf_counter()
        step()
        setting.wait()
        best = min(best, time.perf_counter() - started)
    return best


class _Speeds:
    """Trains one adapter on the same documents by several methods and measures the speed of each."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.model = setting.adapted(setting.network(setting.large, DTYPES[setting.precision]))
        self.documents = setting.documents(32 if setting.small else 256, shape=setting.large)
        self.tokens = sum(map(len, self.documents))
        self.ceiling = matrix_ceiling(setting.device, setting.precision)
        parameters = matrix_parameters(attention.base_network(self.model))
        self.flops = flops_per_token(LORA, parameters)

    def share(self, tokens_per_second: float) -> float:
        """Share of the ceiling that useful arithmetic reaches."""
        return tokens_per_second * self.flops / self.ceiling

    def measure(self, name: str, train: Callable[[], LanguageState | None], speeds: dict[str, float]) -> Finding:
        """Train twice, the first time to warm up, and tell the speed of the second."""
        release()
        if self.setting.gpu:
            torch.cuda.reset_peak_memory_stats()
        try:
            train()
            self.setting.wait()
            started = time.perf_counter()
            state = train()
            self.setting.wait()
        except torch.OutOfMemoryError:
            speeds[name] = 0.0
            return Finding(f"speed: {name}", None, {"out_of_memory": True})
        speeds[name] = self.tokens / (time.perf_counter() - started)
        facts = {
            "tokens_per_second": speeds[name],
            "share_of_ceiling": self.share(speeds[name]),
            "peak_bytes": peak_memory_bytes(self.setting.device),
            **(state.usage.metrics(state.seconds) if state is not None else {}),
        }
        return Finding(f"speed: {name}", None, facts)

    def ours(self, rows: int, *, packed: bool, compiled: bool = False) -> Callable[[], LanguageState]:
        """Return this project's training, in passes of so many rows."""
        recipe = LanguageRecipe(
            learning_rate=3e-4,
            context=self.setting.context,
            batch_tokens=self.tokens // UPDATES,
            micro_batch_tokens=rows * self.setting.context,
            evaluations=1,
            precision=self.setting.precision,
            compile=compiled,
        )

        def train() -> LanguageState:
            with tempfile.TemporaryDirectory() as work:
                return train_language_model(
                    self.model, self.setting.run(self.documents, Path(work), recipe, packed=packed)
                )

        return train

    def original(self) -> None:
        """Train as the original's loop does: rows padded to the context, a mask, logits of every position."""
        attention.set_layout(self.model, "grouped")
        self.model.train()
        optimizer = torch.optim.AdamW([value for value in self.model.parameters() if value.requires_grad], lr=3e-4)
        for update in range(UPDATES):
            mine = self.documents[update::UPDATES]
            for first in range(0, len(mine), ORIGINAL_ROWS):
                ids, mask = self._padded(mine[first : first + ORIGINAL_ROWS])
                labels = ids.masked_fill(mask == 0, -100)
                with self.setting.autocast(self.setting.precision):
                    found = self.model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False)
                found.loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _padded(self, documents: Sequence[Ids]) -> tuple[Tensor, Tensor]:
        ids = np.zeros((len(documents), self.setting.context), np.int64)
        mask = np.zeros_like(ids)
        for row, document in enumerate(documents):
            ids[row, : len(document)], mask[row, : len(document)] = document, 1
        return torch.from_numpy(ids).to(self.setting.device), torch.from_numpy(mask).to(self.setting.device)

    def recomputed_layers(self, rows: int) -> int:
        """Return how many layers `checkpointing: auto` recomputes in passes of so many rows."""
        context = self.setting.context
        recipe = LanguageRecipe(learning_rate=1.0, context=context, precision=self.setting.precision)
        loss = self.setting.run(self.documents, Path(), recipe, packed=True).loss
        self.model.train()

        def forward(tokens: int) -> Tensor:
            width = min(context, tokens)
            with self.setting.autocast(self.setting.precision):
                return loss(self.model, [np.full(width, 5, np.int32)] * (tokens // width), key=(0,))[0]

        free = free_bytes(self.setting.device)
        return layers_to_recompute("auto", self.model, forward, tokens=rows * context, free=free, has_cache=False)


def pretraining(setting: Setting) -> Iterator[Finding]:
    """Time a pretraining step of LLaMA-7B's shape in several ways."""
    speeds: dict[str, float] = {}
    ways = _Speeds(setting)
    sizes = SMALL_ROWS if setting.small else ROWS
    layers = {rows: ways.recomputed_layers(rows) for rows in sizes}
    yield Finding("layers that `checkpointing: auto` recomputes, by rows", None, {"layers": layers})
    for rows in sizes:
        yield ways.measure(f"packed, {rows} rows", ways.ours(rows, packed=True), speeds)
    fastest = max(sizes, key=lambda rows: speeds[f"packed, {rows} rows"])
    yield ways.measure("original's loop", lambda: ways.original(), speeds)
    yield ways.measure("grouped", ways.ours(fastest, packed=False), speeds)
    torch.use_deterministic_algorithms(False)
    yield ways.measure("any kernels", ways.ours(fastest, packed=True), speeds)
    with deterministic_kernels():
        yield ways.measure("deterministic kernels", ways.ours(fastest, packed=True), speeds)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if setting.gpu and setting.seconds_left() > COMPILING_SECONDS:
        yield ways.measure("compiled", ways.ours(fastest, packed=True, compiled=True), speeds)
    best = max(speed for name, speed in speeds.items() if name != "original's loop")
    plain, again = max(speeds["original's loop"], 1e-9), max(speeds["deterministic kernels"], 1e-9)
    yield Finding(
        f"a training step reaches {SHARE:.0%} of a large matrix product",
        ways.share(best) >= SHARE if setting.gpu and not setting.small else None,
        {
            "share_of_ceiling": ways.share(best),
            "over_original": best / plain,
            "any_over_deterministic_kernels": speeds["any kernels"] / again,
            "compiled_over_not": speeds["compiled"] / again if "compiled" in speeds else None,
        },
    )


CLAIMS = (
    Claim("vocabularies", 8, vocabularies),
    Claim("pretraining speed", 150, pretraining),
)
