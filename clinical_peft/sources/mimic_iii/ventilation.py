"""Episodes of mechanical ventilation in MIMIC-III.

Follows the rules of the concept ``ventdurations`` of mimic-code (MIT-LCP): charted ventilator settings open and
continue an episode; an extubation, oxygen without a ventilator, or more than 8 hours without a setting end it. Rows
of one stay and time that show the same are one event, as in the concept's UNION: an extubation recorded twice, or
charted and recorded, ends an episode once.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.stay_partitions import by_stay
from clinical_peft.data.table_files import find_table, locate_table
from clinical_peft.data.tables import FLAG, INTEGER, TEXT, TIME, marked_as_error, read_table, stream_table, stripped
from clinical_peft.data.ventilation_table import VENTILATION_PROCEDURE, procedure_intervals, seconds_since_1970
from clinical_peft.sources.mimic_iii.ventilation_items import (
    EXTUBATION_PROCEDURES,
    EXTUBATION_VALUES,
    OXYGEN_VALUES,
    SELF_EXTUBATION_PROCEDURE,
    SELF_EXTUBATION_VALUES,
    VENTILATOR_EXCLUDED_VALUES,
    VENTILATOR_SETTINGS,
    VENTILATOR_VALUES,
)

FROM_CHARTED_SETTINGS = "CHARTEVENTS"
FROM_PROCEDURES = f"PROCEDUREEVENTS_MV {VENTILATION_PROCEDURE}"
LONGEST_GAP_SECONDS = 8 * 3600
_FLAGS = ["ventilated", "oxygen", "extubated", "self_extubated"]
_KEYS = ["icustay_id", "seconds"]


def find_episodes(mimic_iii: Path, work: Path | None = None) -> tuple[pd.DataFrame, str]:
    """Return the episodes of mechanical ventilation of every ICU stay, and the name of their source.

    Args:
        mimic_iii: Folder with PROCEDUREEVENTS_MV and, for both of the hospital's charting systems, CHARTEVENTS.
            Without CHARTEVENTS the ventilation intervals of PROCEDUREEVENTS_MV are taken, which exist for the
            MetaVision years only.
        work: Folder for charted events while they are divided by stay (`by_stay`), so that memory does not grow with
            them; None to keep them in memory.

    Returns:
        icustay_id, starttime, endtime, ordered; and the source.

    Raises:
        DataError: A table is missing or malformed.
    """
    charted = locate_table(mimic_iii, "CHARTEVENTS")
    procedures = find_table(mimic_iii, "PROCEDUREEVENTS_MV")
    if charted is None:
        return procedure_intervals(procedures, "icustay_id"), FROM_PROCEDURES
    extubations = _extubations(procedures)
    with by_stay(_charted_events(charted), "icustay_id", work) as partitions:
        found = [
            episodes_from_events(_merge(events), extubations[extubations["icustay_id"].isin(events["icustay_id"])])
            for events in partitions
        ]
    episodes = pd.concat(found, ignore_index=True)
    return episodes.sort_values("icustay_id", kind="stable", ignore_index=True), FROM_CHARTED_SETTINGS


def episodes_from_events(charted: pd.DataFrame, extubations: pd.DataFrame) -> pd.DataFrame:
    """Group events into episodes.

    Args:
        charted: One row per ICU stay and time: icustay_id, seconds (since 1970), and the flags ventilated, oxygen,
            extubated, self_extubated.
        extubations: icustay_id, seconds and self_extubated of extubations that are recorded as procedures.

    Returns:
        icustay_id, starttime, endtime of the episodes, ordered by stay and start. An episode has a ventilator
        setting and lasts longer than no time at all.
    """
    extubations = extubations.assign(ventilated=False, oxygen=False, extubated=True)
    events = pd.concat([charted, extubations], ignore_index=True).drop_duplicates([*_KEYS, *_FLAGS])
    events = events.sort_values(_KEYS, kind="stable", ignore_index=True)
    relevant = events["ventilated"] | events["extubated"]
    after_extubation = events[relevant].groupby("icustay_id")["extubated"].shift(fill_value=False)
    gap = events[events["ventilated"]].groupby("icustay_id")["seconds"].diff()
    opens = events["oxygen"] & ~events["ventilated"]
    opens |= after_extubation.reindex(events.index, fill_value=False)
    opens |= gap.reindex(events.index).gt(LONGEST_GAP_SECONDS)
    number = opens.astype("int64").groupby(events["icustay_id"]).cumsum()
    # Events of one time share the count that includes all of them, as a SQL window with ties does.
    events["number"] = number.groupby([events[key] for key in _KEYS]).transform("max")
    grouped = events[relevant].groupby(["icustay_id", "number"])
    found = grouped.agg(start=("seconds", "min"), end=("seconds", "max"), ventilated=("ventilated", "any"))
    found = found[found["ventilated"] & (found["start"] != found["end"])].reset_index()
    return pd.DataFrame(
        {
            "icustay_id": found["icustay_id"].astype("int64"),
            "starttime": found["start"].to_numpy("int64").astype("datetime64[s]"),
            "endtime": found["end"].to_numpy("int64").astype("datetime64[s]"),
        }
    )


def _charted_events(path: Path) -> Iterator[pd.DataFrame]:
    """Stream CHARTEVENTS and yield the times that show a ventilator, oxygen or an extubation, some more than once."""
    item_ids = VENTILATOR_SETTINGS | VENTILATOR_EXCLUDED_VALUES.keys() | VENTILATOR_VALUES.keys()
    item_ids = item_ids | OXYGEN_VALUES.keys() | EXTUBATION_VALUES.keys()
    wanted_items = pa.array(sorted(item_ids), INTEGER)
    columns = {"ICUSTAY_ID": INTEGER, "ITEMID": INTEGER, "CHARTTIME": TEXT, "VALUE": TEXT, "ERROR": FLAG}
    yield pd.DataFrame({"icustay_id": [], "seconds": []}, dtype="int64").assign(**dict.fromkeys(_FLAGS, False))
    for batch in stream_table(path, columns):
        wanted = pc.is_in(batch["ITEMID"], value_set=wanted_items)
        for column in ("ICUSTAY_ID", "CHARTTIME", "VALUE"):
            wanted = pc.and_(wanted, pc.is_valid(batch[column]))
        rows = batch.filter(pc.and_(wanted, pc.invert(marked_as_error(batch["ERROR"]))))
        if rows.num_rows:
            yield _merge(_flagged(rows, path))


def _flagged(rows: pa.RecordBatch, path: Path) -> pd.DataFrame:
    items, values = rows["ITEMID"].to_numpy(), stripped(rows["VALUE"]).to_pandas()
    ventilated = np.isin(items, sorted(VENTILATOR_SETTINGS))
    for item, excluded in VENTILATOR_EXCLUDED_VALUES.items():
        ventilated |= (items == item) & (values != excluded).to_numpy()
    return pd.DataFrame(
        {
            "icustay_id": rows["ICUSTAY_ID"].to_numpy(),
            "seconds": seconds_since_1970(rows, "CHARTTIME", path).to_numpy(),
            "ventilated": ventilated | _has_value(items, values, VENTILATOR_VALUES),
            "oxygen": _has_value(items, values, OXYGEN_VALUES),
            "extubated": _has_value(items, values, EXTUBATION_VALUES),
            "self_extubated": _has_value(items, values, SELF_EXTUBATION_VALUES),
        }
    )


def _has_value(items: np.ndarray, values: "pd.Series[str]", wanted: dict[int, frozenset[str]]) -> np.ndarray:
    found = np.zeros(len(items), dtype=bool)
    for item, names in wanted.items():
        found |= (items == item) & values.isin(names).to_numpy()
    return found


def _merge(events: pd.DataFrame) -> pd.DataFrame:
    return events.groupby(_KEYS, as_index=False)[_FLAGS].any()


def _extubations(path: Path) -> pd.DataFrame:
    events = read_table(path, {"ICUSTAY_ID": INTEGER, "STARTTIME": TIME, "ITEMID": INTEGER})
    events = events[events["ITEMID"].isin(EXTUBATION_PROCEDURES)].dropna()
    seconds = events["STARTTIME"].to_numpy().astype("datetime64[s]").astype("int64")
    by_patient = events["ITEMID"].to_numpy("int64") == SELF_EXTUBATION_PROCEDURE
    stays = events["ICUSTAY_ID"].to_numpy("int64")
    return pd.DataFrame({"icustay_id": stays, "seconds": seconds, "self_extubated": by_patient})
