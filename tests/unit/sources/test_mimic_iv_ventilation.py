"""Periods of ventilation in MIMIC-IV and the cohort of prolonged ventilation."""

import random
import sqlite3

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mimic_iv_tables import START, stamp, write, write_chart
from ventilation_iv import (
    CHARTED,
    DEVICE,
    FLOW,
    HAMILTON,
    HOUR,
    INVASIVE,
    MODE,
    NONINVASIVE,
    OXYGEN,
    PEEP,
    TRACHEOSTOMY,
    found,
    icu,
)

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.labelling import label_table
from clinical_peft.data.ventilation_table import read_intervals, write_intervals
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iv.outcomes import MimicIV
from clinical_peft.sources.mimic_iv.ventilation import (
    HOUR_SECONDS,
    LONGEST_GAP_HOURS,
    find_periods,
    periods_from_statuses,
)
from clinical_peft.sources.mimic_iv.ventilation_items import OXYGEN_FLOWS, STATUS_OF, STATUSES


@pytest.mark.parametrize(
    ("charted", "expected"),
    [
        ([(1, 0, MODE, "CMV"), (1, 13.9, MODE, "CMV")], [(1, 0, 13.9, INVASIVE)]),
        ([(1, 0, MODE, "CMV"), (1, 14.1, MODE, "CMV")], []),
        ([(1, 0, MODE, "CMV"), (1, 1, MODE, "CMV"), (1, 15, MODE, "CMV"), (1, 16, MODE, "CMV")],
         [(1, 0, 1, INVASIVE), (1, 15, 16, INVASIVE)]),
        # A period ends when the next status is charted, if that is within 14 hours.
        ([(1, 0, MODE, "CMV"), (1, 4, MODE, "CMV"), (1, 17.9, DEVICE, "Nasal cannula"), (1, 18, DEVICE, "Face tent")],
         [(1, 0, 17.9, INVASIVE), (1, 17.9, 18, OXYGEN)]),
        ([(1, 0, MODE, "CMV"), (1, 4, MODE, "CMV"), (1, 18.1, DEVICE, "Nasal cannula"), (1, 19, DEVICE, "Face tent")],
         [(1, 0, 4, INVASIVE), (1, 18.1, 19, OXYGEN)]),
        # One time alone is no period.
        ([(1, 0, MODE, "CMV"), (1, 1, MODE, "CMV"), (1, 2, DEVICE, "None"), (1, 3, MODE, "CMV"), (1, 4, MODE, "CMV")],
         [(1, 0, 2, INVASIVE), (1, 3, 4, INVASIVE)]),
        # Values that are not listed, other items, and rows without a stay or a value tell nothing.
        ([(1, 0, MODE, "CMV"), (1, 1, MODE, "Standby"), (1, 2, PEEP, "5"), (1, 3, DEVICE, "T-piece"), (1, 4, MODE, "")],
         []),
        ([("", 0, MODE, "CMV"), ("", 1, MODE, "CMV"), (1, 0, HAMILTON, "NIV"), (1, 1, HAMILTON, "NIV-ST")],
         [(1, 0, 1, NONINVASIVE)]),
        ([(2, 0, MODE, "SIMV"), (1, 5, MODE, "CPAP/PSV"), (2, 1, MODE, "SIMV"), (1, 0, HAMILTON, "ASV")],
         [(1, 0, 5, INVASIVE), (2, 0, 1, INVASIVE)]),
    ],
)  # fmt: skip
def test_periods(tmp_path, charted, expected):
    write_chart(tmp_path, charted)
    assert find_periods(tmp_path)[1] == "chartevents"
    assert found(tmp_path) == expected


