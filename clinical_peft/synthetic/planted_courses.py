"""Edge cases in the times of an admission: lengths of stay, ages and courses of mechanical ventilation."""

from collections.abc import Callable

from clinical_peft.synthetic.patients import DAY, Admission, Episode, IcuStay, fit_to_ventilation

HOUR = 3_600
NEGATIVE_STAY = -9 * HOUR

LENGTH_OF_STAY_CASES: dict[str, int] = {
    "los_3_04_days": round(3.04 * DAY),
    "los_3_05_days": round(3.05 * DAY),
    "los_7_04_days": round(7.04 * DAY),
    "los_negative": NEGATIVE_STAY,
}

_SPANS = {
    "ventilated_1_74_days": 1.74,
    "ventilated_1_76_days": 1.76,
    "ventilated_6_74_days": 6.74,
    "ventilated_6_76_days": 6.76,
}
_SPAN_WITH_GAP = 6.9  # without its first, lone setting a course of 6.9 days is shorter than 6.75
_GAPS = {"gap_7_9_hours": round(7.9 * HOUR), "gap_8_1_hours": round(8.1 * HOUR)}
_REST_BEFORE_REINTUBATION = 10 * HOUR


def _one_episode(days: float, gap: int = 0) -> Callable[[Admission], None]:
    def apply(admission: Admission) -> None:
        stay = admission.stays[0]
        begin = stay.episodes[0].start
        stay.episodes = [Episode(begin, begin + round(days * DAY), stay.episodes[-1].extubated, gap)]

    return apply


def _reintubated(admission: Admission) -> None:
    stay = admission.stays[0]
    episode = stay.episodes[0]
    middle = (episode.start + (episode.end - episode.start) // 3) // 60 * 60
    stay.episodes = [
        Episode(episode.start, middle),
        Episode(middle + _REST_BEFORE_REINTUBATION, episode.end, episode.extubated),
    ]


def _long_second_stay(admission: Admission) -> None:
    """Three days of ventilation in the first stay, eight in the second: any stay of an admission counts."""
    first = admission.stays[0]
    begin = first.episodes[0].start
    died = admission.died
    first.episodes = [Episode(begin, begin + 3 * DAY)]
    first.end = first.episodes[0].end + DAY // 2
    start = first.end + DAY
    admission.stays.append(
        IcuStay(start, start + 9 * DAY, [Episode(start + HOUR, start + HOUR + 8 * DAY, extubated=not died)])
    )


# Cases that change the course; those of `CHART_ROW_CASES` leave it as it is.
COURSE_CASES: dict[str, Callable[[Admission], None]] = {
    **{name: _one_episode(days) for name, days in _SPANS.items()},
    **{name: _one_episode(_SPAN_WITH_GAP, gap) for name, gap in _GAPS.items()},
    "reintubation": _reintubated,
    "long_second_stay": _long_second_stay,
}
CHART_ROW_CASES = ("null_icustay_id", "error_rows", "excluded_ventilator_value", "self_extubation", "late_bedside_note")

# Days of ventilation of fitting hosts, so that planting moves no label (but that of a lone first setting).
HOST_DAYS: dict[str, tuple[float, float]] = {
    "ventilated_1_74_days": (0.0, 4.0),
    "ventilated_1_76_days": (0.5, 5.0),
    "ventilated_6_74_days": (3.0, 6.75),
    "ventilated_6_76_days": (6.75, 14.0),
    "gap_7_9_hours": (6.75, 14.0),
    "gap_8_1_hours": (4.0, 6.75),
    "reintubation": (4.0, 40.0),
    "long_second_stay": (6.75, 40.0),
}


def plant_course(admission: Admission, case: str) -> None:
    """Change the ventilation of an admission; it is lengthened when it would end too early."""
    COURSE_CASES[case](admission)
    fit_to_ventilation(admission)
