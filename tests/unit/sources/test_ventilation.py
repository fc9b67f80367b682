"""Episodes of ventilation and the cohort of prolonged ventilation."""

import gzip

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_memory import needs_proc, peak_bytes
from sklearn.model_selection import train_test_split
from ventilation_iii import (
    EVENT,
    HOUR,
    MODE,
    OXYGEN,
    PEEP,
    charted_hospital,
    hours_of,
    icu,
    stamp,
    write,
    write_procedures,
)

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.cohorts import build_cohort
from clinical_peft.data.prolonged_ventilation import random_split
from clinical_peft.data.ventilation_table import read_intervals, write_intervals
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.sources.mimic_iii.prolonged_ventilation import ventilated_admissions, with_early_note
from clinical_peft.sources.mimic_iii.ventilation import episodes_from_events, find_episodes
from clinical_peft.tasks import find_task


@pytest.mark.parametrize(
    ("charted", "procedures", "expected"),
    [
        ([(1, 0, PEEP, "5"), (1, 7.9, PEEP, "5")], [], [(1, 0, 7.9)]),
        ([(1, 0, PEEP, "5"), (1, 8, PEEP, "5")], [], [(1, 0, 8)]),
        (
            [(1, 0, PEEP, "5"), (1, 1, PEEP, "5"), (1, 9.1, PEEP, "5"), (1, 10, PEEP, "5")],
            [],
            [(1, 0, 1), (1, 9.1, 10)],
        ),
        (
            [(1, 0, PEEP, "5"), (1, 1, EVENT, "Extubated"), (1, 2, PEEP, "5"), (1, 3, PEEP, "5")],
            [],
            [(1, 0, 1), (1, 2, 3)],
        ),
        ([(1, 0, PEEP, "5"), (1, 1, OXYGEN, "Hood"), (1, 2, PEEP, "5"), (1, 3, PEEP, "5")], [], [(1, 2, 3)]),
        ([(1, 0, PEEP, "5"), (1, 1, PEEP, "5"), (1, 1, OXYGEN, "Hood"), (1, 2, PEEP, "5")], [], [(1, 0, 2)]),
        ([(1, 0, PEEP, "5"), (1, 2, PEEP, "5")], [(1, 1, 1, 227194)], [(1, 0, 1)]),
        *(
            ([(1, 0, PEEP, "5"), (1, 5, PEEP, "5"), *charted], [(1, 6, 6, item) for item in items], [(1, 0, end)])
            for charted, items, end in [
                ([], [227194], 6),
                ([], [227194, 227194], 6),
                ([], [227194, 225477], 6),
                ([], [225468, 225468], 6),
                ([], [227194, 225468], 5),  # two events, which the concept tells apart
                ([(1, 6, EVENT, "Extubated")], [227194], 6),
                ([(1, 6, EVENT, "Extubated")], [225468], 5),
                ([(1, 6, EVENT, "Self Extubation")], [225468], 6),
                ([(1, 6, EVENT, "Extubated"), (1, 6, OXYGEN, "Hood")], [227194], 5),
            ]
        ),
        ([(1, 0, PEEP, "5")], [], []),
        ([(1, 0, EVENT, "Extubated"), (1, 1, EVENT, "Extubated")], [], []),
        ([(1, 0, MODE, "Other/Remarks"), (1, 1, MODE, "CMV"), (1, 2, MODE, "CMV")], [], [(1, 1, 2)]),
        ([(1, 0, OXYGEN, "Ventilator"), (1, 1, OXYGEN, "Ventilator")], [], [(1, 0, 1)]),
        ([(1, 0, PEEP, "5"), (1, 1, PEEP, "5", "1"), (1, 2, PEEP, "5", "0"), (1, 3, PEEP, "")], [], [(1, 0, 2)]),
        ([("", 0, PEEP, "5"), ("", 1, PEEP, "5"), (1, 0, 211, "80"), (1, 1, 211, "80")], [], []),
        ([(2, 0, PEEP, "5"), (1, 0, PEEP, "5"), (2, 1, PEEP, "5"), (1, 2, PEEP, "5")], [], [(1, 0, 2), (2, 0, 1)]),
    ],
)
@pytest.mark.parametrize("divided", [False, True])
def test_episodes(tmp_path, divided, charted, procedures, expected):
    work = tmp_path / "work" if divided else None
    episodes, source = find_episodes(charted_hospital(tmp_path, charted, procedures), work)
    assert not (tmp_path / "work").exists()
    assert source == "CHARTEVENTS"
    assert hours_of(episodes) == expected


