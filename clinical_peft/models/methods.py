"""PEFT methods on a base network: their configurations, a fresh adapter, and AdaLoRA's allocation of ranks."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    AdaLoraModel,
    AdaptionPromptConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from torch import nn
from transformers import PreTrainedModel

from clinical_peft.errors import TrainingError
from clinical_peft.models.adapters import TaskType, quiet_peft
from clinical_peft.models.positions import longest_sequence
from clinical_peft.recipes.methods import (
    AdaLora,
    AdaptionPrompt,
    Lora,
    Method,
    PeftMethod,
    PrefixTuning,
    PromptTuning,
    PTuning,
)

SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def peft_config(
    method: PeftMethod, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
) -> PeftConfig:
    """Translate a method of a recipe into PEFT's configuration.

    Args:
        method: The method and its settings.
        total_steps: Optimizer steps of the run, by which AdaLoRA lays out its phases.
        task_type: `CAUSAL_LM` for language modelling; None on a classifier, whose head is not PEFT's business.
        base: Base folder, whose tokenizer reads the initial text of prompt tuning.

    Raises:
        TrainingError: The settings cannot work, for instance too short a run for AdaLoRA's phases.
    """
    match method:
        case Lora():
            return LoraConfig(
                task_type=task_type,
                r=method.r,
                lora_alpha=method.alpha,
                lora_dropout=method.dropout,
                use_rslora=method.rank_stabilised,
                use_dora=method.dora,
                target_modules=list(method.target_modules),
            )
        case AdaLora():
            return _adalora_config(method, total_steps, task_type)
        case AdaptionPrompt():
            return AdaptionPromptConfig(
                task_type=task_type, adapter_len=method.adapter_len, adapter_layers=method.adapter_layers
            )
        case PrefixTuning():
            return PrefixTuningConfig(
                task_type=task_type,
                num_virtual_tokens=method.num_virtual_tokens,
                prefix_projection=method.prefix_projection,
            )
        case PromptTuning():
            return _prompt_tuning_config(method, task_type, base)
        case PTuning():
            # PEFT's MLP encoder has a fixed depth and complains of any other.
            depth = {"encoder_num_layers": method.layers} if method.encoder == "LSTM" else {}
            return PromptEncoderConfig(
                task_type=task_type,
                num_virtual_tokens=method.num_virtual_tokens,
                encoder_reparameterization_type=method.encoder,
                encoder_hidden_size=method.hidden_size,
                encoder_dropout=method.dropout,
                **depth,
            )


def _adalora_config(method: AdaLora, total_steps: int, task_type: TaskType | None) -> AdaLoraConfig:
    initial, final = int(method.initial_ratio * total_steps), int(method.final_ratio * total_steps)
    if method.target_r >= method.init_r:
        raise TrainingError(
            f"adalora: expected target_r below init_r, found {method.target_r} and {method.init_r}; "
            "lower target_r, or use lora for a fixed rank"
        )
    if total_steps - final - initial < 2:
        raise TrainingError(
            f"adalora: {total_steps} optimizer steps leave no room between initial_ratio {method.initial_ratio} and "
            f"final_ratio {method.final_ratio} to allocate ranks; train longer or lower the ratios"
        )
    return AdaLoraConfig(
        task_type=task_type,
        init_r=method.init_r,
        target_r=method.target_r,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        tinit=initial,
        tfinal=final,
        deltaT=method.interval,
        beta1=method.beta,
        beta2=method.beta,
        orth_reg_weight=method.orthogonality,
        total_step=total_steps,
        target_modules=list(method.target_modules),
    )


def _prompt_tuning_config(method: PromptTuning, task_type: TaskType | None, base: Path | None) -> PromptTuningConfig:
    if method.init_text is None:
        return PromptTuningConfig(task_type=task_type, num_virtual_tokens=method.num_virtual_tokens)
    if base is None:
        raise ValueError("prompt tuning from an initial text needs the base folder for its tokenizer")
    return PromptTuningConfig(
        task_type=task_type,
        num_virtual_tokens=method.num_virtual_tokens,
        prompt_tuning_init="TEXT",
        prompt_tuning_init_text=method.init_text,
        tokenizer_name_or_path=str(base),
        tokenizer_kwargs={"local_files_only": True},
    )


def virtual_tokens(method: Method) -> int:
    """Return how many positions of the context a method takes up."""
    return method.num_virtual_tokens if isinstance(method, PrefixTuning | PromptTuning | PTuning) else 0


def add_adapter(model: PreTrainedModel, config: PeftConfig, *, context: int) -> PeftModel:
    """Put a fresh, trainable adapter on a base, whose own weights are frozen.

    Args:
        model: The base network.
        config: From `peft_config`.
        context: Longest sequence, in real tokens, that the adapted network will read.

    Returns:
        The adapted network; the adapter's name is `default`.

    Raises:
        TrainingError: The adapter does not fit the network.
    """
    layers = getattr(config, "adapter_layers", None)
    if layers is not None and layers > model.config.num_hidden_layers:
        raise TrainingError(
            f"adaption_prompt: adapter_layers is {layers}, but the base has {model.config.num_hidden_layers} layers; "
            "lower adapter_layers"
        )
    require_positions(model, context=context, prompt=getattr(config, "num_virtual_tokens", 0) or 0)
    require_targets(model, getattr(config, "target_modules", None) or ())
    try:
        with quiet_peft():
            return get_peft_model(model, config)
    except ValueError as error:
        raise TrainingError(f"{config.peft_type}: the adapter does not fit the base: {error}") from None


def require_targets(model: nn.Module, targets: Iterable[str]) -> None:
    """Check that a base has every layer that a method names; PEFT leaves out those that it does not find.

    Args:
        model: The base network, with or without adapters.
        targets: Names of layers, or ends of them from a dot on.

    Raises:
        TrainingError: One fits no layer.
    """
    names = [name for name, _ in model.named_modules()]
    absent = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names)]
    if absent:
        raise TrainingError(
            f"target_modules: the adapter does not fit the base, which has no layer {', '.join(sorted(absent))}; its "
            f"layers end in {', '.join(sorted(_matrices(model)))}"
        )


def _matrices(model: nn.Module) -> set[str]:
    """Last parts of the names of layers that hold a matrix, adapters' own left out."""
    own = ((name, dict(module.named_parameters(recurse=False))) for name, module in model.named_modules())
    found = (name.removesuffix(".base_layer") for name, held in own if "weight" in held and held["weight"].ndim == 2)
    return {name.rsplit(".", 1)[-1] for name in found if ".lora_" not in name}


