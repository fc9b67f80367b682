"""What a main problem of an admission is, and all of them together."""

from dataclasses import dataclass
from itertools import accumulate

from clinical_peft.data.synthetic.conditions import CodeRule, code_rules
from clinical_peft.data.synthetic.draws import Bank, bank


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


def problem(
    name: str,
    weight: float,
    latent: tuple[float, float, float],
    *,
    service: str = "MEDICINE",
    elective: bool = False,
    region: str = "chest",
    complaint: str,
    opening: str,
    symptom: str,
    exam: str,
    imaging: str,
    operation: str = "None",
    course: str,
    diagnosis: str,
    drugs: str,
    codes: tuple[tuple[str, float], ...],
    procedures: tuple[tuple[str, float], ...] = (),
) -> Problem:
    """Return a problem; phrases are separated by '; ', ``latent`` is (severity, respiration, ventilation)."""

    def phrases(text: str) -> Bank:
        return bank(*text.split("; "))

    mean_severity, mean_respiration, ventilation = latent
    return Problem(
        name=name,
        weight=weight,
        service=service,
        severity=mean_severity,
        respiration=mean_respiration,
        ventilation=ventilation,
        elective=elective,
        region=region,
        complaint=phrases(complaint),
        opening=phrases(opening),
        symptom=phrases(symptom),
        exam=phrases(exam),
        imaging=phrases(imaging),
        operation=phrases(operation),
        course=phrases(course),
        diagnosis=phrases(diagnosis),
        discharge_drugs=phrases(drugs),
        rules=code_rules(*codes),
        procedures=code_rules(*procedures),
    )


def cumulative_weights(problems: tuple[Problem, ...]) -> tuple[float, ...]:
    """Return the running sum of the problems' weights."""
    return tuple(accumulate(item.weight for item in problems))
