"""Which adapters a classifier can carry, alone and together; asked of a study and again of the adapters' files."""

from typing import Literal

from clinical_peft.methods import METHODS, Method

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


def refuse_task(method: Method, mode: ClinicalMode | None) -> str | None:
    """Explain why a classifier cannot train a task adapter; None if it can.

    Args:
        method: The adapter's method.
        mode: What is done with the clinical adapter, or None without one.
    """
    if not method.can.adapt_task:
        able = ", ".join(name for name, each in METHODS.items() if each.can.adapt_task)
        return f"expected a method that can train a task adapter ({able}), found {method.type}"
    if mode in ("frozen", "trainable") and not method.can.follow:
        return (
            f"{method.title} is defined on one weight matrix and cannot follow a clinical adapter in the forward pass; "
            "set clinical_mode to merged, or choose another task adapter"
        )
    return None
