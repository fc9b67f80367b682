"""Splits of patients."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables_fixtures import write_csv

from clinical_peft.data.hash_split import SPLITS, hash_split
from clinical_peft.data.splits import assign_splits, given_splits, read_split_lists, temporal_split_of_groups
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources import find_source

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")


def write_lists(folder: Path, train: list[int], validation: list[int], test: list[int]) -> Path:
    for name, subjects in {"train": train, "val": validation, "test": test}.items():
        lines = ["SUBJECT_ID", *map(str, subjects)]
        (folder / f"mimic_{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**9), max_size=50), st.text(max_size=8))
def test_hash_split_depends_on_patient_and_salt_alone(subjects, salt):
    found = assign_splits(subjects, splits="hash", salt=salt)
    assert found == [hash_split(subject, salt) for subject in subjects]
    assert set(found) <= set(SPLITS)
    for split in SPLITS:  # no patient in two splits, whatever the order
        own = {subject for subject, one in zip(subjects, found, strict=True) if one == split}
        assert not own & {subject for subject, one in zip(subjects, found, strict=True) if one != split}
    assert assign_splits(reversed(subjects), splits="hash", salt=salt) == found[::-1]


def test_hash_split_is_fixed_and_70_10_20():
    # The digests of "salt:1", "salt:4", "salt:15" begin with 73, ca93 and dd (sha256sum of coreutils).
    assert [hash_split(subject, "salt") for subject in (1, 4, 15)] == ["train", "validation", "test"]
    counts = dict.fromkeys(SPLITS, 0)
    for subject in range(20_000):
        counts[hash_split(subject, "salt")] += 1
    assert counts["train"] / 20_000 == pytest.approx(0.7, abs=0.01)
    assert counts["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert [hash_split(subject, "salt") for subject in range(100)] != [hash_split(s, "pepper") for s in range(100)]


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=8), st.integers(0, 10**9))
def test_hash_split_is_70_10_20_under_every_salt(salt, first):
    found = assign_splits(range(first, first + 4_000), splits="hash", salt=salt)
    for split, share in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        # Six standard deviations of a binomial share.
        assert found.count(split) / 4_000 == pytest.approx(share, abs=6 * (share * (1 - share) / 4_000) ** 0.5)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**9), unique=True, min_size=3, max_size=40), st.data())
def test_lists_are_read_as_they_are_written_whatever_they_hold(tmp_path_factory, subjects, data):
    splits = data.draw(st.lists(st.sampled_from(SPLITS), min_size=len(subjects) - 3, max_size=len(subjects) - 3))
    split_of = dict(zip(subjects, [*SPLITS, *splits], strict=True))
    members = [[subject for subject, own in split_of.items() if own == split] for split in SPLITS]
    repeated = [data.draw(st.permutations(own * 2)) for own in members]
    folder = write_lists(tmp_path_factory.mktemp("lists"), *repeated)
    assert read_split_lists(folder) == split_of
    stranger = max(subjects) + 1
    assert assign_splits([*subjects, stranger], splits=folder, salt="") == [*split_of.values(), None]


def test_lists_may_repeat_a_patient_and_leave_some_out(tmp_path):
    folder = write_lists(tmp_path, [1, 2, 1], [3], [4])
    assert read_split_lists(folder) == {1: "train", 2: "train", 3: "validation", 4: "test"}
    assert assign_splits([4, 5, 1], splits=folder, salt="") == ["test", None, "train"]


def test_a_patient_in_two_lists_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"mimic_test.csv.*mimic_train.csv"):
        read_split_lists(write_lists(tmp_path, [1, 2], [3], [2]))


def test_an_empty_or_missing_list_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"mimic_val.csv: expected a patient per row"):
        read_split_lists(write_lists(tmp_path, [1], [], [2]))
    (tmp_path / "mimic_test.csv").unlink()
    write_lists(tmp_path, [1], [2], [3])
    (tmp_path / "mimic_test.csv").unlink()
    with pytest.raises(DataError, match=r"mimic_test.csv: expected a CSV file, found none"):
        read_split_lists(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PATIENT\n1\n", "expected column SUBJECT_ID; found PATIENT"),
        (b"SUBJECT_ID\n1\n2,3\n", "row 3: expected 1 fields, found 2"),
        (b"SUBJECT_ID\n1\0\n", "found a NUL byte at byte 12"),
        (b"SUBJECT_ID\nsmith\n", "column SUBJECT_ID, row 2: expected whole numbers"),
        (b"", "expected a header line"),
    ],
)
def test_a_damaged_list_is_named(tmp_path, content, message):
    write_lists(tmp_path, [1], [2], [3])
    (tmp_path / "mimic_val.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"mimic_val\.csv: .*{message}|mimic_val\.csv: {message}"):
        read_split_lists(tmp_path)


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
def test_published_lists():
    split_of = read_split_lists(Path(REAL_DATA) / "core-splits")
    counts = [list(split_of.values()).count(split) for split in SPLITS]
    assert counts == [26_124, 3_732, 7_465]


YEARS = {1: "2008 - 2010", 2: "2011 - 2013", 3: "2014 - 2016", 4: "2017 - 2019", 5: "2020 - 2022", 6: None}


@pytest.mark.parametrize("validation", ["2014 - 2016", "2014-2016", " 2014  -  2016 "])
def test_groups_of_years_split_patients_by_time(validation):
    found = temporal_split_of_groups(YEARS, validation=validation, test="2017 - 2019")
    assert found == {1: "train", 2: "train", 3: "validation", 4: "test", 5: "test"}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        ("2015", "2017 - 2019", r"temporal\.validation: expected one of 2008 - 2010, .*, found 2015"),
        ("2014 - 2016", "2023 - 2025", r"temporal\.test: expected one of"),
        ("2017 - 2019", "2014 - 2016", "expected validation after the first group of years and before test"),
        ("2014 - 2016", "2014 - 2016", "expected validation after the first group of years and before test"),
        ("2008 - 2010", "2014 - 2016", "expected validation after the first group of years and before test"),
    ],
)
def test_groups_of_years_that_split_nothing_are_an_error(validation, test, message):
    with pytest.raises(ConfigError, match=message):
        temporal_split_of_groups(YEARS, validation=validation, test=test)


def test_mimic_iv_says_around_which_years_a_patient_stayed(tmp_path):
    (tmp_path / "patients.csv").write_text("subject_id,anchor_year_group\n1,2008 - 2010\n2,2014-2016\n3,\n")
    assert find_source("mimic-iv").year_groups(tmp_path) == {1: "2008 - 2010", 2: "2014 - 2016", 3: None}
    (tmp_path / "patients.csv").write_text("subject_id,anchor_year_group\n1,1999\n")
    with pytest.raises(DataError, match="column anchor_year_group of patients: expected 2008 - 2010"):
        find_source("mimic-iv").year_groups(tmp_path)


def test_a_temporal_split_of_mimic_iii_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="MIMIC-III has no real years"):
        find_source("mimic-iii").year_groups(tmp_path)


def test_given_splits_drop_patients_without_one():
    assert assign_splits([1, 2, 1], splits={1: "test"}, salt="") == ["test", None, "test"]


def test_what_a_study_gives_is_a_split_of_patients(tmp_path):
    groups = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "")
    rows = [[number, "F", 60, 2150, years, ""] for number, years in enumerate(groups)]
    write_csv(tmp_path / "patients.csv", "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod", rows)
    years = {"validation": "2011 - 2013", "test": "2014 - 2016"}
    mimic_iv, mimic_iii = find_source("mimic-iv"), find_source("mimic-iii")
    assert given_splits(years, mimic_iv, tmp_path) == {0: "train", 1: "validation", 2: "test"}
    assert given_splits("hash", mimic_iii, tmp_path) == "hash"
    assert given_splits("/lists", mimic_iii, tmp_path) == Path("/lists")
    with pytest.raises(ConfigError, match="dates are shifted per patient"):
        given_splits(years, mimic_iii, tmp_path)