@pytest.mark.parametrize(
    ("at_once", "expected"),
    [
        ([(DEVICE, "Trach mask "), (MODE, "CMV"), (HAMILTON, "NIV")], TRACHEOSTOMY),
        ([(DEVICE, "Tracheostomy tube"), (HAMILTON, "ASV")], TRACHEOSTOMY),
        ([(DEVICE, "Nasal cannula"), (MODE, "CMV")], INVASIVE),
        ([(DEVICE, "Endotracheal tube")], INVASIVE),
        ([(DEVICE, "None"), (HAMILTON, "DuoPaP")], NONINVASIVE),
        ([(DEVICE, "CPAP mask "), (MODE, "Standby")], NONINVASIVE),
        ([(DEVICE, "High flow nasal cannula")], "HFNC"),
        ([(DEVICE, "Oxymizer")], OXYGEN),
        ([(DEVICE, "None")], "None"),
        ([(DEVICE, "Trach mask")], TRACHEOSTOMY),  # as written by a program that drops blanks
        ([(MODE, "NIV"), (HAMILTON, "CMV")], None),
    ],
)
def test_precedence_of_what_is_charted_at_one_time(tmp_path, at_once, expected):
    write_chart(tmp_path, [(1, hours, item, value) for hours in (0, 2) for item, value in at_once])
    assert found(tmp_path) == ([(1, 0, 2, expected)] if expected else [])


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([("Trach mask ", 1), ("Nasal cannula", 2)], OXYGEN),
        ([("Nasal cannula", 2), ("Trach mask ", 1)], OXYGEN),
        ([("Endotracheal tube", 1), ("Nasal cannula", 1)], OXYGEN),  # the greater text
        ([("Trach mask ", 1), ("Nasal cannula", None)], TRACHEOSTOMY),
        ([("Trach mask ", 1), ("T-piece", 2)], None),
        # A mask of non-invasive ventilation counts in any of four places.
        ([("Bipap mask ", 1), ("Other", 2)], NONINVASIVE),
        ([("CPAP mask ", 1), ("Nasal cannula", 2)], NONINVASIVE),
        ([("CPAP mask ", 1), ("Trach mask ", 2)], TRACHEOSTOMY),
        ([("Bipap mask ", 1), *(("Other", hours) for hours in (2, 3, 4))], NONINVASIVE),
        ([("Bipap mask ", 1), *(("Other", hours) for hours in (2, 3, 4, 5))], None),
        ([("Bipap mask ", 1), *(("Other", 2) for _ in range(4))], None),
        ([("Bipap mask ", 1), *(("", hours) for hours in (2, 3, 4, 5))], None),
        ([("Bipap mask ", None), ("Other", 2), ("High flow nasal cannula", 3)], NONINVASIVE),
        ([("High flow nasal cannula", 1), ("Other", 2)], None),
    ],
)
@pytest.mark.parametrize("adjusted", [False, True])
def test_devices_of_one_time(tmp_path, devices, expected, adjusted):
    charted = [
        (1, hours, DEVICE, value, *([hours + stored] if stored else []))
        for hours in (0, 4)
        for value, stored in devices
    ]
    write_chart(tmp_path, charted)
    assert found(tmp_path, adjusted=adjusted) == ([(1, 0, 4, expected)] if expected else [])


@pytest.mark.parametrize("flow", [[], [(1, 4, FLOW, "2")]])
@pytest.mark.parametrize("adjusted", [False, True])
def test_a_mask_below_another_device_ends_a_period(tmp_path, flow, adjusted):
    modes = [(1, hours, MODE, "CMV/ASSIST") for hours in (0, 1, 2)]
    write_chart(tmp_path, [*modes, (1, 4, DEVICE, "Bipap mask ", 4.1), (1, 4, DEVICE, "Other", 4.2), *flow])
    assert found(tmp_path, adjusted=adjusted) == [(1, 0, 4, INVASIVE)]


@pytest.mark.parametrize("flow", OXYGEN_FLOWS)
def test_a_device_without_a_flow_counts_if_adjusted(tmp_path, flow):
    tubes = [(1, hours, DEVICE, "Endotracheal tube") for hours in (0, 2, 4)]
    write_chart(tmp_path, [*tubes, (1, 0, flow, "2"), (1, 2, flow, ""), (1, 3, flow, "2"), (2, 4, flow, "2")])
    assert found(tmp_path) == []
    assert found(tmp_path, adjusted=True) == [(1, 0, 4, INVASIVE)]
    write_chart(tmp_path, [*tubes, *((1, hours, flow, "2") for hours in (0, 2, 4))])
    assert found(tmp_path) == [(1, 0, 4, INVASIVE)]


