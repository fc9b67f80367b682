"""The steps of cohorts and corpora as they may be published; see `clinical_peft.disclosure.counts`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from clinical_peft.disclosure.counts import shown_counts, shown_totals

Step = Mapping[str, Any]
KINDS = ("rows", "patients")


def published_attrition(
    attrition: Mapping[str, Sequence[Step]], untold: Collection[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """Hide totals between which a step drops few, and few of what it drops besides.

    A step that cohorts share (the same steps before it, with the same counts) is shown for all of them or for none.

    Args:
        attrition: By task, the ordered steps of its cohort, each {step, unit, rows, patients} and perhaps left_out or
            joined (the steps of a table).
        untold: Tasks that hide the size of their cohort, from `untold_cohorts`; they show no total.

    Returns:
        The same with rows and patients None where they are hidden.
    """
    shown: dict[str, list[list[bool]]] = {kind: [] for kind in KINDS}
    for steps in attrition.values():
        for kind in KINDS:
            shown[kind].append(_shown(steps, kind))
    for flags in shown.values():
        _agree(list(attrition.values()), flags)
        for number, task in enumerate(attrition):
            if task in untold:
                flags[number] = [False] * len(flags[number])
    return {
        task: [
            _published(step, {kind: shown[kind][number][place] for kind in KINDS}) for place, step in enumerate(steps)
        ]
        for number, (task, steps) in enumerate(attrition.items())
    }


def untold_cohorts(statistics: Sequence[Mapping[str, Any]]) -> set[str]:
    """Tasks whose cohorts do not say how many admissions they have, from what `describe_cohorts` published."""
    return {row["task"] for row in statistics if "admissions" in row and row["admissions"] is None}


def _shown(steps: Sequence[Step], kind: str) -> list[bool]:
    """Flags of a chain, in parts: where a row becomes something else, rows are not compared."""
    flags: list[bool] = []
    start = 0
    for place in range(1, len(steps) + 1):
        if place == len(steps) or (kind == "rows" and steps[place]["unit"] != steps[start]["unit"]):
            flags += shown_totals([int(step[kind]) for step in steps[start:place]])
            start = place
    return flags


def _agree(chains: Sequence[Sequence[Step]], flags: list[list[bool]]) -> None:
    """Hide a step for all cohorts that share it where one of them hides it."""
    prefixes: dict[str, list[tuple[int, int]]] = {}
    for number, steps in enumerate(chains):
        for place in range(len(steps)):
            prefixes.setdefault(repr(list(steps[: place + 1])), []).append((number, place))
    for members in prefixes.values():
        # The last step of a cohort is the cohort.
        inner = [(number, place) for number, place in members if place < len(chains[number]) - 1]
        together = all(flags[number][place] for number, place in inner)
        for number, place in inner:
            flags[number][place] = together


def _published(step: Step, shown: Mapping[str, bool]) -> dict[str, Any]:
    found = {**step, **{kind: step[kind] if shown[kind] else None for kind in KINDS}}
    if "left_out" in step:
        found["left_out"] = shown_counts(step["left_out"])
    if "joined" in step:
        found["joined"] = published_attrition({"": step["joined"]})[""]
    return found
