"""Which patients train, validate and test: by hash, by published lists, or by the years of their stays."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from clinical_peft.data.hash_split import hash_split
from clinical_peft.data.tables import INTEGER, read_table
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources import Source

LIST_FILES = {"train": "mimic_train.csv", "validation": "mimic_val.csv", "test": "mimic_test.csv"}


def read_split_lists(folder: Path) -> dict[int, str]:
    """Read published lists of patients.

    Args:
        folder: Holds mimic_train.csv, mimic_val.csv and mimic_test.csv with a column SUBJECT_ID; a patient may
            stand in one list several times (the lists of CORe have a row per admission).

    Returns:
        The split of each subject_id.

    Raises:
        DataError: A list is missing, malformed or empty, or a patient stands in two lists.
    """
    split_of: dict[int, str] = {}
    for split, name in LIST_FILES.items():
        path = Path(folder) / name
        subjects = read_table(path, {"SUBJECT_ID": INTEGER})["SUBJECT_ID"].dropna().unique()
        if not len(subjects):
            raise DataError(f"{path}: expected a patient per row, found none")
        for subject_id in map(int, subjects):
            if subject_id in split_of:
                raise DataError(
                    f"{path}: expected disjoint lists, found a patient who is also in "
                    f"{LIST_FILES[split_of[subject_id]]}; take the patient out of one"
                )
            split_of[subject_id] = split
    return split_of


def assign_splits(
    subject_ids: Iterable[int], *, splits: Literal["hash"] | Path | Mapping[int, str], salt: str
) -> list[str | None]:
    """Return the split of each patient.

    Args:
        subject_ids: Patients, repeated or not.
        splits: ``hash``, the folder of published lists, or the split of each patient.
        salt: Secret-free text that the hash depends on; unused with lists.

    Returns:
        One split per patient given; None for a patient who is in no list or has none.

    Raises:
        DataError: As for `read_split_lists`.
    """
    if splits == "hash":
        return [hash_split(subject_id, salt) for subject_id in map(int, subject_ids)]
    split_of = splits if isinstance(splits, Mapping) else read_split_lists(Path(splits))
    return [split_of.get(subject_id) for subject_id in map(int, subject_ids)]


def given_splits(
    given: str | Mapping[str, str], source: Source, folder: Path
) -> Literal["hash"] | Path | dict[int, str]:
    """Return what `assign_splits` takes for what a study gives.

    Args:
        given: ``hash``, a folder of lists, or the first groups of years of the validation and the test split.
        source: The hospital.
        folder: Folder of its tables.

    Raises:
        ConfigError: The hospital has no such groups of years, or they are not in their order.
        DataError: The table of patients is missing or malformed.
    """
    if isinstance(given, Mapping):
        return temporal_split_of_groups(source.year_groups(folder), **given)
    return "hash" if given == "hash" else Path(given)


def temporal_split_of_groups(groups: Mapping[int, str | None], *, validation: str, test: str) -> dict[int, str]:
    """Split patients by the group of years that their stays began in.

    Args:
        groups: Group of years of each patient (`Source.year_groups`), such as "2014 - 2016"; None where there is none.
        validation: First group of the validation split; earlier ones train.
        test: First group of the test split.

    Returns:
        The split of each patient who has a group.

    Raises:
        ConfigError: `validation` or `test` is no group of any patient, or they are not in their order.
    """
    known = sorted({group for group in groups.values() if group is not None})
    first = {
        split: " - ".join(years.replace("-", " ").split())
        for split, years in (("validation", validation), ("test", test))
    }
    for split, years in first.items():
        if years not in known:
            raise ConfigError(
                f"data.splits.temporal.{split}: expected one of {', '.join(known)}, found {years}; name a group of "
                "years (anchor_year_group) of the patients"
            )
    if not known[0] < first["validation"] < first["test"]:
        raise ConfigError(
            "data.splits.temporal: expected validation after the first group of years and before test, found "
            f"{first['validation']} and {first['test']} of {', '.join(known)}"
        )
    return {
        patient: "test" if group >= first["test"] else "validation" if group >= first["validation"] else "train"
        for patient, group in groups.items()
        if group is not None
    }