def test_a_table_without_flows_is_an_extract_and_said_to_be(tmp_path, caplog):
    write_chart(tmp_path, [(1, hours, DEVICE, "Endotracheal tube") for hours in (0, 2)])
    assert found(tmp_path) == [(1, 0, 2, INVASIVE)]
    record, _ = caplog.records  # each of the two ways says it
    assert "chartevents.csv: no oxygen flow (items 223834, 227582, 227287) is charted" in record.getMessage()
    write_chart(tmp_path, [(1, hours, MODE, "CMV") for hours in (0, 2)])
    assert found(tmp_path) == [(1, 0, 2, INVASIVE)]
    assert len(caplog.records) == 2


def test_a_gap_is_of_clock_hours_unless_adjusted(tmp_path):
    minutes = [(0, 40), (14, 10), (14, 20)]  # 13.5 hours, 14 of the clock
    write_chart(tmp_path, [(1, hours + minute / 60, MODE, "CMV") for hours, minute in minutes])
    assert [(start, round(end, 3)) for _, start, end, _ in found(tmp_path)] == [(14 + 1 / 6, 14.333)]
    assert [(round(start, 3), round(end, 3)) for _, start, end, _ in found(tmp_path, adjusted=True)] == [
        (0.667, 14.333)
    ]


PUBLISHED = """
WITH flows AS (
    SELECT DISTINCT stay_id, charttime FROM chart WHERE value IS NOT NULL AND itemid IN (223834, 227582, 227287)
), devices AS (
    SELECT stay_id, charttime, value,
        ROW_NUMBER() OVER (PARTITION BY stay_id, charttime ORDER BY storetime DESC NULLS LAST, value DESC NULLS LAST) n
    FROM chart WHERE itemid = 226732
), slots AS (
    SELECT stay_id, charttime, MAX(CASE WHEN n = 1 THEN value END) first,
        MAX(n <= 4 AND value IN ('Bipap mask ', 'CPAP mask ')) mask
    FROM devices JOIN flows USING (stay_id, charttime) GROUP BY 1, 2
), modes AS (
    SELECT stay_id, charttime, MAX(CASE WHEN itemid = 223849 THEN value END) mode,
        MAX(CASE WHEN itemid = 229314 THEN value END) hamilton
    FROM chart WHERE itemid IN (223849, 229314) GROUP BY 1, 2
), times AS (
    SELECT stay_id, charttime FROM slots UNION SELECT stay_id, charttime FROM modes
), statuses AS (
    SELECT stay_id, charttime, CASE
        WHEN d.status = 'Tracheostomy' THEN 'Tracheostomy'
        WHEN 'InvasiveVent' IN (d.status, m.status, h.status) THEN 'InvasiveVent'
        WHEN slots.mask OR h.status = 'NonInvasiveVent' THEN 'NonInvasiveVent'
        ELSE d.status END status
    FROM times LEFT JOIN slots USING (stay_id, charttime) LEFT JOIN modes USING (stay_id, charttime)
        LEFT JOIN listed d ON d.item = 226732 AND d.value = first
        LEFT JOIN listed m ON m.item = 223849 AND m.value = mode
        LEFT JOIN listed h ON h.item = 229314 AND h.value = hamilton
), lagged AS (
    SELECT *, LAG(charttime) OVER (PARTITION BY stay_id, status ORDER BY charttime) same,
        LEAD(charttime) OVER (PARTITION BY stay_id ORDER BY charttime) next,
        LAG(status) OVER (PARTITION BY stay_id ORDER BY charttime) before
    FROM statuses WHERE status IS NOT NULL
), numbered AS (
    SELECT *, SUM(before IS NULL OR charttime / 3600 - same / 3600 >= 14 OR before != status)
        OVER (PARTITION BY stay_id ORDER BY charttime) number
    FROM lagged
)
SELECT stay_id, MIN(charttime) start,
    MAX(CASE WHEN next IS NULL OR next / 3600 - charttime / 3600 >= 14 THEN charttime ELSE next END), MAX(status)
FROM numbered GROUP BY stay_id, number HAVING MIN(charttime) != MAX(charttime) ORDER BY 1, 2
"""  # mimic-code's oxygen_delivery, ventilator_setting and ventilation, of July 2026, for SQLite


def as_written(value: str) -> str:
    """The database's spelling of a value: the name of a mask ends in a blank."""
    return f"{value} " if value.endswith(" mask") else value


