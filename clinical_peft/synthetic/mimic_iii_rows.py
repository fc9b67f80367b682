"""Rows of the MIMIC-III tables of one patient."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from clinical_peft.synthetic.charting import ITEMS, ChartedProcedure, ChartedValue
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import DAY, FACILITY, HOME, Admission, IcuStay, Patient
from clinical_peft.synthetic.tables import Value

FIRST_CAREGIVER = 940_000_000
CAREGIVERS = 400
_INSURANCE = ("Medicare", "Private", "Medicaid", "Government", "Self Pay")
_INSURANCE_BOUNDS = ((0.25, 0.8, 0.94, 0.97, 1.0), (0.9, 0.98, 0.99, 0.995, 1.0))  # under 65 years, from 65
_ETHNICITY = (
    "WHITE",
    "BLACK/AFRICAN AMERICAN",
    "HISPANIC OR LATINO",
    "ASIAN",
    "UNKNOWN/NOT SPECIFIED",
    "OTHER",
    "HISPANIC/LATINO - PUERTO RICAN",
)
_ETHNICITY_BOUNDS = (0.7, 0.8, 0.84, 0.88, 0.95, 0.98, 1.0)
_LANGUAGES = ("ENGL", "ENGL", "ENGL", "ENGL", "SPAN", "RUSS", "PTUN", "")
_RELIGIONS = ("CATHOLIC", "CATHOLIC", "NOT SPECIFIED", "PROTESTANT QUAKER", "JEWISH", "UNOBTAINABLE", "OTHER", "")
_MARITAL = ("MARRIED", "MARRIED", "SINGLE", "WIDOWED", "DIVORCED", "")
_HOME = ("HOME", "HOME HEALTH CARE", "HOME")
_FACILITY = ("SNF", "REHAB/DISTINCT PART HOSP", "HOME HEALTH CARE", "LONG TERM CARE HOSPITAL")
_PLANTED_LOCATIONS = {HOME: _HOME, FACILITY: ("SNF", "REHAB/DISTINCT PART HOSP", "LONG TERM CARE HOSPITAL")}
_UNITS = {
    "CARDIOLOGY": "CCU",
    "CARDIOTHORACIC": "CSRU",
    "SURGERY": "SICU",
    "NEUROSURGERY": "SICU",
    "VASCULAR": "SICU",
    "TRAUMA": "TSICU",
    "ORTHOPAEDICS": "TSICU",
}
_WARDS = {"MICU": 52, "CCU": 7, "CSRU": 14, "SICU": 33, "TSICU": 15}
_SICK = 0.45  # severity from which a survivor is likely to leave for a facility


def stamp(when: datetime) -> str:
    """Return a time as the tables write it."""
    return when.isoformat(" ", "seconds")


def caregiver(draws: Draws) -> int:
    """Return the id of one of the hospital's caregivers."""
    return FIRST_CAREGIVER + draws.integer(1, CAREGIVERS)


def patient_row(patient: Patient) -> tuple[Value, ...]:
    """Return the patient's row of PATIENTS."""
    last = patient.admissions[-1]
    died = stamp(last.discharged.replace(hour=0, minute=0, second=0)) if last.died else None
    born = stamp(patient.born.replace(hour=0, minute=0, second=0))
    return (patient.subject_id, patient.sex, born, died, died, None, int(last.died))


