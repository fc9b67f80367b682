"""Row counts of the releases: a warning for a table of another size, an error for a damaged release."""

import json
import re

import pytest

from clinical_peft.data.releases import RELEASE_ROWS, expected_rows, release_warnings
from clinical_peft.errors import DataError


def test_the_releases_hold_what_their_own_validation_counts():
    assert {name: rows for name, (_, rows) in RELEASE_ROWS.items()} == {
        "discharge": 331_793,
        "radiology": 2_321_355,
        "noteevents": 2_083_180,
    }


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "note" / "discharge.csv.gz"
    path.parent.mkdir()
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("rows", [10, 331_793, 331_794])
def test_a_table_of_another_size_is_a_warning(table, rows):
    assert expected_rows(table, "discharge", rows) == 331_793
    warnings = release_warnings({"discharge_rows": rows, "discharge_rows_expected": 331_793, "radiology_rows": 5})
    if rows == 331_793:
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert re.match(rf"discharge: expected the 331,793 rows of MIMIC-IV-Note 2.2, found {rows:,};", warnings[0])


@pytest.mark.parametrize("listed", ["note/discharge.csv.gz", "./note/discharge.csv.gz"])
def test_a_listed_file_must_have_the_rows_of_the_release(table, tmp_path, listed):
    (tmp_path / "SHA256SUMS.txt").write_text(f"{'0' * 64}  LICENSE.txt\n{'1' * 64}  {listed}\n")
    assert expected_rows(table, "discharge", 331_793) == 331_793
    for path in (table, table.with_suffix("")):
        with pytest.raises(DataError, match=r"discharge.csv.*expected the 331,793 rows.*found 331,792"):
            expected_rows(path, "discharge", 331_792)


def test_a_list_of_other_files_says_nothing(table, tmp_path):
    (tmp_path / "SHA256SUMS.txt").write_text(f"{'0' * 64}  note/radiology.csv.gz\n")
    assert expected_rows(table, "discharge", 7) == 331_793


def test_the_synthetic_hospital_has_its_own_size(table, tmp_path):
    (tmp_path / "PROVENANCE.json").write_text(json.dumps({"synthetic": True}))
    assert expected_rows(table, "discharge", 7) is None
    assert release_warnings({"discharge_rows": 7}) == []
