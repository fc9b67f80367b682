"""Which adapters a classifier can carry, alone and together; asked of a study and again of the adapters' files."""

from typing import Literal

from clinical_peft.methods import METHODS, Method
from clinical_peft.recipes.families import Family, find_family

ClinicalMode = Literal["frozen", "trainable", "merged"]
"""Whether a clinical adapter stays as it is, is trained on, or is merged into the base."""


def refuse_clinical(method: Method | None, mode: ClinicalMode | None, *, task_adapter: bool, kind: str) -> str | None:
    """Explain why a classifier cannot use a clinical adapter; None if it can.

    Args:
        method: The adapter's method, or None for one that is none of this package.
        mode: What is done with the adapter.
        task_adapter: Whether a task adapter comes after it.
        kind: What the method is called in the message.
    """
    if method is None or not method.can.classify:
        able = ", ".join(name for name, each in METHODS.items() if each.can.classify)
        return (
            f"a classifier can use a clinical adapter of type {able}, found {kind}, which belongs to the language model"
        )
    if mode == "merged":
        return None if method.can.merge else f"{kind} cannot be merged into the base; choose another clinical_mode"
    if (mode == "trainable" and not method.can.retrain) or (task_adapter and not method.can.precede):
        return (
            f"an adapter of type {kind} cannot be trained further on a task nor share a network with a task adapter; "
            "set clinical_mode to merged"
        )
    return None


def refuse_task(
    method: Method, mode: ClinicalMode | None, *, family: Family, clinical: Method | None = None
) -> str | None:
    """Explain why a classifier cannot train a task adapter; None if it can.

    Args:
        method: The adapter's method.
        mode: What is done with the clinical adapter, or None without one.
        family: Family of the base.
        clinical: The clinical adapter's method, or None where it is not known; its files are looked at later.
    """
    if not method.can.adapt_task:
        able = ", ".join(name for name, each in METHODS.items() if each.can.adapt_task)
        return f"expected a method that can train a task adapter ({able}), found {method.type}"
    if not find_family(family).is_decoder and not method.can.adapt_encoder:
        return f"{method.type} puts virtual tokens before a note's first token, which an encoder pools; use a decoder"
    return _refuse_stack(method, clinical) if mode in ("frozen", "trainable") else None


def _refuse_stack(method: Method, clinical: Method | None) -> str | None:
    """Explain why a task adapter cannot come after an active clinical adapter; None if it can."""
    if not method.can.follow:
        return (
            f"{method.title} cannot follow a clinical adapter in the forward pass; set clinical_mode to merged, or "
            "choose another task adapter"
        )
    if clinical is None:
        return None
    if clinical.type != method.type:
        return (
            f"a task adapter of type {method.type} cannot share a network with a clinical adapter of type "
            f"{clinical.type}; set clinical_mode to merged, or choose a task adapter of type {clinical.type}"
        )
    for name in method.shared:
        ours, theirs = getattr(method, name), getattr(clinical, name)
        if ours != theirs:
            return f"{name}: the clinical adapter has {theirs} and the task adapter {ours}; give both the same"
    return None
