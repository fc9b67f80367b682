"""Families of base networks: what a study has to know of them before one is loaded.

Where a family's features and its head are says `clinical_peft.models.pooling`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from clinical_peft.errors import ConfigError

Family = Literal["causal", "encoder"]


@dataclass(frozen=True, kw_only=True)
class BaseFamily:
    """A family of base networks.

    Attributes:
        network: What a network of the family is called.
        is_decoder: Whether it predicts the next token, reading from left to right: such a base takes clinical adapters.
        shares_features: Whether the pooled features of a frozen network are the same for every seed of a classifier.
        special_tokens: Special tokens of a tokenizer that is trained for it, in the order of their ids.
        frame: Of these, the tokens at start and end of a text.
    """

    network: str
    is_decoder: bool
    shares_features: bool
    special_tokens: Mapping[str, str]
    frame: tuple[str, str]


FAMILIES: dict[Family, BaseFamily] = {
    "causal": BaseFamily(
        network="causal language model",
        is_decoder=True,
        shares_features=True,
        special_tokens={"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        frame=("<s>", "</s>"),
    ),
    "encoder": BaseFamily(
        network="masked language model",
        is_decoder=False,
        # A pooler that the base lacks is drawn anew for every seed.
        shares_features=False,
        special_tokens={
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        frame=("[CLS]", "[SEP]"),
    ),
}


def find_family(name: Family) -> BaseFamily:
    """Return a family by its name.

    Raises:
        ConfigError: There is no such family.
    """
    if name not in FAMILIES:
        raise ConfigError(f"family: expected one of {', '.join(FAMILIES)}, found {name}")
    return FAMILIES[name]
