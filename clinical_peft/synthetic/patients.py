"""Patients and the latent state of their admissions, from which notes and labels are drawn independently."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from clinical_peft.synthetic.conditions import ACUTE, CHRONIC, AcuteCondition, ChronicCondition
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.problems import PROBLEM_WEIGHTS, PROBLEMS, Problem
from clinical_peft.synthetic.sizes import admissions_of_patient

# Streams of random numbers: the first key after the seed says for which part they are drawn.
MIMIC_III, MIMIC_IV = 3, 4
NOTE, CODES, ROWS, COPIES, ICU, DESTINATION = 2, 3, 4, 5, 6, 7

DAY = 86_400
HOME, FACILITY = "home", "facility"  # destinations
TOP_AGE = 89  # older patients are hidden by the de-identification

LOS_MEDIAN_LOG_DAYS, LOS_SLOPE, LOS_NOISE = 1.65, 0.78, 0.40
VENTILATION_MEDIAN_LOG_DAYS, VENTILATION_SLOPE, VENTILATION_NOISE = 1.28, 0.74, 0.43
VENTILATION_TO_DISCHARGE = DAY  # a survivor leaves no earlier than this after the last ventilation
LONGEST_VENTILATION_DAYS = 40.0


@dataclass(slots=True)
class Episode:
    """One ventilation episode, in seconds from admission; ``gap_after_first`` widens the first charting gap."""

    start: int
    end: int
    extubated: bool = True
    gap_after_first: int = 0


@dataclass(slots=True)
class IcuStay:
    """One ICU stay, in seconds from admission."""

    start: int
    end: int
    episodes: list[Episode] = field(default_factory=list)


@dataclass(slots=True)
class Admission:
    """One admission with its latent state (severity and respiration in standard deviations) and outcomes.

    A hospital without aliases leaves ``alias`` empty, one without places ``place`` and ``destination``.
    """

    key: tuple[int, int, int, int]
    subject_id: int
    hadm_id: int
    admitted: datetime
    age: int
    sex: str
    metavision: bool
    problem: Problem
    chronic: list[ChronicCondition]
    acute: list[AcuteCondition]
    severity: float
    respiration: float
    died: bool
    death_probability: float
    ventilated: bool
    los: int
    stays: list[IcuStay]
    alias: str = ""
    place: str = ""
    destination: str = ""

    @property
    def discharged(self) -> datetime:
        """Time of discharge or death."""
        return self.admitted + timedelta(seconds=self.los)

    @property
    def ventilation_days(self) -> float:
        """Days from the first to the last ventilation of the first ICU stay, 0 without ventilation."""
        episodes = self.stays[0].episodes if self.stays else []
        return (episodes[-1].end - episodes[0].start) / DAY if episodes else 0.0

    def draws(self, purpose: int) -> Draws:
        """Return the random numbers of this admission for one purpose."""
        return Draws(*self.key, purpose)


@dataclass(slots=True)
class Patient:
    """One patient; ages above 89 are hidden by a birth date 300 years before the first admission."""

    subject_id: int
    index: int
    sex: str
    born: datetime
    admissions: list[Admission]


def logistic(value: float) -> float:
    """Return the logistic function."""
    return 1.0 / (1.0 + math.exp(-value))


def simulate_patient(seed: int, stream: int, index: int, subject_id: int, first_hadm_id: int) -> Patient:
    """Return the patient of this index: a pure function of its arguments."""
    draws = Draws(seed, stream, index)
    age = min(97, max(18, int(draws.normal(64, 17))))
    sex = "M" if draws.chance(0.54) else "F"
    commoner_with_age = max(0.15, 1 + (age - 60) / 60)
    chronic = [
        condition
        for condition in CHRONIC
        if draws.chance(condition.prevalence * commoner_with_age) and condition.sex in ("", sex)
    ]
    metavision = draws.chance(0.45)
    admitted = datetime(draws.integer(2102, 2190), draws.integer(1, 12), draws.integer(1, 28))
    admitted += timedelta(minutes=draws.integer(0, 1439))
    # Born one to eleven months before the age in years, or 300 years, is reached.
    born = admitted.replace(hour=0, minute=0, year=admitted.year - (300 if age > TOP_AGE else age))
    born -= timedelta(days=draws.integer(20, 340))
    patient = Patient(subject_id, index, sex, born, [])
    for number in range(admissions_of_patient(index)):
        key = (seed, stream, index, number)
        admission = _admission(draws, key, patient, first_hadm_id + number, admitted, age, draws.shuffled(chronic))
        admission.metavision = metavision
        patient.admissions.append(admission)
        if admission.died:
            break
        admitted = admission.discharged + timedelta(minutes=draws.integer(30 * 1440, 300 * 1440))
        age += admitted.year - admission.admitted.year
    return patient


def _admission(
    draws: Draws,
    key: tuple[int, int, int, int],
    patient: Patient,
    hadm_id: int,
    admitted: datetime,
    age: int,
    chronic: list[ChronicCondition],
) -> Admission:
    problem = draws.weighted(PROBLEMS, PROBLEM_WEIGHTS)
    burden = sum(condition.severity for condition in chronic)
    severity = 0.6 * problem.severity + burden - 0.25 + draws.normal(0.0, 0.95)
    respiration = 0.9 * problem.respiration + 0.25 * severity + draws.normal(0.0, 0.95)
    acute = [item for item in ACUTE if draws.chance(logistic(item.intercept + item.slope * severity))]
    death_probability = logistic(-3.6 + 2.7 * severity + 0.35 * (min(age, TOP_AGE) - 65) / 15)
    died = draws.chance(death_probability)
    ventilated = draws.chance(logistic(-0.6 + 1.1 * respiration + problem.ventilation))
    los = int(math.exp(LOS_MEDIAN_LOG_DAYS + LOS_SLOPE * severity + draws.normal(0.0, LOS_NOISE)) * 1440) * 60
    admission = Admission(
        key=key,
        subject_id=patient.subject_id,
        hadm_id=hadm_id,
        admitted=admitted,
        age=age,
        sex=patient.sex,
        metavision=False,
        problem=problem,
        chronic=chronic,
        acute=acute,
        severity=severity,
        respiration=respiration,
        died=died,
        death_probability=death_probability,
        ventilated=ventilated,
        los=max(los, DAY // 3),
        stays=[],
    )
    _place_icu_stay(draws, admission)
    return admission


def _place_icu_stay(draws: Draws, admission: Admission) -> None:
    """Give a ventilated admission, and a third of the others, an ICU stay; make the admission long enough."""
    start = 60 * draws.integer(20, 300)
    if admission.ventilated:
        days = math.exp(
            VENTILATION_MEDIAN_LOG_DAYS
            + VENTILATION_SLOPE * admission.respiration
            + draws.normal(0.0, VENTILATION_NOISE)
        )
        begin = start + 60 * draws.integer(5, 360)
        end = begin + 60 * int(min(days, LONGEST_VENTILATION_DAYS) * 1440)
        admission.stays = [IcuStay(start, end, [Episode(begin, end, extubated=not admission.died)])]
        fit_to_ventilation(admission)
    elif draws.chance(0.35):
        stay_length = int(admission.los * (0.2 + 0.6 * draws.uniform()))
        admission.stays = [IcuStay(start, min(start + stay_length, admission.los) // 60 * 60)]


def admit_to_icu(patient: Patient) -> None:
    """Give every admission without an ICU stay one of its first day or days."""
    for admission in patient.admissions:
        if not admission.stays:
            draws = admission.draws(ICU)
            start = 60 * draws.integer(20, 300)
            length = int(admission.los * (0.2 + 0.6 * draws.uniform()))
            admission.stays = [IcuStay(start, min(start + length, admission.los) // 60 * 60)]


def fit_to_ventilation(admission: Admission) -> None:
    """Make ICU stays and admission end after their last ventilation, half a day and a day later."""
    for stay in admission.stays:
        if stay.episodes:
            stay.end = max(stay.end, stay.episodes[-1].end + DAY // 2)
    last = max((stay.episodes[-1].end for stay in admission.stays if stay.episodes), default=0)
    admission.los = max(admission.los, last + VENTILATION_TO_DISCHARGE)