@pytest.mark.parametrize("value", ["Trach mask ", "Trach mask"])
def test_trailing_spaces_of_metavision_values_do_not_count(tmp_path, value):
    charted = [
        (1, 0, PEEP, "5"),
        (1, 1, PEEP, "5"),
        (1, 2, 226732, value),
        (1, 3, PEEP, "5"),
        (1, 4, PEEP, "5"),
    ]
    episodes, _ = find_episodes(charted_hospital(tmp_path, charted))
    assert hours_of(episodes) == [(1, 0, 1), (1, 3, 4)]


EVENTS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 40), st.booleans(), st.booleans(), st.sampled_from([0, 0, 1, 2])),
    min_size=1,
    max_size=30,
)
PROCEDURES = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 40), st.booleans()), max_size=6)


@settings(deadline=None)
@given(EVENTS, PROCEDURES)
def test_episodes_equal_a_walk_through_the_events(events, procedures):
    charted = pd.DataFrame(events, columns=["icustay_id", "seconds", "ventilated", "oxygen", "extubated"])
    charted["self_extubated"] = charted["extubated"] == 2
    charted["extubated"] = charted["extubated"] > 0
    charted = charted.groupby(["icustay_id", "seconds"], as_index=False).any()
    charted["seconds"] *= HOUR
    extubations = pd.DataFrame(procedures, columns=["icustay_id", "seconds", "self_extubated"])
    extubations = extubations.astype({"icustay_id": "int64", "seconds": "int64", "self_extubated": bool})
    extubations["seconds"] *= HOUR
    found = [
        (row.icustay_id, row.starttime.timestamp(), row.endtime.timestamp())
        for row in episodes_from_events(charted, extubations).itertuples()
    ]
    assert found == walk(charted, extubations)


def walk(charted: pd.DataFrame, extubations: pd.DataFrame) -> list[tuple[int, float, float]]:
    episodes = []
    for stay in (1, 2):
        rows = [
            (r.seconds, r.ventilated, r.oxygen, r.extubated, r.self_extubated)
            for r in charted.itertuples()
            if r.icustay_id == stay
        ]
        for r in extubations.itertuples():
            row = (r.seconds, False, False, True, r.self_extubated)
            if r.icustay_id == stay and row not in rows:  # equal rows are one
                rows.append(row)
        number, last_vent, was_extubated, numbered = 0, None, False, []
        for seconds, ventilated, oxygen, extubated, _ in sorted(rows, key=lambda row: row[0]):
            late = ventilated and last_vent is not None and seconds - last_vent > 8 * HOUR
            relevant = ventilated or extubated
            number += bool((relevant and was_extubated) or (oxygen and not ventilated) or late)
            numbered.append([seconds, number, ventilated, relevant])
            last_vent = seconds if ventilated else last_vent
            was_extubated = extubated if relevant else was_extubated
        last_number = {seconds: number for seconds, number, _, _ in numbered}  # the last one at a time counts
        groups: dict[int, list] = {}
        for seconds, _, ventilated, relevant in numbered:
            if relevant:
                groups.setdefault(last_number[seconds], []).append((seconds, ventilated))
        for own in groups.values():
            times = [seconds for seconds, _ in own]
            if any(ventilated for _, ventilated in own) and min(times) != max(times):
                episodes.append((stay, min(times), max(times)))
    return episodes


