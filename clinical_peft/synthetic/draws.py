"""Random draws of one patient, and the small template grammar that turns them into varied phrases."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

_STANDARD_NORMAL = NormalDist()
_NO_SLOTS: Mapping[str, str] = {}
_PART = re.compile(r"\[([^\]]*)\]|<([\d.]+)-([\d.]+)>|\{(\w+)\}")


class Draws:
    """Random numbers of one stream, seeded from a key alone.

    Uniform numbers are drawn in blocks: a scalar draw from a numpy generator costs some fifty times more, and a
    note needs a few hundred.
    """

    __slots__ = ("uniform",)

    def __init__(self, *key: int, block: int = 256) -> None:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
        self.uniform = _uniform_numbers(generator, block).__next__

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.uniform() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one item, each as likely as the others."""
        return items[int(self.uniform() * len(items))]

    def weighted(self, items: Sequence[Item], cumulative: Sequence[float]) -> Item:
        """Return one item; ``cumulative`` holds the running sum of the weights."""
        threshold = self.uniform() * cumulative[-1]
        return next(item for item, bound in zip(items, cumulative, strict=True) if threshold < bound)

    def integer(self, low: int, high: int) -> int:
        """Return an integer of [low, high]."""
        return low + int(self.uniform() * (high - low + 1))

    def normal(self, mean: float = 0.0, deviation: float = 1.0) -> float:
        """Return a normally distributed number."""
        return mean + deviation * _STANDARD_NORMAL.inv_cdf(max(self.uniform(), 1e-12))

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Return the items in random order."""
        keyed = [(self.uniform(), position) for position in range(len(items))]
        return [items[position] for _, position in sorted(keyed)]


def _uniform_numbers(generator: np.random.Generator, block: int) -> Iterator[float]:
    while True:
        yield from generator.random(block).tolist()


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str


@dataclass(frozen=True, slots=True)
class _Range:
    low: float
    high: float
    decimal: bool

    def write(self, uniform: float) -> str:
        if self.decimal:
            return f"{self.low + uniform * (self.high - self.low):.1f}"
        return str(int(self.low + uniform * (self.high - self.low + 1)))


class Template:
    """A phrase with choices.

    ``[a|b|]`` is one of the alternatives (here a, b or nothing), ``<78-92>`` a whole number and ``<1.1-2.4>`` a
    number with one decimal of that range, ``{name}`` a slot. An alternative may hold ranges and slots.
    """

    __slots__ = ("_parts",)

    def __init__(self, source: str) -> None:
        parts: list[str | tuple[str | Template, ...] | _Range | _Slot] = []
        position = 0
        for match in _PART.finditer(source):
            if match.start() > position:
                parts.append(source[position : match.start()])
            choices, low, high, slot = match.groups()
            if choices is not None:
                parts.append(tuple(_alternative(choice) for choice in choices.split("|")))
            elif slot is not None:
                parts.append(_Slot(slot))
            else:
                parts.append(_Range(float(low), float(high), "." in low))
            position = match.end()
        if position < len(source):
            parts.append(source[position:])
        self._parts = tuple(parts)

    def write(self, draws: Draws, slots: Mapping[str, str] = _NO_SLOTS) -> str:
        """Return the phrase with every choice drawn and every slot filled.

        Raises:
            KeyError: A slot of the template has no value.
        """
        uniform = draws.uniform
        words: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                words.append(part)
            elif isinstance(part, tuple):
                chosen = part[int(uniform() * len(part))]
                words.append(chosen if isinstance(chosen, str) else chosen.write(draws, slots))
            elif isinstance(part, _Range):
                words.append(part.write(uniform()))
            else:
                words.append(slots[part.name])
        return "".join(words)


def _alternative(source: str) -> str | Template:
    return Template(source) if _PART.search(source) else source


Bank = tuple[Template, ...]


def bank(*sources: str) -> Bank:
    """Return templates of which one is drawn at a time."""
    return tuple(Template(source) for source in sources)


def write(draws: Draws, templates: Bank, slots: Mapping[str, str] = _NO_SLOTS) -> str:
    """Draw one template of a bank and write it."""
    return templates[int(draws.uniform() * len(templates))].write(draws, slots)
