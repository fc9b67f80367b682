"""What is charted in an ICU stay: ventilator settings, oxygen devices, extubations, vital signs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import Admission, Episode, IcuStay

HOUR = 3_600
CHARTING_INTERVAL = 4 * HOUR
_FIRST_OXYGEN, _EXTRA_ROWS = 1 * HOUR, 6 * HOUR  # after the last ventilation

EXTUBATION, UNPLANNED_EXTUBATION, INVASIVE_VENTILATION = 227194, 225468, 225792


@dataclass(frozen=True)
class ChartingSystem:
    """Item ids and values of one of the hospital's two charting systems; numeric items as (id, unit, low, high)."""

    mode: int
    modes: tuple[str, ...]
    excluded: tuple[int, str]
    settings: tuple[tuple[int, str, float, float], ...]
    oxygen: int
    devices: tuple[str, ...]
    vital_signs: tuple[tuple[int, str, float, float], ...]


CAREVUE = ChartingSystem(
    mode=720,
    modes=("Assist Control", "SIMV+PS", "CMV", "Pressure Support", "CPAP+PS"),
    excluded=(720, "Other/Remarks"),
    settings=((506, "cmH2O", 5, 12), (682, "ml/B", 350, 560), (535, "cmH2O", 16, 34)),
    oxygen=467,
    devices=("Nasal Cannula", "Face Tent", "Aerosol-Cool", "Cannula"),
    vital_signs=((211, "BPM", 62, 118), (618, "BPM", 12, 26), (646, "%", 93, 100)),
)
METAVISION = ChartingSystem(
    mode=223849,
    modes=("CMV/ASSIST/AutoFlow", "CPAP/PSV", "MMV/PSV/AutoFlow", "PCV+Assist", "SIMV/PSV"),
    excluded=(223848, "Other"),
    settings=((220339, "cmH2O", 5, 12), (224685, "mL", 350, 560), (224695, "cmH2O", 16, 34)),
    oxygen=226732,
    devices=("Nasal cannula", "Face tent", "Venti mask ", "Medium conc mask ", "High flow neb"),
    vital_signs=((220045, "bpm", 62, 118), (220210, "insp/min", 12, 26), (220277, "%", 93, 100)),
)
CAREVUE_EVENTS = 640
# id -> label, charting system, table, category, unit, kind
ITEMS: dict[int, tuple[str, str, str, str, str, str]] = {
    720: ("Ventilator Mode", "carevue", "chartevents", "", "", ""),
    506: ("PEEP Set", "carevue", "chartevents", "", "", ""),
    682: ("Tidal Volume (Obser)", "carevue", "chartevents", "", "", ""),
    535: ("Peak Insp. Pressure", "carevue", "chartevents", "", "", ""),
    467: ("O2 Delivery Device", "carevue", "chartevents", "", "", ""),
    640: ("Significant Events", "carevue", "chartevents", "", "", ""),
    211: ("Heart Rate", "carevue", "chartevents", "", "", ""),
    618: ("Respiratory Rate", "carevue", "chartevents", "", "", ""),
    646: ("SpO2", "carevue", "chartevents", "", "", ""),
    223848: ("Ventilator Type", "metavision", "chartevents", "Respiratory", "", "Text"),
    223849: ("Ventilator Mode", "metavision", "chartevents", "Respiratory", "", "Text"),
    220339: ("PEEP set", "metavision", "chartevents", "Respiratory", "cmH2O", "Numeric"),
    224685: ("Tidal Volume (observed)", "metavision", "chartevents", "Respiratory", "mL", "Numeric"),
    224695: ("Peak Insp. Pressure", "metavision", "chartevents", "Respiratory", "cmH2O", "Numeric"),
    226732: ("O2 Delivery Device(s)", "metavision", "chartevents", "Respiratory", "", "Text"),
    220045: ("Heart Rate", "metavision", "chartevents", "Routine Vital Signs", "bpm", "Numeric"),
    220210: ("Respiratory Rate", "metavision", "chartevents", "Respiratory", "insp/min", "Numeric"),
    220277: ("O2 saturation pulseoxymetry", "metavision", "chartevents", "Respiratory", "%", "Numeric"),
    225792: ("Invasive Ventilation", "metavision", "procedureevents_mv", "2-Ventilation", "None", "Process"),
    227194: ("Extubation", "metavision", "procedureevents_mv", "1-Intubation/Extubation", "None", "Process"),
    225468: (
        "Unplanned Extubation (patient-initiated)",
        "metavision",
        "procedureevents_mv",
        "1-Intubation/Extubation",
        "None",
        "Process",
    ),
}


