"""The ways to train an adapter that the benchmarks of a pretraining step compare.

Each trains on the same documents in the same number of optimizer steps, and predicts every token but the first of each.
"""

import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pretraining_case import LORA, PAD, SEED, Case, SampleShards, Spent, deterministic_kernels, measured
from torch import Tensor
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from clinical_peft.recipes import LanguageRecipe
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.runtime.events import NullLog
from clinical_peft.tokens.reading import Ids
from clinical_peft.training.activations import decoder_layers
from clinical_peft.training.attention import base_network, layout_of, set_layout
from clinical_peft.training.language_loop import train_language_model
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.language_run import LanguageRun

IGNORED = -100
LEARNING_RATE = 3e-4
Batch = dict[str, Tensor]


@dataclass
class Way:
    """A way to train.

    Attributes:
        settings: What it was told, for the record.
        train: Trains on documents in so many optimizer steps; takes the size of a forward pass, in rows of the
            context's length.
        loss: Summed loss of documents by its own forward pass.
    """

    train: Callable[[list[Ids], int, int], Spent]
    loss: Callable[[list[Ids]], float]
    settings: dict[str, Any] = field(default_factory=dict)


def ways(case: Case, *, compiled: bool) -> tuple[dict[str, Way], dict[str, str]]:
    """Return the ways by name, and why those are missing that are.

    Args:
        case: What is trained.
        compiled: Compile ours, and run Trainer compiled, too.
    """
    missing = {}
    found = {
        "ours": ours(case, compiled=compiled),
        "original": original(case),
        "trainer, grouped": trainer(case, train_sampling_strategy="group_by_length"),
        "trainer, sorted": trainer(case, train_sampling_strategy="sequential"),
    }
    if case.device.type == "cuda":
        if compiled:
            found["trainer, compiled"] = trainer(case, train_sampling_strategy="sequential", torch_compile=True)
        if importlib.util.find_spec("liger_kernel"):
            found["trainer, liger"] = trainer(case, train_sampling_strategy="sequential", use_liger_kernel=True)
        else:
            missing["trainer, liger"] = "liger_kernel is not installed"
    if importlib.util.find_spec("trl") and importlib.util.find_spec("datasets"):
        found["trl, packing"] = trl(case)
    else:
        missing["trl, packing"] = "trl or datasets is not installed"
    return found, missing


def ours(case: Case, *, compiled: bool, attention: str = "auto") -> Way:
    """The training loop of this package."""
    settings = {"attention": attention, "compile": compiled, "checkpointing": "auto"}
    calls: list[Any] = []

    def recipe_for(documents: list[Ids], updates: int, rows: int) -> LanguageRecipe:
        return LanguageRecipe(
            learning_rate=LEARNING_RATE,
            context=case.context,
            batch_tokens=round(sum(map(len, documents)) / updates),
            micro_batch_tokens=rows * case.context,
            evaluations=1,
            precision=case.precision,
            threads=torch.get_num_threads(),
            **settings,
        )

    def loss_for(recipe: LanguageRecipe) -> CausalLoss:
        layout = layout_of(base_network(case.model), recipe, LORA, case.device)
        return CausalLoss(PAD, case.device, packed=layout == "packed")

    def train(documents: list[Ids], updates: int, rows: int) -> Spent:
        recipe = recipe_for(documents, updates, rows)
        with tempfile.TemporaryDirectory() as work:
            run = LanguageRun(
                title="ours",
                recipe=recipe,
                seed=SEED,
                shards=SampleShards(documents),
                loss=loss_for(recipe),
                device=case.device,
                work=Path(work),
                identity="",
                log=NullLog(),
                salt="",
                switches=resolve_switches("corrected", {}),
            )
            with deterministic_kernels(), _compiled_layers(case, calls), measured(case.device) as spent:
                state = train_language_model(case.model, run)
        if state.micro_batch < recipe.micro_batch_tokens:
            raise torch.OutOfMemoryError("the passes were halved")
        return spent

    def loss(documents: list[Ids]) -> float:
        objective = loss_for(recipe_for(documents, 1, 1))
        with torch.no_grad(), case.autocast(), deterministic_kernels():
            return objective(case.model, documents, key=(0,))[0].item()

    return Way(train, loss, settings | {"deterministic_kernels": True})


@contextmanager
def _compiled_layers(case: Case, calls: list[Any]) -> Iterator[None]:
    """Let the layers run compiled inside alone, and keep the compiled calls for the next turn."""
    layers = decoder_layers(case.model)
    for layer, call in zip(layers, calls, strict=False):
        layer._compiled_call_impl = call
    try:
        yield
    finally:
        calls[:] = [layer._compiled_call_impl for layer in layers]
        for layer in layers:
            layer._compiled_call_impl = None


def padded_batch(documents: list[Ids], width: int, device: torch.device) -> Batch:
    """Pad documents on the right, with attention mask and labels."""
    ids = torch.full((len(documents), width), PAD, dtype=torch.int64)
    for row, document in zip(ids, documents, strict=True):
        row[: len(document)] = torch.from_numpy(document.astype(np.int64))
    real = ids != PAD
    batch = {"input_ids": ids, "attention_mask": real.long(), "labels": ids.masked_fill(~real, IGNORED)}
    return {name: value.to(device) for name, value in batch.items()}