def published(charted) -> list[tuple[int, int, int, str]]:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE chart (stay_id INT, charttime INT, itemid INT, value TEXT, storetime INT)")
        database.execute("CREATE TABLE listed (item INT, value TEXT, status TEXT)")
        listed = [(item, as_written(value), status) for (item, value), status in STATUS_OF.items()]
        database.executemany("INSERT INTO listed VALUES (?, ?, ?)", listed)
        database.executemany("INSERT INTO chart VALUES (?, ?, ?, ?, ?)", charted)
        return database.execute(PUBLISHED).fetchall()


VALUES = {
    item: sorted(as_written(value) for listed, value in STATUS_OF if listed == item)
    for item in (DEVICE, MODE, HAMILTON)
}
GAPS = (900, 900, 3600, 3600, 13 * HOUR, round(13.25 * HOUR), round(13.75 * HOUR), 14 * HOUR, 15 * HOUR)  # seconds


def random_chart(seed: int) -> list[tuple[int, int, int, str | None, int | None]]:
    """Rows (stay, seconds, item, value, hours stored) of many stays, several devices at most times."""
    draw = random.Random(seed)
    rows: list[tuple[int, int, int, str | None, int | None]] = []
    for stay in range(400):
        at = draw.randrange(0, 2 * HOUR, 900)
        usual = {item: draw.choice(values) for item, values in VALUES.items()}
        for _ in range(draw.randrange(2, 9)):
            for _ in range(draw.choice([0, 1, 1, 1, 2, 3, 5, 6])):
                device = draw.choice([*[usual[DEVICE]] * 9, "Bipap mask ", "Other", "Zzz", None])
                rows.append((stay, at, DEVICE, device, draw.choice([None, 0, 1, 2])))
            for item in (MODE, HAMILTON):
                if draw.random() < 0.1:
                    rows += [(stay, at, item, draw.choice([usual[item], "Standby", None]), draw.choice([0, 1]))] * 2
            if draw.random() < 0.8:
                rows.append((stay, at, draw.choice(OXYGEN_FLOWS), draw.choice(["2", "2", "2", None]), None))
            at += draw.choice(GAPS)
    draw.shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_periods_equal_the_published_query(tmp_path, seed):
    charted = random_chart(seed)
    lines = [
        (stay, at / HOUR, item, value or "", *([] if stored is None else [stored]))
        for stay, at, item, value, stored in charted
    ]
    write_chart(tmp_path, lines)
    since = int(pd.Timestamp(START).timestamp())
    periods = [
        (p.stay_id, int(p.starttime.timestamp()) - since, int(p.endtime.timestamp()) - since, p.status)
        for p in find_periods(tmp_path)[0].itertuples()
    ]
    assert periods == published(charted)
    assert len(periods) > 100
    assert {status for *_, status in periods} == set(STATUSES)


STATUS_TIMES = st.dictionaries(
    st.tuples(st.integers(1, 3), st.integers(0, 400)), st.integers(0, len(STATUSES) - 1), min_size=1, max_size=40
)


@settings(deadline=None)
@given(STATUS_TIMES)
def test_adjusted_periods_equal_a_walk_through_the_times(times):
    rows = sorted((stay, tenths * 360, rank) for (stay, tenths), rank in times.items())
    charted = pd.DataFrame(rows, columns=["stay_id", "seconds", "rank"])
    periods = periods_from_statuses(charted, adjusted=True)
    got = [(p.stay_id, p.starttime.timestamp(), p.endtime.timestamp(), p.status) for p in periods.itertuples()]
    assert got == walk(rows)


def walk(rows: list[tuple[int, int, int]]) -> list[tuple[int, float, float, str]]:
    periods: list[list] = []
    last = None
    for place, (stay, seconds, rank) in enumerate(rows):
        following = rows[place + 1] if place + 1 < len(rows) and rows[place + 1][0] == stay else None
        near = following is not None and following[1] - seconds < LONGEST_GAP_HOURS * HOUR_SECONDS
        end = following[1] if near else seconds
        if last is None or (last[0], last[2]) != (stay, rank) or seconds - last[1] >= LONGEST_GAP_HOURS * HOUR_SECONDS:
            periods.append([stay, seconds, end, STATUSES[rank], seconds])
        else:
            periods[-1][2], periods[-1][4] = end, seconds
        last = (stay, seconds, rank)
    return [tuple(period[:4]) for period in periods if period[1] != period[4]]