@dataclass(frozen=True)
class ChartedValue:
    """One charted value; ``belongs`` is False for a row without an ICU stay, ``error`` True for one struck out."""

    when: datetime
    item: int
    value: str
    number: float | None = None
    unit: str | None = None
    belongs: bool = True
    error: bool = False


@dataclass(frozen=True)
class ChartedProcedure:
    """One procedure of the MetaVision system, from start to end."""

    start: datetime
    end: datetime
    item: int

    @property
    def minutes(self) -> int:
        """Whole minutes from start to end."""
        return int((self.end - self.start).total_seconds()) // 60


def system_of(admission: Admission) -> ChartingSystem:
    """Return the charting system of the admission's era."""
    return METAVISION if admission.metavision else CAREVUE


def charted_values(draws: Draws, admission: Admission, stay: IcuStay, case: str) -> Iterator[ChartedValue]:
    """Yield the charted values of one stay, its edge case included, in order of time within each episode.

    The first and the last ventilator setting of an episode stand exactly at its start and end.
    """
    system = system_of(admission)
    if not stay.episodes:
        for hours in (1, 5, 9):
            yield from numbers(draws, system.vital_signs, _at(admission, stay.start + hours * HOUR))
        return
    for episode in stay.episodes:
        for number, seconds in enumerate(setting_times(draws, episode)):
            yield ChartedValue(_at(admission, seconds), system.mode, draws.pick(system.modes))
            if number % 3 == 0:
                yield from numbers(draws, system.settings, _at(admission, seconds))
            else:
                yield from numbers(draws, system.settings[:1], _at(admission, seconds))
        if episode.extubated and not admission.metavision:
            event = "Self Extubation" if case == "self_extubation" else "Extubated"
            yield ChartedValue(_at(admission, episode.end), CAREVUE_EVENTS, event)
    end = stay.episodes[-1].end
    if stay.episodes[-1].extubated:
        for hours in (0, 4):
            yield ChartedValue(
                _at(admission, end + _FIRST_OXYGEN + hours * HOUR), system.oxygen, draws.pick(system.devices)
            )
    yield from _case_rows(draws, admission, case, _at(admission, end + _EXTRA_ROWS))


def _case_rows(draws: Draws, admission: Admission, case: str, when: datetime) -> Iterator[ChartedValue]:
    """Yield rows that would lengthen the ventilation if they were taken for ventilation of this stay."""
    system = system_of(admission)
    if case == "null_icustay_id":
        yield ChartedValue(when, system.mode, draws.pick(system.modes), belongs=False)
    elif case == "error_rows":
        yield ChartedValue(when, system.mode, draws.pick(system.modes), error=True)
    elif case == "excluded_ventilator_value":
        yield ChartedValue(when, *system.excluded)


def charted_procedures(admission: Admission, stay: IcuStay, case: str) -> Iterator[ChartedProcedure]:
    """Yield ventilations and extubations of a stay of the MetaVision era, none for another."""
    if not admission.metavision:
        return
    for episode in stay.episodes:
        start, end = _at(admission, episode.start), _at(admission, episode.end)
        yield ChartedProcedure(start, end, INVASIVE_VENTILATION)
        if episode.extubated:
            item = UNPLANNED_EXTUBATION if case == "self_extubation" else EXTUBATION
            yield ChartedProcedure(end, end + timedelta(minutes=1), item)


def _at(admission: Admission, seconds: int) -> datetime:
    return admission.admitted + timedelta(seconds=seconds)


def setting_times(draws: Draws, episode: Episode) -> Iterator[int]:
    """Yield when settings are charted, in seconds from admission: about every four hours, at start and end exactly."""
    seconds = episode.start
    gap = episode.gap_after_first
    while episode.end - seconds > CHARTING_INTERVAL + HOUR:
        yield seconds
        seconds += gap or CHARTING_INTERVAL + 60 * draws.integer(-20, 20)
        gap = 0
    yield seconds
    yield episode.end


def numbers(draws: Draws, items: tuple[tuple[int, str, float, float], ...], when: datetime) -> Iterator[ChartedValue]:
    """Yield one value of each numeric item (id, unit, low, high)."""
    for item, unit, low, high in items:
        number = draws.integer(int(low), int(high))
        yield ChartedValue(when, item, str(number), float(number), unit)
