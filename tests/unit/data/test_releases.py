"""Row counts of the releases: an error for a file that claims to be one, a warning for a table of another size."""

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


@pytest.mark.parametrize(
    ("rows", "whole_release", "fails"),
    [
        (331_793, None, False), (331_793, True, False), (331_793, False, False),
        (331_792, None, True), (331_794, None, True), (315_204, None, True), (348_382, None, True),
        (315_203, None, False), (348_383, None, False), (10, None, False),
        (10, True, True), (331_792, False, False), (10, False, False),
    ],
)  # fmt: skip
def test_a_table_that_claims_to_be_the_release_has_its_rows(table, rows, whole_release, fails):
    if fails:
        with pytest.raises(DataError) as caught:
            expected_rows(table, "discharge", rows, whole_release=whole_release)
        for part in (str(table), "331,793 rows of MIMIC-IV-Note 2.2", f"found {rows:,}", "data.whole_release to false"):
            assert part in str(caught.value)
        return
    assert expected_rows(table, "discharge", rows, whole_release=whole_release) == 331_793
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
        with pytest.raises(DataError, match=r"discharge.csv.*expected the 331,793 rows.*lists the file; found 12;"):
            expected_rows(path, "discharge", 12)
    assert expected_rows(table, "discharge", 12, whole_release=False) == 331_793


def test_a_list_of_other_files_says_nothing(table, tmp_path):
    (tmp_path / "SHA256SUMS.txt").write_text(f"{'0' * 64}  note/radiology.csv.gz\n")
    assert expected_rows(table, "discharge", 7) == 331_793


def test_the_synthetic_hospital_has_its_own_size(table, tmp_path):
    (tmp_path / "PROVENANCE.json").write_text(json.dumps({"synthetic": True}))
    assert expected_rows(table, "discharge", 7) is None
    assert expected_rows(table, "discharge", 331_792, whole_release=True) is None
    assert release_warnings({"discharge_rows": 7}) == []
