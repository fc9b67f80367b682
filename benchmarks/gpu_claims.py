"""Claims about what is computed on a GPU: that it is what a CPU, or one document at a time, would give."""

import importlib.util
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from gpu_setting import Claim, Finding, Gradients, Setting, difference, distance, gradients, weights
from pretraining_case import LORA, PAD, described_device
from torch.nn import functional

from clinical_peft.models.adapters import load_adapter, save_adapter
from clinical_peft.models.bases import DTYPES, load_causal, read_identity
from clinical_peft.models.classifiers import build_classifier, check_gradients, frozen_digest
from clinical_peft.recipes import LanguageRecipe, Precision
from clinical_peft.recipes.variants import Variant
from clinical_peft.tokens.reading import Ids
from clinical_peft.training import attention
from clinical_peft.training.activations import decoder_layers, free_bytes, recomputed
from clinical_peft.training.compiling import compile_layers
from clinical_peft.training.language_loop import train_language_model
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.language_run import LanguageState
from clinical_peft.training.optimisation import to_device
from clinical_peft.training.throughput import matrix_ceiling, matrix_parameters

# Largest relative difference of the loss, and of the gradients, from those of one document at a time.
LIMITS: dict[Precision, tuple[float, float]] = {"fp32": (1e-5, 1e-3), "bf16": (3e-3, 4e-2)}
SAME_WEIGHTS = 1e-3
OTHER_PASSES = {True: 2e-2, False: 1e-4}  # of weights trained in passes of another size, by whether there is a GPU
LOGITS = {"fp32": 1e-4, "bf16": 2e-2}
RELOADED = 1e-4