def test_without_charted_settings_the_procedures_count(tmp_path):
    procedures = [(1, 0, 50, 225792), (1, 60, 60, 225792), (2, 0, 9, 225794), ("", 0, 9, 225792)]
    write_procedures(tmp_path, procedures)
    output = tmp_path / "out" / "ventilation.parquet"
    counts = write_intervals(output, *find_episodes(tmp_path))
    assert counts == {"source": "PROCEDUREEVENTS_MV 225792", "intervals": 1, "stays": 1}
    assert pq.read_schema(output).metadata[b"source"] == b"PROCEDUREEVENTS_MV 225792"
    assert hours_of(read_intervals(output)) == [(1, 0, 50)]
    write_procedures(tmp_path, procedures, status="Rewritten")
    assert write_intervals(output, *find_episodes(tmp_path))["intervals"] == 0
    (tmp_path / "PROCEDUREEVENTS_MV.csv").unlink()
    with pytest.raises(DataError, match="PROCEDUREEVENTS_MV"):
        write_intervals(output, *find_episodes(tmp_path))


@pytest.mark.parametrize(("days", "label"), [(1.74, None), (1.76, 0), (6.74, 0), (6.76, 1), (30, 1)])
def test_thresholds(tmp_path, days, label):
    folder = icu(tmp_path, [(1, 10, 0, days), (2, 20, 0, 3)])
    labels = ventilated_admissions(folder, find_episodes(folder)[0], Attrition()).set_index("hadm_id")["label"]
    assert labels.get(10) == label
    assert labels[20] == 0


def test_who_is_in_the_cohort(tmp_path):
    stays = [(number, number * 10, 0, 3) for number in range(1, 12)]
    born = {10: "2132-01-02 00:00:00", 20: "1850-01-01 00:00:00", 30: "2131-12-31 00:00:00"}
    codes = {40: "1499", 50: "35801", 60: "3580", 70: "94809", 80: "94830", 90: "9412", 100: "V594"}
    folder = icu(tmp_path, stays, born=born, codes=codes)
    attrition = Attrition()
    cohort = ventilated_admissions(folder, find_episodes(folder)[0], attrition)
    assert cohort["hadm_id"].tolist() == [20, 30, 60, 70, 110]
    assert [step["rows"] for step in attrition.steps] == [11, 11, 10, 5, 5, 5, 5]


def test_any_long_stay_makes_ventilation_prolonged(tmp_path):
    folder = icu(tmp_path, [(1, 10, 0, 0.5), (2, 10, 48, 2), (3, 10, 200, 8)])
    cohort = ventilated_admissions(folder, find_episodes(folder)[0], Attrition())
    assert cohort["label"].tolist() == [1]
    assert cohort["first_start"].tolist() == [pd.Timestamp(stamp(49))]


def test_an_early_nursing_or_respiratory_note_is_needed(tmp_path):
    folder = icu(tmp_path, [(number, number * 10, 0, 3) for number in range(1, 8)])  # ventilated from hour 1
    notes = [
        [10, stamp(1), "Nursing"],
        [20, stamp(49), "Respiratory "],
        [30, stamp(49.1), "Nursing/other"],
        [40, stamp(0.9), "Nursing"],
        [50, stamp(2), "Physician "],
        [60, "", "Nursing"],
        ["", stamp(2), "Nursing"],
    ]
    write(folder, "NOTEEVENTS", "HADM_ID,CHARTTIME,CATEGORY", notes)
    cohort = ventilated_admissions(folder, find_episodes(folder)[0], Attrition())
    assert with_early_note(folder, cohort)["hadm_id"].tolist() == [10, 20]


FIND_EPISODES = """
import sys
from pathlib import Path
from clinical_peft.sources.mimic_iii.ventilation import find_episodes
from clinical_peft.tasks import find_task
assert len(find_episodes(Path(sys.argv[1]), Path(sys.argv[2]))[0]) == int(sys.argv[3])
"""


@pytest.mark.slow
@needs_proc
def test_memory_does_not_grow_with_the_rows_of_other_items(tmp_path):
    write_procedures(tmp_path, [])
    ventilated = [f"1,{PEEP},{stamp(hours)},5," for hours in (0, 1)]
    other = "".join(f"{stay},211,{stamp(0)},{stay % 90},\n" for stay in range(50_000))
    peaks = []
    for count in (50, 150):  # 80 and 250 MB: more than what pyarrow decompresses ahead
        with gzip.open(tmp_path / "CHARTEVENTS.csv.gz", "wt", compresslevel=1) as handle:
            handle.write("ICUSTAY_ID,ITEMID,CHARTTIME,VALUE,ERROR\n")
            handle.writelines([other] * count)
            handle.write("\n".join(ventilated))
        peaks.append(peak_bytes(FIND_EPISODES, tmp_path, tmp_path / "work", 1))
    assert peaks[1] < 500e6
    assert peaks[1] < 1.15 * peaks[0]


