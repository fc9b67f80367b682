"""Periods of one way of ventilation in MIMIC-IV.

Follows the rules of the concept ``ventilation`` of mimic-code (MIT-LCP): oxygen devices and ventilator modes give a
status at each time, of six; a period lasts while the status stays and no 14 hours pass without one. Two quirks of the
published query are followed unless ``adjusted`` is set: it counts gaps in clock hours begun (00:10 to 14:05 is 14), and
it drops devices that are charted without an oxygen flow at the same time.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.stay_partitions import by_stay
from clinical_peft.data.table_files import find_table, locate_table
from clinical_peft.data.tables import INTEGER, TEXT, stream_table, stripped
from clinical_peft.data.ventilation_table import VENTILATION_PROCEDURE, procedure_intervals, seconds_since_1970
from clinical_peft.sources.mimic_iv.ventilation_items import (
    INVASIVE,
    ITEMS,
    OXYGEN_DEVICE,
    OXYGEN_FLOWS,
    SLOTS,
    STATUS_OF,
    STATUS_OF_ANY_SLOT,
    STATUSES,
)

FROM_CHARTED_STATUS = "chartevents"
FROM_PROCEDURES = f"procedureevents {VENTILATION_PROCEDURE}"
HOUR_SECONDS = 3600
LONGEST_GAP_HOURS = 14
_RANK = {status: rank for rank, status in enumerate(STATUSES)}
_NO_RANK = -1
_NO_VALUE = -1
_FLOW = OXYGEN_FLOWS[0]  # stands for all of them
_ITEMS_BY_NUMBER = np.array(sorted((*ITEMS, _FLOW)))
_RANKS_OF_ANY_SLOT = [_RANK[status] for status in STATUS_OF_ANY_SLOT]
_AT = ["stay_id", "seconds"]

logger = logging.getLogger(__name__)


def find_periods(mimic_iv: Path, work: Path | None = None, *, adjusted: bool = False) -> tuple[pd.DataFrame, str]:
    """Return the periods of every ICU stay, and the name of their source.

    Args:
        mimic_iv: Folder with icu/chartevents, or without it with icu/procedureevents, whose intervals of invasive
            ventilation are then taken.
        work: Folder for charted rows while they are divided by stay (`by_stay`), so that memory does not grow with
            them; None to keep them in memory.
        adjusted: Count gaps in elapsed time, and devices without an oxygen flow; otherwise as published. A table
            without any oxygen flow is an extract, in which every device counts.

    Returns:
        stay_id, starttime, endtime, status, ordered; and the source.

    Raises:
        DataError: A table is missing or malformed.
    """
    charted = locate_table(mimic_iv, "chartevents")
    if charted is None:
        intervals = procedure_intervals(find_table(mimic_iv, "procedureevents"), "stay_id")
        return intervals.assign(status=INVASIVE), FROM_PROCEDURES
    values: dict[str, int] = {}
    items: set[int] = set()
    with by_stay(_charted_rows(charted, values, items, adjusted=adjusted), "stay_id", work) as partitions:
        every_device = adjusted or _has_no_flow(charted, items)
        found = [
            periods_from_statuses(_rank_per_time(rows, values, every_device=every_device), adjusted=adjusted)
            for rows in partitions
        ]
    periods = pd.concat(found, ignore_index=True)
    return periods.sort_values("stay_id", kind="stable", ignore_index=True), FROM_CHARTED_STATUS


def periods_from_statuses(charted: pd.DataFrame, *, adjusted: bool = False) -> pd.DataFrame:
    """Group times with a status into periods.

    A period begins with a stay's first status, with another one than before, or 14 hours or more after the one
    before. It ends at the next time with any status, or at its own last time when none follows within 14 hours. A
    period of one time alone is left out.

    Args:
        charted: One row per ICU stay and time, ordered by both: stay_id, seconds (since 1970), rank (of `STATUSES`).
        adjusted: Take 14 hours for that much time; otherwise for 14 clock hours begun since the hour of the one before.

    Returns:
        stay_id, starttime, endtime, status, ordered by stay and start.
    """
    hours = charted["seconds"] / HOUR_SECONDS if adjusted else charted["seconds"] // HOUR_SECONDS
    since_last = hours.groupby(charted["stay_id"]).diff()  # missing at a stay's first time
    near_next = -hours.groupby(charted["stay_id"]).diff(-1) < LONGEST_GAP_HOURS
    until_next = -charted.groupby("stay_id")["seconds"].diff(-1)
    new = since_last.isna() | since_last.ge(LONGEST_GAP_HOURS) | (charted["rank"] != charted["rank"].shift())
    lasts = until_next.where(near_next, 0)
    times = charted.assign(number=new.cumsum(), end=charted["seconds"] + lasts)
    found = times.groupby("number").agg(
        stay_id=("stay_id", "first"),
        start=("seconds", "min"),
        last=("seconds", "max"),
        end=("end", "max"),
        rank=("rank", "first"),
    )
    found = found[found["start"] != found["last"]]
    return pd.DataFrame(
        {
            "stay_id": found["stay_id"].to_numpy("int64"),
            "starttime": found["start"].to_numpy("int64").astype("datetime64[s]"),
            "endtime": found["end"].to_numpy("int64").astype("datetime64[s]"),
            "status": [STATUSES[rank] for rank in found["rank"]],
        }
    )


def _charted_rows(path: Path, values: dict[str, int], items: set[int], *, adjusted: bool) -> Iterator[pd.DataFrame]:
    """Stream chartevents and yield the rows that may tell a status, as integers.

    Args:
        path: The table chartevents.
        values: Gets the place of each charted value.
        items: Gets the items that are charted, all oxygen flows as one.
        adjusted: Leave out oxygen flows.

    Raises:
        DataError: The table is malformed.
    """
    wanted_items = pa.array(ITEMS if adjusted else ITEMS + OXYGEN_FLOWS, INTEGER)
    columns = {"stay_id": INTEGER, "itemid": INTEGER, "charttime": TEXT, "storetime": TEXT, "value": TEXT}
    yield pd.DataFrame(columns=[*_AT, "item", "stored", "value"], dtype="int64")
    for batch in stream_table(path, columns):
        wanted = pc.is_in(batch["itemid"], value_set=wanted_items)
        for column in ("stay_id", "charttime"):
            wanted = pc.and_(wanted, pc.is_valid(batch[column]))
        # A device without a value takes one of the four places, as in the query.
        has_value = pc.or_(pc.is_valid(batch["value"]), pc.fill_null(pc.equal(batch["itemid"], OXYGEN_DEVICE), False))
        rows = batch.filter(pc.and_(wanted, has_value))
        if rows.num_rows:
            numbers = _numbers(rows, values, path)
            items.update(numbers["item"].unique().tolist())
            yield numbers


def _has_no_flow(path: Path, items: set[int]) -> bool:
    """Return whether devices are charted and no oxygen flow is, and say what follows."""
    if _FLOW in items or OXYGEN_DEVICE not in items:
        return False
    logger.warning(
        "%s: no oxygen flow (items %s) is charted: every oxygen device counts, where mimic-code's query drops "
        "those without a flow; right for an extract without these items",
        path,
        ", ".join(map(str, OXYGEN_FLOWS)),
    )
    return True


def _numbers(rows: pa.RecordBatch, values: dict[str, int], path: Path) -> pd.DataFrame:
    """Rows as integers; a charted value becomes its place in ``values``, to which new ones are added."""
    items = rows["itemid"].to_numpy()
    items = np.where(np.isin(items, OXYGEN_FLOWS), _FLOW, items)
    stored = pc.fill_null(seconds_since_1970(rows, "storetime", path), np.iinfo(np.int64).min)
    return pd.DataFrame(
        {
            "stay_id": rows["stay_id"].to_numpy(),
            "seconds": seconds_since_1970(rows, "charttime", path).to_numpy(),
            "item": items,
            "stored": np.where(items == OXYGEN_DEVICE, stored.to_numpy(), 0),
            "value": [
                _NO_VALUE if value is None or item == _FLOW else values.setdefault(value, len(values))
                for item, value in zip(items.tolist(), stripped(rows["value"]).to_pylist(), strict=True)
            ],
        }
    )


def _rank_per_time(rows: pd.DataFrame, values: dict[str, int], *, every_device: bool) -> pd.DataFrame:
    """The status at every time at which one is charted: one row per stay and time, ordered by both, with its rank.

    Of several oxygen devices at one time the one stored last counts, and of those the greatest as text; a mask of
    non-invasive ventilation counts among the four that come first in that order. Of several ventilator modes the
    greatest counts. Unless every device counts, those with an oxygen flow at the same time do.
    """
    place = np.full(len(values) + 1, _NO_VALUE)  # of a value among all, as text; that of none comes last, at -1
    place[[values[text] for text in sorted(values)]] = np.arange(len(values))
    stay, seconds, item, stored, value = (rows[name].to_numpy() for name in rows)
    order = np.lexsort((place[value], stored, item, seconds, stay))
    stay, seconds, item, value = stay[order], seconds[order], item[order], value[order]
    slot, is_device = _slots(stay, seconds, item), item == OXYGEN_DEVICE
    rank = _ranks(values)[np.searchsorted(_ITEMS_BY_NUMBER, item), value]
    counts = (slot == 1) | (is_device & (slot <= SLOTS) & np.isin(rank, _RANKS_OF_ANY_SLOT))
    if not every_device:
        time = np.cumsum(_differs_from_next(stay, seconds)) - _differs_from_next(stay, seconds)
        counts &= ~is_device | (np.bincount(time, item == _FLOW) > 0)[time]
    counted = pd.DataFrame({"stay_id": stay, "seconds": seconds, "rank": rank})[counts & (rank != _NO_RANK)]
    return counted.groupby(_AT)[["rank"]].max().reset_index()


def _ranks(values: dict[str, int]) -> np.ndarray:
    """The rank of a value of an item, by its place in `_ITEMS_BY_NUMBER` and in ``values``; none comes last."""
    ranks = np.full((len(_ITEMS_BY_NUMBER), len(values) + 1), _NO_RANK)
    for (number, text), status in STATUS_OF.items():
        if text in values:
            ranks[np.searchsorted(_ITEMS_BY_NUMBER, number), values[text]] = _RANK[status]
    return ranks


def _slots(*keys: np.ndarray) -> np.ndarray:
    """The place of a row of sorted keys among those equal to it, counted from the last, which is 1."""
    number = np.arange(len(keys[0]))
    ends = number[_differs_from_next(*keys)]
    return ends[np.searchsorted(ends, number)] - number + 1 if len(ends) else number


def _differs_from_next(*keys: np.ndarray) -> np.ndarray:
    """Whether a row of sorted keys is the last of those equal to it."""
    differs = np.ones(len(keys[0]), dtype=bool)
    differs[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return differs