def admission_row(draws: Draws, admission: Admission, demographics: tuple[str, ...]) -> tuple[Value, ...]:
    """Return the admission's row of ADMISSIONS."""
    ends = stamp(admission.discharged)
    if admission.problem.elective:
        kind, origin = "ELECTIVE", "PHYS REFERRAL/NORMAL DELI"
    else:
        kind = "URGENT" if draws.chance(0.04) else "EMERGENCY"
        origin = draws.pick(("EMERGENCY ROOM ADMIT", "EMERGENCY ROOM ADMIT", "TRANSFER FROM HOSP/EXTRAM"))
    waited: tuple[str | None, str | None] = (None, None)
    if origin == "EMERGENCY ROOM ADMIT":
        arrived = admission.admitted - timedelta(minutes=draws.integer(90, 500))
        waited = (stamp(arrived), stamp(admission.admitted + timedelta(minutes=draws.integer(10, 80))))
    usual = _FACILITY if admission.severity > _SICK else _HOME
    home = "DEAD/EXPIRED" if admission.died else draws.pick(_PLANTED_LOCATIONS.get(admission.destination, usual))
    bounds = _INSURANCE_BOUNDS[admission.age >= 65]
    return (
        admission.subject_id,
        admission.hadm_id,
        stamp(admission.admitted),
        ends,
        ends if admission.died else None,
        kind,
        origin,
        home,
        draws.weighted(_INSURANCE, bounds),
        *demographics,
        *waited,
        admission.problem.name.upper(),
        int(admission.died),
        int(bool(admission.stays)),
    )


def demographics_of(draws: Draws) -> tuple[str, ...]:
    """Return language, religion, marital status and ethnicity of a patient."""
    return (
        draws.pick(_LANGUAGES),
        draws.pick(_RELIGIONS),
        draws.pick(_MARITAL),
        draws.weighted(_ETHNICITY, _ETHNICITY_BOUNDS),
    )


def icu_stay_row(admission: Admission, stay: IcuStay, icustay_id: int) -> tuple[Value, ...]:
    """Return the row of ICUSTAYS."""
    unit = _UNITS.get(admission.problem.service, "MICU")
    return (
        admission.subject_id,
        admission.hadm_id,
        icustay_id,
        "metavision" if admission.metavision else "carevue",
        unit,
        unit,
        _WARDS[unit],
        _WARDS[unit],
        stamp(admission.admitted + timedelta(seconds=stay.start)),
        stamp(admission.admitted + timedelta(seconds=stay.end)),
        round((stay.end - stay.start) / DAY, 4),
    )


def chart_row(draws: Draws, admission: Admission, icustay_id: int, event: ChartedValue) -> tuple[Value, ...]:
    """Return a row of CHARTEVENTS."""
    metavision = admission.metavision
    return (
        admission.subject_id,
        admission.hadm_id,
        icustay_id if event.belongs else None,
        event.item,
        stamp(event.when),
        stamp(event.when + timedelta(minutes=draws.integer(1, 50))),
        caregiver(draws),
        event.value,
        event.number,
        event.unit,
        0 if metavision else None,
        1 if event.error else (0 if metavision else None),
        None,
        None if metavision else "NotStopd",
    )


def procedure_row(
    draws: Draws, admission: Admission, icustay_id: int, event: ChartedProcedure, order: int
) -> tuple[Value, ...]:
    """Return a row of PROCEDUREEVENTS_MV."""
    interval = event.minutes > 1
    return (
        admission.subject_id,
        admission.hadm_id,
        icustay_id,
        stamp(event.start),
        stamp(event.end),
        event.item,
        event.minutes,
        "min" if interval else "None",
        None,
        None,
        stamp(event.end + timedelta(minutes=draws.integer(1, 40))),
        caregiver(draws),
        order,
        order,
        ITEMS[event.item][3].split("-", 1)[1],
        None,
        "Task" if interval else "Electrolytes",
        int(interval),
        0,
        0,
        "FinishedRunning",
        None,
        None,
        None,
    )


def dictionary_rows(titles: dict[str, str]) -> Iterator[tuple[Value, ...]]:
    """Yield rows of D_ICD_DIAGNOSES or D_ICD_PROCEDURES."""
    for code, title in titles.items():
        yield (code, title[:24].rstrip(), title)


def item_rows() -> Iterator[tuple[Value, ...]]:
    """Yield the rows of D_ITEMS."""
    for item, (label, system, table, category, unit, kind) in ITEMS.items():
        yield (item, label, label if system == "metavision" else "", system, table, category, unit, kind, None)
