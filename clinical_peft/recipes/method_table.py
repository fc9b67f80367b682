"""The table of methods in docs/models.md, from what the methods say they can do.

`make methods` writes it there.
"""

from collections.abc import Iterator
from dataclasses import replace

from clinical_peft.methods import METHODS, Method
from clinical_peft.methods.lora import Lora

START, END = "<!-- methods: written by `make methods` -->", "<!-- end of methods -->"
HEADER = (
    "| `type` | method | trained on notes, decoder | clinical adapter of a classifier | task adapter, decoder "
    "| task adapter, encoder | after an active clinical adapter of its type | merged | base in four bits |"
)
FORMS: dict[str, Lora] = {
    "`lora`": Lora(),
    "`lora`, `rank_stabilised: true`": Lora(rank_stabilised=True),
    "`lora`, `dora: true`": Lora(dora=True),
    "`lora`, `loraplus_lr_ratio: 16`": Lora(loraplus_lr_ratio=16.0),
    "`lora`, `init_lora_weights: pissa` or `olora`": Lora(init_lora_weights="pissa"),
}
"""Forms of LoRA with a row each."""


def methods_table() -> str:
    """Return the table in Markdown."""
    rows = [HEADER, "|---" * (HEADER.count("|") - 1) + "|"]
    rows += [_row(name, method) for name, method in _named()]
    return "\n".join(rows) + "\n"


def _named() -> Iterator[tuple[str, Method]]:
    for name, method in METHODS.items():
        if isinstance(method, Lora):
            yield from ((form, replace(settings)) for form, settings in FORMS.items())
        else:
            yield f"`{name}`", method


def _row(name: str, method: Method) -> str:
    can = method.can
    clinical = "frozen" + (", trainable" if can.retrain else "") if can.classify else None
    cells = (
        _title(method),
        "yes",
        clinical,
        "yes" if can.adapt_task else None,
        "yes" if can.adapt_encoder else None,
        "yes" if can.follow else None,
        "yes" if can.merge else None,
        "yes" if can.four_bits else None,
    )
    return f"| {name} | " + " | ".join(cell or "–" for cell in cells) + " |"


def _title(method: Method) -> str:
    titles = {
        "adalora": "AdaLoRA",
        "adaption_prompt": "LLaMA-Adapter",
        "prefix_tuning": "prefix tuning",
        "prompt_tuning": "prompt tuning",
        "p_tuning": "P-tuning",
    }
    if method.takes_part_of_base:
        return "LoRA from a part of the base (PiSSA, OLoRA)"
    return titles.get(method.type, method.title)


def with_table(text: str) -> str:
    """Return a page with the table between its marks written anew.

    Args:
        text: The page.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"expected the lines {START} and {END}")
    return f"{before}{START}\n{methods_table()}{END}{after}"
