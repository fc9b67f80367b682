"""Rows divided by ICU stay on disk."""

import stat

import numpy as np
import pandas as pd
import pytest

from clinical_peft.data import stay_partitions
from clinical_peft.data.stay_partitions import by_stay

COLUMNS = {"stay_id": "int64", "seconds": "int64", "ventilated": "bool"}


def frames(rows: int, each: int = 7) -> list[pd.DataFrame]:
    draws = np.random.default_rng(rows)
    columns = {"stay_id": draws.integers(30_000_000, 30_000_050, rows), "seconds": np.arange(rows)}
    whole = pd.DataFrame(columns).assign(ventilated=draws.random(rows) < 0.5)
    return [whole.iloc[:0], *(whole.iloc[start : start + each] for start in range(0, rows, each))]


@pytest.mark.parametrize("buffered", [1, 20, 10_000])
@pytest.mark.parametrize("rows", [0, 1, 500])
def test_each_stays_rows_come_together_in_their_order(tmp_path, monkeypatch, buffered, rows):
    monkeypatch.setattr(stay_partitions, "BUFFERED_ROWS", buffered)
    with by_stay(frames(rows), "stay_id", tmp_path / "work") as partitions:
        found = list(partitions)
    assert all(dict(part.dtypes.astype(str)) == COLUMNS for part in found)
    stays = [set(part["stay_id"]) for part in found]
    assert sum(map(len, stays)) == len(set().union(*stays))
    assert len(found) == 1 if rows < 2 else len(found) > 10
    expected = pd.concat(frames(rows)).sort_values(["stay_id", "seconds"], ignore_index=True)
    got = pd.concat(found).sort_values("stay_id", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(got, expected)


def test_rows_are_private_and_do_not_stay(tmp_path):
    work = tmp_path / "work"
    (work / ".partial-stays").mkdir(parents=True)
    (work / ".partial-stays" / "000.arrow").write_bytes(b"of a killed process")
    modes = []

    def fail(partitions):
        modes.append(stat.S_IMODE(work.stat().st_mode))
        raise ZeroDivisionError(sum(map(len, partitions)))

    with by_stay(frames(50), "stay_id", work) as partitions:
        assert sum(map(len, partitions)) == 50
    assert not work.exists()
    with pytest.raises(ZeroDivisionError, match="50"), by_stay(frames(50), "stay_id", work) as partitions:
        fail(partitions)
    assert modes == [0o700]
    assert not work.exists()
