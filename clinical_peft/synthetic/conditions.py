"""Conditions beside the main problem: chronic ones, and acute ones that are driven by severity."""

from dataclasses import dataclass
from typing import Any

from clinical_peft.synthetic.draws import Bank, bank
from clinical_peft.synthetic.words import CodeRule, code_rules, read_words


@dataclass(frozen=True)
class ChronicCondition:
    """A comorbidity.

    Attributes:
        prevalence: Share of patients who have it at the age of 60.
        history: How a note names it.
        rules: How coders code it.
        drugs: Which drugs go with it.
        severity: What it adds to the severity of an admission, in standard deviations.
        sex: The only sex that has it, or empty.
    """

    name: str
    prevalence: float
    history: Bank
    rules: tuple[CodeRule, ...]
    drugs: Bank
    severity: float
    sex: str


@dataclass(frozen=True)
class AcuteCondition:
    """An acute condition with log-odds `intercept + slope * severity`.

    Attributes:
        noted: How the history of present illness names it.
        course: How the hospital course describes it.
    """

    name: str
    intercept: float
    slope: float
    noted: Bank
    course: Bank
    rules: tuple[CodeRule, ...]
    procedures: tuple[CodeRule, ...]


def _chronic(entry: dict[str, Any]) -> ChronicCondition:
    return ChronicCondition(
        name=entry["name"],
        prevalence=entry["prevalence"],
        history=bank(*entry["history"]),
        rules=code_rules(entry["rules"]),
        drugs=bank(*entry.get("drugs", [])),
        severity=entry.get("severity", 0.0),
        sex=entry.get("sex", ""),
    )


def _acute(entry: dict[str, Any]) -> AcuteCondition:
    return AcuteCondition(
        name=entry["name"],
        intercept=entry["intercept"],
        slope=entry["slope"],
        noted=bank(*entry["noted"]),
        course=bank(*entry["course"]),
        rules=code_rules(entry["rules"]),
        procedures=code_rules(entry.get("procedures", [])),
    )


CHRONIC = tuple(_chronic(entry) for entry in read_words("chronic")["condition"])
ASYMPTOMATIC_HIV = _chronic(read_words("chronic")["asymptomatic_hiv"])
ACUTE = tuple(_acute(entry) for entry in read_words("acute")["condition"])