def test_written_periods_are_read_back(tmp_path):
    write_chart(tmp_path, [(1, 0, MODE, "CMV"), (1, 1, MODE, "CMV"), (2, 0, DEVICE, "None"), (2, 1, DEVICE, "None")])
    output = tmp_path / "out" / "ventilation.parquet"
    assert write_intervals(output, *find_periods(tmp_path)) == {"source": "chartevents", "intervals": 2, "stays": 2}
    assert pq.read_schema(output).metadata[b"source"] == b"chartevents"
    pd.testing.assert_frame_equal(read_intervals(output), find_periods(tmp_path)[0])


def test_without_charted_modes_the_procedures_count(tmp_path):
    rows = [
        [1, 1, stay, stamp(start), stamp(end), item, status]
        for stay, start, end, item, status in [
            (1, 0, 50, 225792, "FinishedRunning"),
            (1, 60, 60, 225792, "FinishedRunning"),
            (2, 0, 9, 225794, "FinishedRunning"),
            (3, 0, 9, 225792, "Rewritten"),
        ]
    ]
    header = "subject_id,hadm_id,stay_id,starttime,endtime,itemid,statusdescription"
    write(tmp_path, "icu/procedureevents", header, rows)
    assert find_periods(tmp_path)[1] == "procedureevents 225792"
    assert found(tmp_path) == [(1, 0, 50, INVASIVE)]
    (tmp_path / "icu" / "procedureevents.csv").unlink()
    with pytest.raises(DataError, match="procedureevents"):
        find_periods(tmp_path)


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("stay_id,charttime,storetime,itemid", [1, stamp(0), "", MODE], "expected column value"),
        (CHARTED, [1, "yesterday", "", MODE, "CMV"], "column charttime: expected times"),
        (CHARTED, [1, stamp(0), "yesterday", DEVICE, "None"], "column storetime: expected times"),
    ],
)
def test_a_malformed_chart_is_named(tmp_path, header, row, expected):
    write(tmp_path, "icu/chartevents", header, [row])
    with pytest.raises(DataError, match=r"chartevents\.csv") as caught:
        find_periods(tmp_path)
    assert expected in str(caught.value)
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize(("days", "label"), [(1.74, None), (1.76, 0), (6.74, 0), (6.76, 1), (30, 1)])
def test_thresholds(tmp_path, days, label):
    folder = icu(tmp_path, [(1, 10, 0, days), (2, 20, 0, 3)])
    labels = label_table("pmv", MimicIV(folder), {}).set_index("hadm_id")["label"]
    assert labels.get(10) == label
    assert labels[20] == 0


def test_who_is_in_the_cohort(tmp_path):
    stays = [(number, number * 10, 0, 3) for number in range(1, 17)]
    codes = {
        30: ("1499", 9), 40: ("35801", 9), 50: ("3580", 9), 60: ("94809", 9), 70: ("V594", 9), 80: ("C148", 10),
        90: ("C153", 10), 100: ("G7001", 10), 110: ("G7000", 10), 120: ("T2000XA", 10), 130: ("T3120", 10),
        140: ("T3130", 10), 150: ("Z524", 10), 160: ("V5911XA", 10),
    }  # fmt: skip
    folder = icu(tmp_path, stays, ages={15: 16, 25: 17}, codes=codes)
    attrition = Attrition()
    cohort = MimicIV(folder).ventilated(attrition)
    assert cohort["hadm_id"].tolist() == [20, 50, 60, 90, 110, 130, 160]
    assert [step["rows"] for step in attrition.steps] == [16, 15, 7, 7, 7, 7]


def test_the_span_covers_all_invasive_periods_of_a_stay(tmp_path):
    icu(tmp_path, [(1, 10, 0, 1), (2, 20, 0, 1)])
    day = [(stay, hours, MODE, "CMV") for stay in (1, 2) for hours in (0, 1)]
    mask = [(stay, 2, DEVICE, "Trach mask ") for stay in (1, 2)] + [(2, 162, DEVICE, "Trach mask ")]
    write_chart(tmp_path, [*day, *mask, (1, 160, MODE, "CMV"), (1, 162, MODE, "CMV"), (2, 170, DEVICE, "Trach mask ")])
    assert label_table("pmv", MimicIV(tmp_path), {}).to_dict("list") == {
        "hadm_id": [10],
        "subject_id": [15],
        "label": [1],
    }
