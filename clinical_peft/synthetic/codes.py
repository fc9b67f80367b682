"""ICD-9-CM codes of an admission, and the probability of every code group given its latent state."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate

from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import (
    CODES,
    VENTILATION_MEDIAN_LOG_DAYS,
    VENTILATION_NOISE,
    VENTILATION_SLOPE,
    Admission,
    logistic,
)
from clinical_peft.synthetic.words import CodeRule

# Codes that depend on nothing a note says: the long tail of a real table, commonest first.
TAIL_DIAGNOSES = (
    "2768",
    "2753",
    "4589",
    "78097",
    "5180",
    "4279",
    "V667",
    "78820",
    "2809",
    "7245",
    "V1005",
    "5641",
    "3899",
    "5920",
    "V4364",
)
TAIL_PROBABILITY = 0.3
# Running sum of weights that fall with the rank, as Zipf's law has it.
_TAIL_BOUNDS = tuple(accumulate(1.0 / rank for rank in range(1, len(TAIL_DIAGNOSES) + 1)))

_RESPIRATORY_FAILURE = CodeRule(("51881", "51881", "51884"), 0.9)
_SHOCK = CodeRule(("78552", "78552", "78551"), 0.85)
_SHOCK_SEVERITY = 1.15
_INVASIVE_LINES = ("3893", "3891")
_TUBE = CodeRule(("9604",), 0.7)
_DIALYSIS = CodeRule(("3995",), 0.8)
_LONG, _TRACHEOSTOMY, _FEEDING = 4.0, 11.0, 6.0  # days of ventilation
_LONG_OR_SHORT = 0.95
_TRACHEOSTOMY_SHARE, _FEEDING_SHARE = 0.6, 0.5


@dataclass
class CodedAdmission:
    """Codes in order of importance and, for each group that the state makes likely, its probability."""

    diagnoses: list[str]
    procedures: list[str]
    diagnosis_probability: dict[str, float]
    procedure_probability: dict[str, float]


def diagnosis_group(code: str) -> str:
    """Return the category of a diagnosis code: four characters of a V or E code, three of any other."""
    return code[:4] if code[0] in "VE" else code[:3]


def procedure_group(code: str) -> str:
    """Return the first three characters of a procedure code, which keeps its leading zeros."""
    return code[:3]


def ventilation_exceeds(admission: Admission, days: float) -> float:
    """Return the probability that ventilation lasts longer than ``days``, given respiration."""
    mean = VENTILATION_MEDIAN_LOG_DAYS + VENTILATION_SLOPE * admission.respiration
    return 0.5 * math.erfc((math.log(days) - mean) / (VENTILATION_NOISE * math.sqrt(2)))


def code_admission(admission: Admission) -> CodedAdmission:
    """Draw the codes of an admission, the same at every call."""
    draws = admission.draws(CODES)
    problem_rules = list(admission.problem.rules)
    if admission.ventilated and admission.respiration > 0:
        problem_rules.append(_RESPIRATORY_FAILURE)
    if admission.severity > _SHOCK_SEVERITY:
        problem_rules.append(_SHOCK)
    acute_rules = [rule for item in admission.acute for rule in item.rules]
    chronic_rules = [rule for item in admission.chronic for rule in item.rules]
    diagnosis_rules = problem_rules + acute_rules + chronic_rules
    diagnoses = _draw(draws, diagnosis_rules)
    if draws.chance(TAIL_PROBABILITY) or not diagnoses:
        diagnoses.append(draws.weighted(TAIL_DIAGNOSES, _TAIL_BOUNDS))

    procedure_rules = list(admission.problem.procedures)
    procedure_rules += [rule for item in admission.acute for rule in item.procedures]
    if any(item.name == "dialysis" for item in admission.chronic):
        procedure_rules.append(_DIALYSIS)
    line = 0.5 * logistic(2 * (admission.severity - 0.5))
    procedure_rules += [CodeRule((code,), line) for code in _INVASIVE_LINES]
    probability = _group_probability(procedure_rules, procedure_group)
    procedures = _draw(draws, procedure_rules)
    if admission.ventilated:
        procedures += _ventilation_procedures(draws, admission)
        _combine(probability, "960", _TUBE.probability)
        _combine(probability, "967", _LONG_OR_SHORT)
        _combine(probability, "966", _FEEDING_SHARE * ventilation_exceeds(admission, _FEEDING))
        _combine(probability, "311", _TRACHEOSTOMY_SHARE * ventilation_exceeds(admission, _TRACHEOSTOMY))
    return CodedAdmission(
        list(dict.fromkeys(diagnoses)),
        list(dict.fromkeys(procedures)),
        _group_probability(diagnosis_rules, diagnosis_group),
        probability,
    )


def _ventilation_procedures(draws: Draws, admission: Admission) -> list[str]:
    days = admission.ventilation_days
    codes = _draw(draws, [_TUBE])
    if draws.chance(_LONG_OR_SHORT):
        codes.append("9672" if days >= _LONG else "9671")
    if draws.chance(_FEEDING_SHARE) and days > _FEEDING:
        codes.append("966")
    if draws.chance(_TRACHEOSTOMY_SHARE) and days > _TRACHEOSTOMY:
        codes.append("311")
    return codes


def _draw(draws: Draws, rules: Iterable[CodeRule]) -> list[str]:
    return [draws.pick(rule.codes) for rule in rules if draws.chance(rule.probability)]


def _group_probability(rules: Iterable[CodeRule], group_of: Callable[[str], str]) -> dict[str, float]:
    probability: dict[str, float] = {}
    for rule in rules:
        _combine(probability, group_of(rule.codes[0]), rule.probability)
    return probability


def _combine(probability: dict[str, float], group: str, added: float) -> None:
    probability[group] = 1 - (1 - probability.get(group, 0.0)) * (1 - added)
