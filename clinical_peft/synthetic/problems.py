"""Main problems of an admission."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from clinical_peft.synthetic.draws import Bank, bank
from clinical_peft.synthetic.words import CodeRule, code_rules, read_words

FILES = ("problems_medical", "problems_neurological", "problems_surgical")


@dataclass(frozen=True)
class Problem:
    """The main problem of an admission.

    Attributes:
        weight: How common it is, relative to the others.
        service: Service line of the discharge summary.
        severity: Mean severity, in standard deviations.
        respiration: Mean respiratory failure, in standard deviations.
        ventilation: What it adds to the log-odds of mechanical ventilation.
        elective: Whether the admission is planned.
        region: Body region of the radiology examination: chest, abdomen, head or bone.
    """

    name: str
    weight: float
    service: str
    severity: float
    respiration: float
    ventilation: float
    elective: bool
    region: str
    complaint: Bank
    opening: Bank
    symptom: Bank
    exam: Bank
    imaging: Bank
    operation: Bank
    course: Bank
    diagnosis: Bank
    discharge_drugs: Bank
    rules: tuple[CodeRule, ...]
    procedures: tuple[CodeRule, ...]


def _problem(entry: dict[str, Any]) -> Problem:
    return Problem(
        name=entry["name"],
        weight=entry["weight"],
        service=entry.get("service", "MEDICINE"),
        severity=entry["severity"],
        respiration=entry["respiration"],
        ventilation=entry["ventilation"],
        elective=entry.get("elective", False),
        region=entry.get("region", "chest"),
        complaint=bank(*entry["complaint"]),
        opening=bank(*entry["opening"]),
        symptom=bank(*entry["symptom"]),
        exam=bank(*entry["exam"]),
        imaging=bank(*entry["imaging"]),
        operation=bank(*entry.get("operation", ["None"])),
        course=bank(*entry["course"]),
        diagnosis=bank(*entry["diagnosis"]),
        discharge_drugs=bank(*entry["discharge_drugs"]),
        rules=code_rules(entry["rules"]),
        procedures=code_rules(entry.get("procedures", [])),
    )


PROBLEMS = tuple(_problem(entry) for name in FILES for entry in read_words(name)["problem"])
PROBLEM_WEIGHTS = tuple(accumulate(problem.weight for problem in PROBLEMS))
