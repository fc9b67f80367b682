"""Classifiers on a base network, with a clinical adapter, a task adapter, both or neither.

A variant says which adapters take part in the forward pass and which parameters are trained; nothing is left to what
PEFT does by default, and `check_gradients` proves it on a real backward pass. A clinical adapter is loaded first and
without its task type, since a language model's adapter type breaks on a classifier. PEFT neither puts a second adapter
into the forward pass nor keeps the first one frozen of its own accord, so both are set here by name.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn

from clinical_peft.errors import TrainingError
from clinical_peft.methods import PREFIXES, find_peft_method
from clinical_peft.models.adapters import load_adapter, quiet_peft, read_adapter_config
from clinical_peft.models.bases import BaseIdentity, load_classifier, read_identity
from clinical_peft.models.digests import tensor_digest
from clinical_peft.models.gradients import check_reached
from clinical_peft.models.heads import draw_head, float32_head, head_spread
from clinical_peft.models.initial_parts import keep_initial
from clinical_peft.models.new_adapters import expand_all_linear, one_line, require_patterns, require_targets
from clinical_peft.models.pooling import Pooling, find_pooling
from clinical_peft.models.prompts import ENCODER, add_prompt, prompt_of
from clinical_peft.recipes import Precision
from clinical_peft.recipes.classifier_adapters import refuse_clinical, refuse_task
from clinical_peft.recipes.families import Family
from clinical_peft.recipes.variants import CLINICAL, TASK, Variant


@dataclass
class Classifier:
    """A classifier ready to train.

    Attributes:
        network: Sequence classifier of `transformers`; adapters, if any, are injected into it.
        adapted: PEFT's wrapper around `network`, or None without adapters.
        variant: What the classifier consists of.
        base: Base that it belongs to.
        clinical_folder: Folder of the clinical adapter that was loaded, or None.
        every_position: Let the last layer compute more than the position that is pooled.
    """

    network: Any
    adapted: PeftModel | None
    variant: Variant
    base: BaseIdentity
    clinical_folder: Path | None
    every_position: bool = False

    @property
    def family(self) -> Family:
        """Kind of base network."""
        return self.variant.family

    @property
    def pooling(self) -> Pooling:
        """Where its features and its head are."""
        return find_pooling(self.variant.family, self.variant.pooling)

    def features(self, input_ids: Tensor, lengths: Tensor, *, last_position: bool = False) -> Tensor:
        """Pooled features of shape (batch, hidden); see `clinical_peft.models.pooling.Pooling.features`."""
        return self.pooling.features(
            self.network, input_ids, lengths, last_position=last_position, every_position=self.every_position
        )

    def logits(self, features: Tensor) -> Tensor:
        """Logits of shape (batch, classes); see `clinical_peft.models.pooling.Pooling.logits`."""
        return self.pooling.logits(self.network, features)

    @property
    def complete_network(self) -> Any:
        """What computes logits by itself: the network, or PEFT's wrapper where that adds virtual tokens."""
        return self.network if prompt_of(self.network) is None else self.adapted

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name, in the network's order."""
        return {name: value for name, value in self.network.named_parameters() if value.requires_grad}

    def train_mode(self) -> None:
        """Switch dropout on in what is trained, and only there: a frozen part always gives the same output."""
        self.network.train()
        if self.variant.head_only:
            self.network.base_model.eval()
        for name, module in self.network.named_modules():
            if name.endswith(f"_dropout.{CLINICAL}"):
                module.train(CLINICAL in self.variant.trained)

    def eval_mode(self) -> None:
        """Switch dropout off everywhere."""
        self.network.eval()


def build_classifier(
    variant: Variant, base: Path, clinical: Path | None, *, classes: int, seed: int, precision: Precision = "fp32"
) -> Classifier:
    """Build a classifier, with gradients switched on for exactly the parameters that the variant trains.

    Args:
        variant: What the classifier consists of.
        base: Base folder.
        clinical: Folder of the clinical adapter, or None.
        classes: Number of classes K.
        seed: Seed of the head and the task adapter; the same head for every variant of a base.
        precision: Type of the base's weights.

    Raises:
        TrainingError: An adapter is missing, of a kind that cannot be used so, of another base, or does not fit.
    """
    _check_possible(variant, precision)
    base, identity = Path(base), read_identity(base)
    if identity.family != variant.family:
        raise TrainingError(f"{base}: expected a base of family {variant.family}, found {identity.family}")
    if (clinical is None) != (variant.clinical is None):
        raise TrainingError(f"clinical adapter: expected {variant.clinical or 'none'}, found folder {clinical}")
    if clinical is not None:
        _check_clinical_kind(variant, clinical, identity)
    network: Any = load_classifier(base, classes, seed=seed, precision=precision)
    draw_head(float32_head(network, variant.family), spread=head_spread(network), seed=seed)
    adapted: PeftModel | None = None
    if clinical is not None:
        adapted = load_adapter(network, clinical, base=identity, adapter_name=CLINICAL, task_type=None)
        if variant.clinical == "merged":
            network, adapted = adapted.merge_and_unload(safe_merge=True), None
    if variant.task_method is not None:
        adapted = _add_task_adapter(network, adapted, variant, seed, base)
    if adapted is not None and prompt_of(network) is None:
        adapted.base_model.set_adapter(list(variant.active))
        found = tuple(adapted.base_model.active_adapters)
        if found != variant.active:
            raise TrainingError(f"active adapters: expected {variant.active}, found {found}")
    names = trained_names(network, variant)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in names)
    return Classifier(network, adapted, variant, identity, clinical)


