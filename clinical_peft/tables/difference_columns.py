"""Columns of differences and of their intervals, which several tables hold."""

from collections.abc import Callable
from typing import Any

from clinical_peft.tables.form import MISSING, Record, percent, rounded, with_interval
from clinical_peft.tables.study_column import Column

Found = Callable[[Any], Any]  # from a row, a mapping of a value and its intervals


def ends_columns(
    of: Callable[[Any], Any], prefix: str = "", suffix: str = "_percent", meaning: str = ""
) -> list[Column]:
    """Both ends of an interval as percentages; missing where it is None."""

    def end(name: str, which: int) -> Column:
        return Column(f"{prefix}{name}{suffix}", lambda row: percent((of(row) or (None, None))[which]), meaning=meaning)

    return [end("low", 0), end("high", 1)]


def interval_columns(of: Found) -> list[Column]:
    """All intervals of a metric, or of a difference as `clinical_peft.metrics.comparisons.compare_pair` gives it."""
    return [
        *ends_columns(lambda row: of(row)["interval"], meaning="over patients, percentile"),
        *ends_columns(lambda row: of(row)["interval_bca"], "bca_", meaning="over patients, BCa"),
        *ends_columns(
            lambda row: of(row)["interval_total"], "total_", meaning="over patients, and seeds where there are several"
        ),
        Column("standard_error_percent", lambda row: percent(of(row)["standard_error"])),
        Column("degrees_of_freedom", lambda row: rounded(of(row)["degrees_of_freedom"]), meaning="empty when infinite"),
        Column("undefined_resamples", lambda row: of(row).get("undefined")),
    ]


def difference_text(value: float | None, record: Record) -> str:
    """A difference with its interval over patients and seeds."""
    if value is None:
        return MISSING
    return with_interval(value, record["total_low_percent"], record["total_high_percent"])
