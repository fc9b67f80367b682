"""What is charted in an ICU stay of MIMIC-IV: ventilator modes, oxygen devices, vital signs, ventilation procedures."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from clinical_peft.synthetic.charting import (
    EXTUBATION,
    HOUR,
    INVASIVE_VENTILATION,
    METAVISION,
    ChartedProcedure,
    ChartedValue,
    numbers,
    setting_times,
)
from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.patients import DAY, Admission, Episode, IcuStay

GAPS = {"mimic_iv_gap_13_9_hours": round(13.9 * HOUR), "mimic_iv_gap_14_1_hours": round(14.1 * HOUR)}
TWO_DEVICES = "mimic_iv_two_devices_at_once"

OXYGEN_DEVICE, VENTILATOR_MODE, HAMILTON_MODE = 226732, 223849, 229314
_HAMILTON_MODES = ("APV (cmv)", "(S) CMV", "P-CMV", "ASV", "SIMV")
_HAMILTON_SHARE = 0.2
_TUBE, _STANDBY = "Endotracheal tube", "Standby"
_TRACHEOSTOMY_DAYS = 11.0
_NONINVASIVE_SHARE, _HIGH_FLOW_SHARE = 0.15, 0.2
_LOW_FLOW = ("Nasal cannula", "Face tent", "Aerosol-cool", "Venti mask ", "Medium conc mask ", "None")


def charted_values(
    draws: Draws, admission: Admission, stay: IcuStay, start: datetime, case: str
) -> Iterator[ChartedValue]:
    """Yield the charted values of one stay, its edge case included.

    A mode that shows invasive ventilation stands exactly at the start and the end of every episode.

    Args:
        draws: Random numbers of the admission's rows.
        admission: The admission.
        stay: One of its ICU stays.
        start: Time of admission in this database.
        case: Edge case of the stay, or an empty text.
    """

    def at(seconds: int) -> datetime:
        return start + timedelta(seconds=seconds)

    def device(seconds: int, name: str) -> ChartedValue:
        return ChartedValue(at(seconds), OXYGEN_DEVICE, name)

    if not stay.episodes:
        for hours in (1, 5):
            yield device(stay.start + hours * HOUR, draws.pick(_LOW_FLOW))
            yield from numbers(draws, METAVISION.vital_signs, at(stay.start + hours * HOUR))
        return
    begin, end = stay.episodes[0].start, stay.episodes[-1].end
    if draws.chance(_NONINVASIVE_SHARE):
        for minutes in (90, 20):
            yield device(begin - 60 * minutes, "Bipap mask ")
    hamilton = draws.chance(_HAMILTON_SHARE)
    item, modes = (HAMILTON_MODE, _HAMILTON_MODES) if hamilton else (VENTILATOR_MODE, METAVISION.modes)
    for episode in stay.episodes:
        for number, seconds in enumerate(setting_times(draws, _with_gap(episode, case))):
            yield ChartedValue(at(seconds), item, draws.pick(modes))
            if number % 3 == 0:
                yield device(seconds, _TUBE)
                yield from numbers(draws, METAVISION.settings[:1], at(seconds))
    if case == TWO_DEVICES:
        yield device(begin, "High flow nasal cannula")
    yield ChartedValue(at(end + 10 * 60), item, _STANDBY)
    if stay.episodes[-1].extubated:
        first = "High flow nasal cannula" if draws.chance(_HIGH_FLOW_SHARE) else draws.pick(_LOW_FLOW)
        if (end - begin) / DAY > _TRACHEOSTOMY_DAYS:
            first = "Trach mask "
        for hours in (1, 5):
            yield device(end + hours * HOUR, first)


def _with_gap(episode: Episode, case: str) -> Episode:
    return replace(episode, gap_after_first=GAPS[case]) if case in GAPS else episode


def charted_procedures(stay: IcuStay, start: datetime) -> Iterator[ChartedProcedure]:
    """Yield the ventilations and extubations of a stay."""
    for episode in stay.episodes:
        begin, end = start + timedelta(seconds=episode.start), start + timedelta(seconds=episode.end)
        yield ChartedProcedure(begin, end, INVASIVE_VENTILATION)
        if episode.extubated:
            yield ChartedProcedure(end, end + timedelta(minutes=1), EXTUBATION)