@pytest.mark.slow
@needs_proc
def test_memory_does_not_grow_with_the_charted_settings(tmp_path):
    write_procedures(tmp_path, [])
    hours = "".join(f"{{stay}},{PEEP},{stamp(hour)},5,\n" for hour in range(100))
    peaks = []
    for stays in (15_000, 45_000):
        with gzip.open(tmp_path / "CHARTEVENTS.csv.gz", "wt", compresslevel=1) as handle:
            handle.write("ICUSTAY_ID,ITEMID,CHARTTIME,VALUE,ERROR\n")
            handle.writelines(hours.format(stay=stay) for stay in range(stays))
        peaks.append(peak_bytes(FIND_EPISODES, tmp_path, tmp_path / "work", stays))
    assert peaks[1] < 500e6
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("size", [3, 10, 97, 7287])
def test_random_split_is_scikit_learns(size):
    ids = pd.Series(range(100_000, 100_000 + 3 * size, 3)).sample(frac=1, random_state=0)
    split_of = random_split(ids)
    rest, test = train_test_split(sorted(ids), test_size=0.1, random_state=1)
    train, validation = train_test_split(rest, test_size=1 / 9, random_state=1)
    for name, members in {"train": train, "validation": validation, "test": test}.items():
        assert {hadm_id for hadm_id, split in split_of.items() if split == name} == set(members)
    if size == 7287:
        assert (len(train), len(validation), len(test)) == (5829, 729, 729)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**9), unique=True, min_size=1), st.randoms(use_true_random=False))
def test_a_random_split_ignores_the_order_of_admissions(ids, generator):
    split_of = random_split(pd.Series(ids, dtype="int64"))
    assert set(split_of) == set(ids)
    test = -(-len(ids) // 10)
    validation = -(-(len(ids) - test) // 9)
    counts = [list(split_of.values()).count(split) for split in ("test", "validation")]
    assert counts == [test, validation]
    generator.shuffle(ids)
    assert random_split(pd.Series(ids, dtype="int64")) == split_of


@pytest.mark.parametrize("pmv_split", ["derived-random", "core-patient"])
def test_prolonged_ventilation_cohort(tmp_path, pmv_split):
    stays = [(number, number * 10, 0, 3 if number % 2 else 8) for number in range(1, 41)]
    folder = icu(tmp_path / "mimic-iii", stays)
    rows = [[n, n * 10 + 5, n * 10, stamp(2), "Nursing"] for n in range(1, 40)]
    write(folder, "NOTEEVENTS", "ROW_ID,SUBJECT_ID,HADM_ID,CHARTTIME,CATEGORY", rows)
    notes = pd.DataFrame(
        {"hadm_id": range(20, 410, 10), "subject_id": range(25, 415, 10), "text": "CHIEF COMPLAINT: x"}
    )
    notes.loc[0, "text"] = "CHIEF COMPLAINT: patient died"
    notes.to_parquet(tmp_path / "admission.parquet", index=False)
    steps = build_cohort(
        find_task("pmv"),
        admission_notes=tmp_path / "admission.parquet",
        outcomes=MimicIII(folder),
        splits="hash",
        salt="s",
        pmv_split=pmv_split,
        switches={"death_phrases_original": False},
        output=tmp_path / "pmv.parquet",
        classes_output=tmp_path / "pmv.classes.json",
        attrition_output=tmp_path / "pmv.attrition.json",
    )
    cohort = pq.read_table(tmp_path / "pmv.parquet").to_pandas()
    assert cohort["hadm_id"].tolist() == list(range(30, 400, 10))
    assert cohort["label"].tolist() == [1 - number % 2 for number in range(3, 40)]
    assert [step["rows"] for step in steps] == [40, 40, 40, 40, 40, 40, 40, 39, 38, 37]
    if pmv_split == "derived-random":
        expected = random_split(pd.Series(range(10, 400, 10)))
        assert cohort["split"].tolist() == [expected[hadm_id] for hadm_id in cohort["hadm_id"]]
