"""Rows of the hosp and icu tables of MIMIC-IV, without their leading identifiers."""

from datetime import datetime, timedelta

from clinical_peft.synthetic.charting import ITEMS, ChartedProcedure, ChartedValue
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.mimic_iii_rows import stamp
from clinical_peft.synthetic.patients import DAY, TOP_AGE, Admission, IcuStay, Patient
from clinical_peft.synthetic.tables import Value

HIDDEN_AGE = 91  # of every patient older than `TOP_AGE`
_GROUP_YEARS, _FIRST_GROUP = 3, 2008
_INSURANCE = ("Medicare", "Medicaid", "Private", "Other")
_RACES = ("WHITE", "WHITE", "WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN", "HISPANIC OR LATINO", "UNKNOWN", "OTHER")
_LANGUAGES = ("English", "English", "English", "Spanish", "Russian", "")
_MARITAL = ("MARRIED", "MARRIED", "SINGLE", "WIDOWED", "DIVORCED", "")
_FACILITIES = ("SKILLED NURSING FACILITY", "REHAB", "HOME HEALTH CARE", "CHRONIC/LONG TERM ACUTE CARE")
_HOMES = ("HOME", "HOME", "HOME HEALTH CARE")
_SICK = 0.45  # severity from which a survivor is likely to leave for a facility
_UNITS = {
    "CARDIOLOGY": "Coronary Care Unit (CCU)",
    "CARDIOTHORACIC": "Cardiac Vascular Intensive Care Unit (CVICU)",
    "SURGERY": "Surgical Intensive Care Unit (SICU)",
    "NEUROSURGERY": "Neuro Surgical Intensive Care Unit (Neuro SICU)",
    "VASCULAR": "Surgical Intensive Care Unit (SICU)",
    "TRAUMA": "Trauma SICU (TSICU)",
    "ORTHOPAEDICS": "Trauma SICU (TSICU)",
}
_MEDICAL_UNIT = "Medical Intensive Care Unit (MICU)"


def patient_row(patient: Patient, subject_id: int, shift: timedelta, years: int) -> tuple[Value, ...]:
    """Return the patient's row of patients, whole; ``years`` lie between the true date and the shifted one."""
    first, last = patient.admissions[0], patient.admissions[-1]
    year = (first.admitted + shift).year
    group = (year - years - _FIRST_GROUP) // _GROUP_YEARS * _GROUP_YEARS + _FIRST_GROUP
    age = first.age if first.age <= TOP_AGE else HIDDEN_AGE
    died = f"{last.discharged + shift:%Y-%m-%d}" if last.died else None
    return (subject_id, patient.sex, age, year, f"{group} - {group + _GROUP_YEARS - 1}", died)


def admission_row(draws: Draws, admission: Admission, start: datetime) -> tuple[Value, ...]:
    """Return the admission's row of admissions."""
    end = start + timedelta(seconds=admission.los)
    arrived: tuple[str | None, str | None] = (None, None)
    if admission.problem.elective:
        kind, origin = "ELECTIVE", "PHYSICIAN REFERRAL"
    else:
        kind = draws.pick(("EW EMER.", "EW EMER.", "EW EMER.", "URGENT", "OBSERVATION ADMIT"))
        origin = "TRANSFER FROM HOSPITAL" if kind == "URGENT" else "EMERGENCY ROOM"
        if origin == "EMERGENCY ROOM":
            arrived = (
                stamp(start - timedelta(minutes=draws.integer(90, 500))),
                stamp(start + timedelta(minutes=draws.integer(10, 80))),
            )
    home = "DIED" if admission.died else draws.pick(_FACILITIES if admission.severity > _SICK else _HOMES)
    return (
        stamp(start),
        stamp(end),
        stamp(end) if admission.died else None,
        kind,
        _provider(draws),
        origin,
        home,
        *_demographics(draws, admission),
        *arrived,
        int(admission.died),
    )


def observation_row(draws: Draws, patient: Patient, shift: timedelta) -> tuple[Value, ...]:
    """Return the row of an observation of some hours, a month before the patient's first admission."""
    first = patient.admissions[0]
    start = first.admitted + shift - timedelta(days=30)
    end = start + timedelta(minutes=draws.integer(200, 1_400))
    origin, home = "EMERGENCY ROOM", "HOME"
    return (
        *(stamp(start), stamp(end), None, "EU OBSERVATION", _provider(draws), origin, home),
        *_demographics(draws, first),
        *(None, None, 0),
    )


def _provider(draws: Draws) -> str:
    return f"P{draws.integer(0, 16**4 - 1):04X}Z"


def _demographics(draws: Draws, admission: Admission) -> tuple[str, ...]:
    insurance = "Medicare" if admission.age >= 65 else draws.pick(_INSURANCE)
    return (insurance, draws.pick(_LANGUAGES), draws.pick(_MARITAL), draws.pick(_RACES))


def icu_stay_row(admission: Admission, stay: IcuStay, start: datetime) -> tuple[Value, ...]:
    """Return the stay's row of icustays."""
    unit = _UNITS.get(admission.problem.service, _MEDICAL_UNIT)
    return (
        unit,
        unit,
        stamp(start + timedelta(seconds=stay.start)),
        stamp(start + timedelta(seconds=stay.end)),
        round((stay.end - stay.start) / DAY, 4),
    )


def chart_row(draws: Draws, event: ChartedValue) -> tuple[Value, ...]:
    """Return a row of chartevents."""
    stored = stamp(event.when + timedelta(minutes=draws.integer(1, 50)))
    return (stamp(event.when), stored, event.item, event.value, event.number, event.unit, 0)


def procedure_row(event: ChartedProcedure, order: int) -> tuple[Value, ...]:
    """Return a row of procedureevents."""
    interval = event.minutes > 1
    return (
        stamp(event.start),
        stamp(event.end),
        stamp(event.end),
        event.item,
        event.minutes,
        "min" if interval else "None",
        None,
        None,
        order,
        order,
        ITEMS[event.item][3].split("-", 1)[1],
        "ContinuousProcess" if interval else "Task",
        None,
        int(interval),
        0,
        "FinishedRunning",
        event.minutes,
        0,
    )
