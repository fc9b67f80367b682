"""Which admissions host which edge cases."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clinical_peft.synthetic.conditions import ASYMPTOMATIC_HIV
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import DAY, Admission, Patient
from clinical_peft.synthetic.planted_courses import (
    CHART_ROW_CASES,
    COURSE_CASES,
    HOST_DAYS,
    LENGTH_OF_STAY_CASES,
    plant_course,
)
from clinical_peft.synthetic.planted_notes import (
    FALSE_DEATH_CASES,
    NEAR_DEATH_CASES,
    PATIENT_DEATH_CASES,
    ROW_CASES,
    STRUCTURE_CASES,
    WITHOUT_ADMISSION_NOTE,
)

PLANTING = 7  # stream of random numbers
ASYMPTOMATIC_HIV_CASE = "asymptomatic_hiv_v08"
MINOR_CASE = "age_17"
DUPLICATE_CASE = "duplicate_text_across_patients"

# Codes added to hosts. Some lead to exclusion from the ventilation cohort, some occur in one split only.
DIAGNOSIS_CASES: dict[str, str | None] = {
    "null_icd9_code": None,
    "excluded_head_or_neck_cancer": "1430",
    "excluded_neuromuscular": "35801",
    "excluded_burns": "94830",
    "excluded_donor": "V594",
}
ONE_SPLIT_CASES = {"train_only_code": ("train", "0340"), "test_only_code": ("test", "0529")}
PROCEDURE_CASES: dict[str, tuple[str, ...]] = {
    "procedures_0331_and_3310": ("0331", "3310"),
    "procedures_0034_and_034": ("0034", "034"),
}
WITHOUT_DICTIONARY_ROW = frozenset({"3310", "28529"})


@dataclass
class Plan:
    """Edge cases by admission.

    Attributes:
        note: Case of the note (its text or its rows).
        copied_from: Admission whose text is this admission's note.
        chart: Case of the charted rows.
        codes: Cases of the codes.
        without_note: Admissions that give no admission note.
        planted: Number of hosts of each case.
    """

    note: dict[int, str] = field(default_factory=dict)
    copied_from: dict[int, int] = field(default_factory=dict)
    chart: dict[int, str] = field(default_factory=dict)
    codes: dict[int, str] = field(default_factory=dict)
    without_note: set[int] = field(default_factory=set)
    planted: Counter[str] = field(default_factory=Counter)


class _Hosts:
    """Admissions in random order, each given away once."""

    def __init__(self, admissions: Sequence[Admission], draws: Draws) -> None:
        self._free = draws.shuffled(admissions)

    def take(self, count: int, fits: Callable[[Admission], bool]) -> list[Admission]:
        taken = [admission for admission in self._free if fits(admission)][:count]
        chosen = {admission.hadm_id for admission in taken}
        self._free = [admission for admission in self._free if admission.hadm_id not in chosen]
        return taken


def plant(patients: Sequence[Patient], splits: dict[int, str], seed: int, hosts_per_case: int) -> Plan:
    """Choose hosts for every edge case, and change the admissions whose times or conditions a case concerns.

    Hosts are training patients with one admission, so that evaluation stays undisturbed; a case takes fewer of
    them when fewer fit.

    Args:
        patients: Adult patients; some of their admissions are changed.
        splits: Split of each subject.
        seed: Seed of the hospital.
        hosts_per_case: Hosts of each case.

    Returns:
        The plan for the writers of notes, charts and codes.
    """
    single = [patient for patient in patients if len(patient.admissions) == 1]
    admissions = [patient.admissions[0] for patient in single]
    training = [admission for admission in admissions if splits[admission.subject_id] == "train"]
    plan = Plan()
    _plant_courses(plan, _Hosts(training, Draws(seed, PLANTING, 2)), hosts_per_case)
    _plant_notes(plan, _Hosts(training, Draws(seed, PLANTING, 1)), hosts_per_case)
    codes = _Hosts(training, Draws(seed, PLANTING, 3))
    _plant_codes(plan, codes, hosts_per_case)
    test = _Hosts([item for item in admissions if splits[item.subject_id] == "test"], Draws(seed, PLANTING, 4))
    for case, (split, _) in ONE_SPLIT_CASES.items():
        pool = {"train": codes, "test": test}[split]
        _record(plan, plan.codes, case, pool.take(hosts_per_case + 1, _anyone))
    _plant_minors(plan, single, splits, hosts_per_case)
    return plan


def _record(plan: Plan, where: dict[int, str], case: str, hosts: Sequence[Admission]) -> None:
    for host in hosts:
        where[host.hadm_id] = case
    plan.planted[case] = len(hosts)


def _plant_notes(plan: Plan, hosts: _Hosts, count: int) -> None:
    for case in PATIENT_DEATH_CASES:
        _record(plan, plan.note, case, hosts.take(count, _died))
    for case in [*STRUCTURE_CASES, *FALSE_DEATH_CASES, *NEAR_DEATH_CASES, *ROW_CASES]:
        chosen = hosts.take(count, _survivor)
        _record(plan, plan.note, case, chosen)
        if case in WITHOUT_ADMISSION_NOTE:
            plan.without_note.update(host.hadm_id for host in chosen)
    for _ in range(count):
        original, copy = hosts.take(2, _survivor)
        plan.copied_from[copy.hadm_id] = original.hadm_id
        # Of two summaries with one text the later is kept.
        earlier = min(original, copy, key=lambda admission: (admission.discharged.date(), admission.hadm_id))
        plan.without_note.add(earlier.hadm_id)
    plan.planted[DUPLICATE_CASE] = count


def _plant_courses(plan: Plan, hosts: _Hosts, count: int) -> None:
    for case, seconds in LENGTH_OF_STAY_CASES.items():
        chosen = hosts.take(count, _could_stay(seconds))
        for host in chosen:
            host.los = seconds
        _record(plan, {}, case, chosen)
    for case in COURSE_CASES:
        chosen = hosts.take(count, _ventilated_for(*HOST_DAYS[case]))
        for host in chosen:
            plant_course(host, case)
        _record(plan, plan.chart, case, chosen)
    for case in CHART_ROW_CASES:
        _record(plan, plan.chart, case, hosts.take(count, _ventilated_survivor))


def _plant_codes(plan: Plan, hosts: _Hosts, count: int) -> None:
    for case in DIAGNOSIS_CASES:
        fits = _ventilated_survivor if case.startswith("excluded") else _anyone
        _record(plan, plan.codes, case, hosts.take(count, fits))
    for case in PROCEDURE_CASES:
        _record(plan, plan.codes, case, hosts.take(count, _anyone))
    chosen = hosts.take(count + 1, _survivor)
    for host in chosen:
        host.chronic.insert(0, ASYMPTOMATIC_HIV)
    _record(plan, plan.codes, ASYMPTOMATIC_HIV_CASE, chosen)


def _anyone(admission: Admission) -> bool:
    return True


def _died(admission: Admission) -> bool:
    return admission.died


def _survivor(admission: Admission) -> bool:
    return not admission.died


def _ventilated_survivor(admission: Admission) -> bool:
    return admission.ventilated and not admission.died


def _could_stay(seconds: int) -> Callable[[Admission], bool]:
    """Return whether a stay of that length would be near the admission's own."""
    low, high = (0.3 * seconds, 2.2 * seconds) if seconds > 0 else (0.0, 2.5 * DAY)
    return lambda admission: not admission.died and not admission.stays and low < admission.los < high


def _ventilated_for(low: float, high: float) -> Callable[[Admission], bool]:
    return lambda admission: admission.ventilated and low <= admission.ventilation_days < high


def _plant_minors(plan: Plan, single: Sequence[Patient], splits: dict[int, str], count: int) -> None:
    ventilated = [p for p in single if splits[p.subject_id] == "train" and p.admissions[0].ventilated]
    youngest = sorted(ventilated, key=lambda patient: (patient.admissions[0].age, patient.subject_id))[:count]
    for patient in youngest:
        years = patient.admissions[0].age - 17
        patient.born = patient.born.replace(year=patient.born.year + years, day=min(patient.born.day, 28))
        patient.admissions[0].age = 17
    plan.planted[MINOR_CASE] = len(youngest)
