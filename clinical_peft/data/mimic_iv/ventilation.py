"""Periods of one way of ventilation in MIMIC-IV.

Follows the rules of the concept ``ventilation`` of mimic-code (MIT-LCP): oxygen devices and ventilator modes give a
status at each time, of six; a period lasts while the status stays and no 14 hours pass without one.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.mimic_iv.ventilation_items import INVASIVE, ITEMS, OXYGEN_DEVICE, STATUS_OF, STATUSES
from clinical_peft.data.table_files import find_table, locate_table
from clinical_peft.data.tables import INTEGER, TEXT, stream_table
from clinical_peft.data.ventilation import procedure_intervals, seconds_since_1970
from clinical_peft.data.ventilation_items import VENTILATION_PROCEDURE

FROM_CHARTED_STATUS = "chartevents"
FROM_PROCEDURES = f"procedureevents {VENTILATION_PROCEDURE}"
LONGEST_GAP_SECONDS = 14 * 3600
_RANK = {status: rank for rank, status in enumerate(STATUSES)}
_NO_RANK = -1
_AT = ["stay_id", "seconds"]


def find_periods(mimic_iv: Path) -> tuple[pd.DataFrame, str]:
    """Return the periods of every ICU stay, and the name of their source.

    Args:
        mimic_iv: Folder with icu/chartevents, or without it with icu/procedureevents, whose intervals of invasive
            ventilation are then taken.

    Returns:
        stay_id, starttime, endtime, status, ordered; and the source.

    Raises:
        DataError: A table is missing or malformed.
    """
    charted = locate_table(mimic_iv, "chartevents")
    if charted is None:
        intervals = procedure_intervals(find_table(mimic_iv, "procedureevents"), "stay_id")
        return intervals.assign(status=INVASIVE), FROM_PROCEDURES
    return periods_from_statuses(charted_statuses(charted)), FROM_CHARTED_STATUS


def periods_from_statuses(charted: pd.DataFrame) -> pd.DataFrame:
    """Group times with a status into periods.

    A period begins with a stay's first status, with another one than before, or 14 hours or more after the one
    before. It ends at the next time with any status, or at its own last time when none follows within 14 hours. A
    period of one time alone is left out.

    Args:
        charted: One row per ICU stay and time, ordered by both: stay_id, seconds (since 1970), rank (of `STATUSES`).

    Returns:
        stay_id, starttime, endtime, status, ordered by stay and start.
    """
    stays = charted.groupby("stay_id")
    since_last = stays["seconds"].diff()  # missing at a stay's first time
    until_next = -stays["seconds"].diff(-1)
    new = since_last.isna() | since_last.ge(LONGEST_GAP_SECONDS) | (charted["rank"] != charted["rank"].shift())
    lasts = until_next.where(until_next < LONGEST_GAP_SECONDS, 0)
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


def charted_statuses(path: Path) -> pd.DataFrame:
    """Return the status at every time at which one is charted.

    Of several oxygen devices at one time the one stored last counts, and of those the greatest as text; of several
    ventilator modes the greatest. The table is streamed: memory grows with the rows of these items alone.

    Args:
        path: The table chartevents.

    Returns:
        One row per ICU stay and time, ordered by both: stay_id, seconds (since 1970), rank (of `STATUSES`).

    Raises:
        DataError: The table is malformed.
    """
    wanted_items = pa.array(ITEMS, INTEGER)
    columns = {"stay_id": INTEGER, "itemid": INTEGER, "charttime": TEXT, "storetime": TEXT, "value": TEXT}
    values: dict[str, int] = {}
    parts = [pd.DataFrame(columns=[*_AT, "item", "stored", "value"], dtype="int64")]
    for batch in stream_table(path, columns):
        wanted = pc.is_in(batch["itemid"], value_set=wanted_items)
        for column in ("stay_id", "charttime", "value"):
            wanted = pc.and_(wanted, pc.is_valid(batch[column]))
        rows = batch.filter(wanted)
        if rows.num_rows:
            parts.append(_numbers(rows, values, path))
    return _rank_per_time(pd.concat(parts, ignore_index=True), values)


def _numbers(rows: pa.RecordBatch, values: dict[str, int], path: Path) -> pd.DataFrame:
    """Rows as integers; a charted value becomes its place in ``values``, to which new ones are added."""
    items = rows["itemid"].to_numpy()
    stored = pc.fill_null(seconds_since_1970(rows, "storetime", path), np.iinfo(np.int64).min)
    return pd.DataFrame(
        {
            "stay_id": rows["stay_id"].to_numpy(),
            "seconds": seconds_since_1970(rows, "charttime", path).to_numpy(),
            "item": items,
            "stored": np.where(items == OXYGEN_DEVICE, stored.to_numpy(), 0),
            "value": [values.setdefault(value, len(values)) for value in rows["value"].to_pylist()],
        }
    )


def _rank_per_time(rows: pd.DataFrame, values: dict[str, int]) -> pd.DataFrame:
    """The highest rank of each stay and time, of the one row per item that counts there."""
    place = np.empty(len(values), dtype="int64")  # of a value among all, as text
    place[[values[text] for text in sorted(values)]] = np.arange(len(values))
    stay, seconds, item, stored, value = (rows[name].to_numpy() for name in rows)
    order = np.lexsort((place[value], stored, item, seconds, stay))
    stay, seconds, item, value = stay[order], seconds[order], item[order], value[order]
    ranks = np.full((len(ITEMS), len(values)), _NO_RANK)
    for (number, text), status in STATUS_OF.items():
        if text in values:
            ranks[ITEMS.index(number), values[text]] = _RANK[status]
    rank = ranks[np.searchsorted(ITEMS, item), value]
    last_of_item = _differs_from_next(stay, seconds, item)
    counted = pd.DataFrame({"stay_id": stay, "seconds": seconds, "rank": rank})[last_of_item & (rank != _NO_RANK)]
    return counted.groupby(_AT)[["rank"]].max().reset_index()


def _differs_from_next(*keys: np.ndarray) -> np.ndarray:
    """Whether a row of sorted keys is the last of those equal to it."""
    differs = np.ones(len(keys[0]), dtype=bool)
    differs[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return differs