def machine(setting: Setting) -> Iterator[Finding]:
    """Describe the machine, and check that its sensors give readings."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "small": setting.small,
        "device": setting.device.type,
        "gemm_tflops": matrix_ceiling(setting.device, setting.precision) / 1e12,
        **described_device(setting.device),
    }
    if setting.gpu:
        facts |= {"free_bytes": free_bytes(setting.device), "capability": torch.cuda.get_device_capability()}
        try:
            facts |= {"watts": torch.cuda.power_draw() / 1000, "busy": torch.cuda.utilization()}
        except Exception as error:  # of pynvml's own kinds, where it is installed
            facts["sensors"] = type(error).__name__
    yield Finding("machine", None, facts)


def equality(setting: Setting) -> Iterator[Finding]:
    """Compare every way of a training pass with one document at a time in float32."""
    documents = setting.documents(12)
    model = setting.adapted(setting.network(setting.middle, torch.float32))
    loss, expected = one_at_a_time(setting, model, documents)
    precisions: tuple[Precision, ...] = ("fp32", "bf16") if setting.gpu else ("fp32",)
    found: dict[str, tuple[float, float]] = {}
    failed: dict[str, tuple[float, float]] = {}

    def compare(name: str, precision: Precision, *, packed: bool, layers: int = 0) -> None:
        other, reached = training_pass(setting, model, documents, precision, packed=packed, layers=layers)
        found[name] = (abs(other / loss - 1), distance(reached, expected))
        if any(value > limit for value, limit in zip(found[name], LIMITS[precision], strict=True)):
            failed[name] = found[name]

    for precision in precisions:
        for packed in (False, True):
            for layers in (0, len(decoder_layers(model))):
                way = "packed" if packed else "grouped"
                compare(f"{precision}, {way}, {layers} layers recomputed", precision, packed=packed, layers=layers)
    if setting.gpu and compile_layers(model, setting.device):
        for packed in (False, True):
            compare(f"compiled, {'packed' if packed else 'grouped'}", setting.precision, packed=packed)
    yield Finding(
        "packed, grouped, recomputed and compiled passes equal one document at a time",
        not failed,
        {"loss_and_gradients_differ_by": found, "failed": failed, "limits": LIMITS},
    )


def one_at_a_time(setting: Setting, model: Any, documents: Sequence[Ids]) -> tuple[float, Gradients]:
    """Return loss and gradients per token, by transformers' own attention and logits."""
    attention.set_layout(model, "grouped")
    model.zero_grad(set_to_none=True)
    total, count = 0.0, 0
    for document in documents:
        ids = torch.from_numpy(document.astype("int64"))[None].to(setting.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        loss = functional.cross_entropy(logits.float(), ids[0, 1:], reduction="sum")
        loss.backward()
        total, count = total + loss.item(), count + len(document) - 1
    return total / count, gradients(model, count)


def training_pass(
    setting: Setting, model: Any, documents: Sequence[Ids], precision: Precision, *, packed: bool, layers: int
) -> tuple[float, Gradients]:
    """Return loss and gradients per token of one training pass over all documents."""
    model.zero_grad(set_to_none=True)
    model.train()
    with recomputed(model, layers), setting.autocast(precision):
        nll, count = CausalLoss(PAD, setting.device, packed=packed)(model, list(documents), key=(0,))
        nll.backward()
    return nll.item() / count, gradients(model, count)


class _Stopped(Exception):
    """The run was stopped on purpose."""


def training(setting: Setting) -> Iterator[Finding]:
    """Train twice, stopped and resumed, in passes of another size, and with too little memory."""
    documents = setting.documents(64)
    tokens = sum(map(len, documents))
    usual = {"batch_tokens": tokens // 8, "micro_batch_tokens": 4 * setting.context}

    def train(stop_after: int | None = None, **changes: Any) -> tuple[Gradients, LanguageState]:
        recipe = LanguageRecipe(
            learning_rate=1e-3,
            context=setting.context,
            evaluations=4,
            precision=setting.precision,
            checkpoint_seconds=0.0,
            **(usual | changes),
        )

        def stop(curve: Sequence[Mapping[str, float]]) -> None:
            if stop_after is not None and curve[-1]["step"] >= stop_after:
                raise _Stopped

        with tempfile.TemporaryDirectory() as work:
            for hooks in ({"on_evaluation": stop}, {}):
                model = setting.adapted(setting.network(setting.middle, DTYPES[setting.precision]))
                run = setting.run(documents, Path(work), recipe, packed=True, **hooks)
                try:
                    state = train_language_model(model, run)
                except _Stopped:
                    continue
                break
            return weights(model), state

    first, _ = train()
    for claim, changes, limit in (
        ("a run gives the same weights again", {}, SAME_WEIGHTS),
        ("a stopped and resumed run gives the same weights", {"stop_after": 4}, SAME_WEIGHTS),
        (
            "the size of a forward pass does not change training",
            {"micro_batch_tokens": setting.context},
            OTHER_PASSES[setting.gpu],
        ),
    ):
        found, state = train(**changes)
        apart = distance(found, first)
        facts = {"distance": apart, "bitwise": apart == 0.0, "limit": limit}
        yield Finding(claim, apart < limit, facts | state.usage.metrics(state.seconds))
    yield _out_of_memory(setting, lambda **changes: train(batch_tokens=tokens, checkpointing="none", **changes)[1])


def _out_of_memory(setting: Setting, train: Any) -> Finding:
    claim = "a pass too large for memory is halved, and training goes on"
    if not setting.gpu:
        return Finding(claim, None, {"why": "needs a GPU"})
    torch.cuda.empty_cache()
    wanted = 256 * setting.context
    allowed = torch.cuda.memory_reserved() + (400 << 20)
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / torch.cuda.mem_get_info()[1]))
    try:
        state = train(micro_batch_tokens=wanted)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return Finding(claim, state.micro_batch < wanted, {"asked": wanted, "kept": state.micro_batch})


def classifier(setting: Setting) -> Iterator[Finding]:
    """Build classifiers in both precisions; compare logits, padding, gradients and frozen weights."""
    ids, lengths = torch.randint(3, 4000, (6, 40)), torch.tensor([40, 3, 17, 40, 9, 28])
    worst: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        base, adapter = setting.base(Path(folder) / "base", "fp32"), Path(folder) / "adapter"
        save_adapter(setting.adapted(load_causal(base)), adapter, base=read_identity(base), card="")
        for name, variant in {
            "task adapter": Variant(family="causal", task_method=LORA),
            "trainable and task adapter": Variant(family="causal", clinical="trainable", task_method=LORA),
            "merged and task adapter": Variant(family="causal", clinical="merged", task_method=LORA),
        }.items():
            clinical = adapter if variant.clinical else None
            precisions: tuple[Precision, ...] = ("fp32", setting.precision)
            results = []
            for precision in precisions:
                together, alone = _logits(setting, variant, base, clinical, ids, lengths, precision)
                worst[f"{name}, {precision}, padded or alone"] = difference(alone, together)
                results.append(together)
            worst[f"{name}, {setting.precision} or fp32"] = difference(results[1], results[0])
    failed = {name: value for name, value in worst.items() if value > LOGITS["bf16" if "bf16" in name else "fp32"]}
    claim = "classifiers give the logits of float32, alone or padded; only what is trained has gradients"
    yield Finding(claim, not failed, {"logits_differ_by": worst, "failed": failed})