def _check_possible(variant: Variant, precision: Precision) -> None:
    if precision == "nf4" and (variant.full or variant.clinical == "merged"):
        how = "full fine-tuning trains" if variant.full else "merging changes"
        raise TrainingError(f"precision nf4: {how} the base's matrices, which four bits cannot hold; use bf16")
    method = variant.task_method
    if method is None:
        return
    if precision == "nf4" and not method.can.four_bits:
        raise TrainingError(f"task adapter: {method.title} cannot train a base in nf4; use bf16")
    if refusal := refuse_task(method, variant.clinical, family=variant.family):
        raise TrainingError(f"task adapter: {refusal}")


def _check_clinical_kind(variant: Variant, clinical: Path, identity: BaseIdentity) -> None:
    kind = str(read_adapter_config(clinical, base=identity).peft_type).rsplit(".", 1)[-1]
    method, task_adapter = find_peft_method(kind), variant.task_method is not None
    if refusal := refuse_clinical(method, variant.clinical, task_adapter=task_adapter, kind=kind):
        raise TrainingError(f"{clinical}: {refusal}")
    task = variant.task_method
    if task is not None and variant.clinical in ("frozen", "trainable") and kind != task.peft_type:
        raise TrainingError(
            f"{clinical}: a task adapter of type {task.type} cannot share a network with a clinical adapter of type "
            f"{kind}; set clinical_mode to merged"
        )


def _add_task_adapter(network: Any, adapted: PeftModel | None, variant: Variant, seed: int, base: Path) -> PeftModel:
    method = variant.task_method
    assert method is not None
    pooling = find_pooling(variant.family)
    config = method.peft_config(total_steps=1, task_type="SEQ_CLS" if method.virtual_tokens else None, base=base)
    if variant.task_active:
        config.modules_to_save = [pooling.head]
    expand_all_linear(network, config, apart=pooling.new_weights)
    require_targets(network, getattr(config, "target_modules", None) or ())
    require_patterns(network, config)
    try:
        with torch.random.fork_rng(), quiet_peft():
            torch.manual_seed(seed)
            if adapted is None:
                adapted = get_peft_model(network, config, adapter_name=TASK)
            else:
                adapted.add_adapter(TASK, config)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TrainingError(f"task adapter: it does not fit the base: {one_line(error)}") from None
    if method.takes_part_of_base:
        keep_initial(adapted, TASK)
    if method.virtual_tokens:
        add_prompt(network, adapted)
    return adapted


def trained_names(network: nn.Module, variant: Variant) -> set[str]:
    """Name the parameters that a variant trains: the head, and every matrix of its trained adapters.

    Args:
        network: Sequence classifier with its adapters injected.
        variant: What the classifier consists of.

    Returns:
        Names as in `network.named_parameters()`.
    """
    names = [name for name, _ in network.named_parameters()]
    if variant.full:
        return set(names)
    head = find_pooling(variant.family).head
    # A task adapter carries its own copy of the head; PEFT keeps the original beside it.
    prefixes = [f"{head}.modules_to_save.{TASK}." if TASK in variant.active else f"{head}."]
    if variant.task_method is not None and variant.task_method.virtual_tokens:
        prefixes.append(f"{ENCODER}.{TASK}.")
    found = rf"\.({'|'.join(PREFIXES)})\w+\.({'|'.join(variant.trained)})(\.|$)"
    matrices = re.compile(found) if variant.trained else None
    return {name for name in names if name.startswith(tuple(prefixes)) or (matrices and matrices.search(name))}


def check_gradients(classifier: Classifier, loss: Tensor) -> None:
    """Run a backward pass and check that gradients reach exactly the parameters that the variant trains.

    Args:
        classifier: The classifier; its gradients are reset afterwards.
        loss: Scalar loss of a forward pass.

    Raises:
        TrainingError: A parameter has a gradient that should have none, or the reverse.
    """
    check_reached(classifier.network, loss, expected=trained_names(classifier.network, classifier.variant))


def frozen_digest(classifier: Classifier) -> str:
    """SHA-256 of every parameter and buffer that is not trained."""
    trained = classifier.trained_parameters()
    everything = [*classifier.network.named_parameters(), *classifier.network.named_buffers()]
    return tensor_digest((name, tensor) for name, tensor in everything if name not in trained)