def require_positions(model: PreTrainedModel, *, context: int, prompt: int = 0) -> None:
    """Check that a base has a position for every token that it will read.

    Args:
        model: The base network.
        context: Longest sequence, in real tokens.
        prompt: Virtual tokens in front of it.

    Raises:
        TrainingError: It has too few.
    """
    longest = longest_sequence(model)
    if longest is None or prompt + context <= longest:
        return
    if not prompt:
        raise TrainingError(f"context is {context} tokens, but the base has {longest} positions; lower context")
    raise TrainingError(
        f"a prompt of {prompt} virtual tokens and a context of {context} tokens make {prompt + context} "
        f"positions, but the base has {longest}; lower num_virtual_tokens or context"
    )


def allocate_ranks(model: PeftModel, step: int) -> None:
    """Let AdaLoRA move ranks to where they matter; does nothing for other methods.

    Call it between the optimizer's step and the reset of the gradients.

    Args:
        model: Network with one trainable adapter.
        step: Optimizer steps done so far, this one included.
    """
    if isinstance(model.base_model, AdaLoraModel):
        model.base_model.update_and_allocate(step)


def orthogonality_penalty(model: PeftModel) -> torch.Tensor | None:
    """Return AdaLoRA's weighted orthogonality penalty, a scalar with gradients; None for other methods.

    PEFT adds it only to a loss that the network itself computes. It is the mean over all matrices P (rank by width)
    and Q of the Frobenius norm of P P^T - I and Q^T Q - I (Zhang et al. 2023, equation 4, there with squared norms).
    """
    if not isinstance(model.base_model, AdaLoraModel):
        return None
    terms = []
    for name, parameter in model.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            gram = parameter @ parameter.T if ".lora_A." in name else parameter.T @ parameter
            terms.append(torch.linalg.norm(gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)))
    return model.peft_config["default"].orth_reg_weight * torch.stack(terms).mean()


def allocation_state(model: PeftModel) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what AdaLoRA's allocation remembers between updates: importance scores, and the ranks that are left.

    Both are empty for other methods.
    """
    if not isinstance(model.base_model, AdaLoraModel):
        return {}, {}
    allocator = model.base_model.rankallocator
    tensors = {f"{field}/{name}": value for field in SCORES for name, value in getattr(allocator, field).items()}
    return tensors, {"rank_pattern": model.peft_config["default"].rank_pattern}


def restore_allocation(model: PeftModel, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Put back what `allocation_state` returned."""
    if not isinstance(model.base_model, AdaLoraModel):
        return
    allocator = model.base_model.rankallocator
    device = next(model.parameters()).device
    for field in SCORES:
        found = {key.removeprefix(f"{field}/"): value for key, value in tensors.items() if key.startswith(f"{field}/")}
        setattr(allocator, field, {name: value.to(device) for name, value in found.items()})
    model.peft_config["default"].rank_pattern = state["rank_pattern"]


def remaining_ranks(model: PeftModel) -> list[int]:
    """Return how many ranks AdaLoRA has left each adapted matrix; empty for other methods or before allocation."""
    pattern = getattr(model.peft_config["default"], "rank_pattern", None)
    if not isinstance(model.base_model, AdaLoraModel) or not pattern:
        return []
    return [sum(ranks) for _, ranks in sorted(pattern.items())]