def _logits(
    setting: Setting,
    variant: Variant,
    base: Path,
    adapter: Path | None,
    ids: torch.Tensor,
    lengths: torch.Tensor,
    precision: Precision,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of notes in one pass and one by one; gradients and frozen weights are checked on the way."""
    built = build_classifier(variant, base, adapter, classes=5, seed=0, precision=precision)
    to_device(built.network, setting.device)
    frozen = frozen_digest(built)
    ids, lengths = ids.to(setting.device), lengths.to(setting.device)
    built.train_mode()
    with setting.autocast(precision):
        features = built.features(ids, lengths)
    logits = built.logits(features)
    check_gradients(built, logits.logsumexp(1).sum())
    if frozen_digest(built) != frozen:
        raise AssertionError("a frozen tensor has changed")
    rows = []
    with torch.no_grad(), setting.autocast(precision):
        for row, length in enumerate(lengths.tolist()):
            rows.append(built.logits(built.features(ids[row : row + 1, :length], lengths[row : row + 1])))
    return logits.detach().float().cpu(), torch.cat(rows).float().cpu()


def four_bits(setting: Setting) -> Iterator[Finding]:
    """Load a base in NF4, train an adapter on it, save and load that, and classify."""
    claim = "an adapter trained on a base in four bits comes back, and classifies"
    if not setting.gpu or importlib.util.find_spec("bitsandbytes") is None:
        yield Finding(claim, None, {"why": "needs a GPU and bitsandbytes"})
        return
    documents = setting.documents(24)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, adapter = setting.base(folder / "base", "bf16"), folder / "adapter"
        before = torch.cuda.memory_allocated()
        network = to_device(load_causal(base, precision="nf4"), setting.device).requires_grad_(False)
        taken = (torch.cuda.memory_allocated() - before) / matrix_parameters(network)
        model = setting.adapted(network)
        recipe = LanguageRecipe(
            learning_rate=1e-3,
            context=setting.context,
            batch_tokens=2000,
            micro_batch_tokens=4 * setting.context,
            precision="nf4",
            evaluations=1,
        )
        state = train_language_model(model, setting.run(documents, folder / "work", recipe, packed=True))
        save_adapter(model, adapter, base=read_identity(base), card="")
        fresh: Any = to_device(load_causal(base, precision="nf4"), setting.device)
        again = load_adapter(fresh, adapter, base=read_identity(base))
        losses = []
        for each in (model, again):
            each.eval()
            with torch.no_grad(), setting.autocast("nf4"):
                nll, _ = CausalLoss(PAD, setting.device, packed=True)(each, documents, key=(0,))
            losses.append(nll.item())
        variant = Variant(family="causal", clinical="trainable", task_method=LORA)
        ids, lengths = torch.randint(3, 4000, (4, 30)), torch.tensor([30, 4, 9, 30])
        together, _ = _logits(setting, variant, base, adapter, ids, lengths, "nf4")
    apart = abs(losses[1] / losses[0] - 1)
    facts = {"bytes_per_weight": taken, "reloaded_loss_differs_by": apart, "updates": state.step}
    yield Finding(claim, apart < RELOADED and bool(torch.isfinite(together).all()), facts)


MACHINE = (Claim("machine", 0, machine),)
CLAIMS = (
    Claim("equality of passes", 40, equality),
    Claim("training runs", 60, training),
    Claim("classifiers", 30, classifier),
    Claim("four bits", 40, four_bits),
)