def predicted(batch: Batch) -> int:
    """Count the tokens of a batch that are predicted."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())


def _summed_loss(case: Case, batch: Batch) -> float:
    """Summed loss of a batch by the network's own logits, mask and positions as they are in the batch."""
    set_layout(case.model, "grouped")
    labels = batch.pop("labels")
    with torch.no_grad(), case.autocast():
        logits = case.model(**batch, use_cache=False).logits.float()
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    ).item()


def original(case: Case) -> Way:
    """The loop of the original: documents in random order, each padded to the context, with an attention mask."""

    def train(documents: list[Ids], updates: int, rows: int) -> Spent:
        set_layout(case.model, "grouped")
        case.model.train()
        order = np.random.default_rng(SEED).permutation(len(documents))
        parameters = [parameter for parameter in case.model.parameters() if parameter.requires_grad]
        with measured(case.device) as spent:
            optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE)
            for step in np.array_split(order, updates):
                parts = np.array_split(step, -(-len(step) // rows))
                for part in parts:
                    batch = padded_batch([documents[number] for number in part], case.context, case.device)
                    with case.autocast():
                        loss = case.model(**batch).loss / len(parts)
                    loss.backward()
                    loss.item()
                optimizer.step()
                optimizer.zero_grad()
        return spent

    def loss(documents: list[Ids]) -> float:
        return _summed_loss(case, padded_batch(documents, case.context, case.device))

    return Way(train, loss, {"padded_to": case.context, "attention_mask": True, "order": "random"})


class _Clock(TrainerCallback):
    """Measures from the first step to the end, without what Trainer prepares."""

    def __init__(self, device: torch.device) -> None:
        self.measuring = measured(device)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.spent = self.measuring.__enter__()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.measuring.__exit__(None, None, None)


def _arguments(case: Case, updates: int, rows: int, per_step: int) -> dict[str, Any]:
    accumulation = max(1, round(per_step / rows))
    return {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": accumulation,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "optim": "adamw_torch_fused",
        "bf16": case.precision == "bf16",
        "use_cpu": case.device.type == "cpu",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": SEED,
        "dataloader_pin_memory": case.device.type == "cuda",
    }


def _run(case: Case, make: Callable[[TrainerCallback], Trainer]) -> Spent:
    """Train with a Trainer and take off the model what it put there."""
    set_layout(case.model, "grouped")
    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
    clock = _Clock(case.device)
    try:
        made = make(clock)
        made.remove_callback(PrinterCallback)
        made.train()
    finally:
        for name in ("forward", "_original_forward"):
            case.model.__dict__.pop(name, None)
    return clock.spent


def trainer(case: Case, **further: Any) -> Way:
    """Trainer of transformers with PEFT in its best documented settings.

    Its length grouping sorts the documents of up to 50 steps, or a quarter of all of them. A sample is too short for
    that, so documents are also handed over sorted, which pads no more than grouping the longest corpus would.
    """
    settings = {"optim": "adamw_torch_fused", **further}
    presorted = settings.get("train_sampling_strategy") == "sequential"

    def collate(examples: list[dict[str, Any]]) -> Batch:
        documents = [example["input_ids"] for example in examples]
        return padded_batch(documents, max(map(len, documents)), torch.device("cpu"))

    def train(documents: list[Ids], updates: int, rows: int) -> Spent:
        with tempfile.TemporaryDirectory() as folder:
            arguments = _arguments(case, updates, rows, len(documents) // updates) | settings
            training = TrainingArguments(output_dir=folder, remove_unused_columns=False, **arguments)
            ordered = sorted(documents, key=len, reverse=True) if presorted else documents
            dataset: Any = [{"input_ids": document} for document in ordered]
            return _run(
                case,
                lambda clock: Trainer(case.model, training, collate, dataset, callbacks=[clock]),
            )

    def loss(documents: list[Ids]) -> float:
        return _summed_loss(case, padded_batch(documents, max(map(len, documents)), case.device))

    return Way(train, loss, settings)


def trl(case: Case) -> Way:
    """TRL's SFTTrainer with best-fit packing."""
    from datasets import Dataset, disable_progress_bars
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    vocabulary = {"<pad>": PAD} | {f"t{number}": number for number in range(1, case.shape.vocabulary)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="t1")), pad_token="<pad>", eos_token="t2"
    )
    settings = {"packing": True, "packing_strategy": "bfd", "optim": "adamw_torch_fused"}

    def make(documents: list[Ids], updates: int, rows: int, folder: str, callbacks: list[TrainerCallback]) -> Trainer:
        dataset = Dataset.from_list([{"input_ids": document.tolist()} for document in documents])
        blocks = -(-sum(map(len, documents)) // case.context)
        arguments = _arguments(case, updates, rows, -(-blocks // updates)) | settings
        config = SFTConfig(output_dir=folder, max_length=case.context, dataloader_drop_last=False, **arguments)
        model: Any = case.model
        return SFTTrainer(model, config, train_dataset=dataset, processing_class=tokenizer, callbacks=callbacks)

    def train(documents: list[Ids], updates: int, rows: int) -> Spent:
        with tempfile.TemporaryDirectory() as folder:
            return _run(case, lambda clock: make(documents, updates, rows, folder, [clock]))

    def loss(documents: list[Ids]) -> float:
        set_layout(case.model, "grouped")
        with tempfile.TemporaryDirectory() as folder:
            made = make(documents, 1, 1, folder, [])
            total = 0.0
            for batch in made.get_train_dataloader():
                inputs = {name: value.to(case.device) for name, value in batch.items() if torch.is_tensor(value)}
                total += _summed_loss(case, inputs)
        return total

    return Way(train, loss, settings)
