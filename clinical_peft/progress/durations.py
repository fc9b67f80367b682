"""Durations as people read them."""

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Two leading units of a duration.

    Example:
        >>> duration(7.4), duration(192), duration(7500), duration(273600)
        ('7 s', '3 min 12 s', '2 h 05 min', '3 d 4 h')
    """
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def about(seconds: float) -> str:
    """A duration that is an estimate, without a precision that it does not have.

    Example:
        >>> about(7), about(192), about(1510), about(7500)
        ('10 s', '3 min', '25 min', '2 h 05 min')
    """
    tens, minutes = max(10, 10 * round(seconds / 10)), round(seconds / MINUTE)
    if tens < MINUTE:
        return f"{tens} s"
    return f"{max(1, minutes)} min" if minutes < MINUTE else duration(MINUTE * minutes)
