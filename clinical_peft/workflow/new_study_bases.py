"""The base of a new study with recipes that fit it: one trained here, from PyPI, from a folder, or from the Hub."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_peft.errors import ConfigError
from clinical_peft.workflow.new_study_names import plain_name
from clinical_peft.workflow.opened_study import CLONE
from clinical_peft.workflow.study_file import DEFAULT, read_study_file

TINY, SMOLLM2 = "tiny", "smollm2"
_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_LORA = {"type": "lora", "r": 16, "alpha": 32, "target_modules": "all-linear"}
_TASK_LORA = {"type": "lora", "r": 8, "alpha": 16, "target_modules": "all-linear"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A base and what trains it.

    Attributes:
        name: Its name in the study.
        base: Its entry of `bases`.
        remarks: Comments above the entry.
        adapter_method: Entry of `methods` for the adapter.
        task_method: Entry of `methods` for task adapters.
        sections: Sections of recipes; empty for the built-in defaults of real networks.
        head: Recipe of models that train a head alone.
    """

    name: str
    base: Mapping[str, Any]
    remarks: tuple[str, ...]
    adapter_method: Mapping[str, Any] = field(default_factory=lambda: {"label": "LoRA", "settings": _LORA})
    task_method: Mapping[str, Any] = field(default_factory=lambda: {"label": "task LoRA", "settings": _TASK_LORA})
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)


def recipe_of_base(base: str) -> Recipe:
    """Return the recipe of a base.

    Args:
        base: `tiny`, `smollm2`, the folder of a network, or `OWNER/NAME` on the Hugging Face Hub.

    Raises:
        ConfigError: It is none of these.
    """
    if base == TINY:
        return _tiny()
    if base == SMOLLM2:
        return _smollm2()
    if Path(base).expanduser().is_dir():
        source = {"kind": "local", "path": base}
        return _real(
            Path(base).expanduser().resolve().name, source, "From a folder with config, weights and tokenizer."
        )
    if _ON_HUB.fullmatch(base):
        source = {"kind": "hub", "id": base, "revision": "main"}
        remark = "From the Hugging Face Hub; write the commit in place of main, so that it stays the same."
        return _real(base.rpartition("/")[2], source, remark)
    raise ConfigError(
        f"--base: expected {TINY}, {SMOLLM2}, the folder of a network, or OWNER/NAME on the Hugging Face Hub, found "
        f"{base}"
    )


def _real(name: str, source: Mapping[str, Any], remark: str) -> Recipe:
    base = {"family": "causal", "label": name, "source": source}
    return Recipe(name=plain_name(name, "base").lower(), base=base, remarks=(remark,))


def _tiny() -> Recipe:
    """The network and the recipes of the embedded default study."""
    demo = read_study_file(CLONE / DEFAULT)
    return Recipe(
        name="tiny-llama",
        base=_without_published(demo["bases"]["tiny-llama"]) | {"label": demo["models"]["llama"]["label"]},
        remarks=(
            "A tiny network, trained here in a minute or two: it shows that the study works, not how good models are.",
            "A real one: {family: causal, label: NAME, source: {kind: hub, id: OWNER/NAME, revision: main}},",
            "without the sections pretraining and finetuning below.",
        ),
        adapter_method=_without_published(demo["methods"]["lora"]),
        task_method=demo["methods"]["task-lora"],
        sections={"pretraining": demo["pretraining"], "finetuning": demo["finetuning"]},
        head=demo["models"]["llama"]["recipe"],
    )


def _without_published(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without the row of the paper that stands beside it in the default study."""
    return {key: value for key, value in entry.items() if key != "published"}


def _smollm2() -> Recipe:
    study = read_study_file(CLONE / "config" / "smollm2.yaml")
    return Recipe(
        name="smollm2",
        base=study["bases"]["smollm2"],
        remarks=("SmolLM2 with 135 million parameters, which `make real-weights` installs.",),
        sections={"finetuning": {"context": 256}, "budget": study["budget"]},
    )
