"""The hospital's vocabulary, read from the data files in `words/`: phrases, conditions, codes and their titles."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from clinical_peft.synthetic.draws import Bank, bank

_FOLDER = files(__package__) / "words"


@cache
def read_words(name: str) -> dict[str, Any]:
    """Return the content of `words/{name}.toml`."""
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def read_list(name: str) -> tuple[str, ...]:
    """Return the words of `words/{name}.txt`."""
    return tuple((_FOLDER / f"{name}.txt").read_text(encoding="utf-8").split())


class Phrases:
    """The phrases of one file of words.

    Args:
        name: The file's name, without its ending.
    """

    def __init__(self, name: str) -> None:
        self._words = read_words(name)

    def bank(self, key: str) -> Bank:
        """Return the phrases of a key."""
        return bank(*self._words[key])

    def levels(self, key: str) -> tuple[Bank, ...]:
        """Return the phrases of each level, from the mildest to the worst."""
        return tuple(bank(*level) for level in self._words[key])

    def by_name(self, key: str) -> dict[str, Bank]:
        """Return the phrases of each name in a table."""
        return {name: bank(*phrases) for name, phrases in self._words[key].items()}


@dataclass(frozen=True)
class CodeRule:
    """One of `codes` is given with this probability.

    Codes are ICD-9-CM. Every rule holds codes of one group (three characters, four for V and E codes), so that the
    probability of a group follows from the conditions of an admission.
    """

    codes: tuple[str, ...]
    probability: float


def code_rules(entries: Sequence[dict[str, Any]]) -> tuple[CodeRule, ...]:
    """Return the rules that a file of words lists under one key."""
    return tuple(CodeRule(tuple(entry["codes"]), entry["probability"]) for entry in entries)
