"""Which rows of a user's table train, validate and test."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from clinical_peft.data.hash_split import SPLITS, hash_split
from clinical_peft.data.table_source import read_header
from clinical_peft.data.user_tables import Batch, read_batches
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.table.spec import TableSpec

UNPLACED = -1
"""Rank of a row that has no split, or none yet."""
RANK = {split: rank for rank, split in enumerate(SPLITS)}
NAMES = {**RANK, "val": RANK["validation"], "dev": RANK["validation"]}
"""Names of splits in a column, in any letter case."""
GIVEN = frozenset({"column", "files", "lists"})
"""Kinds of split that say of each row or patient where it stands; a patient in two splits is a mistake."""
BY_CUT = {"temporal": "on the earlier side of the patient's cut", "site": "in the first of the patient's splits"}
"""Kinds of split that cut between a patient's rows, with what they keep: a patient stays on the earlier side."""
PLACED = {"temporal": "with a time", "site": "with a site"}
_SUBJECT = "SUBJECT_ID"


class RowSplits:
    """The split of each row, as far as the row itself and its patient's id say it.

    Args:
        spec: The table.
        salt: What a hash depends on.

    Raises:
        ConfigError: The split lacks something that it needs.
        DataError: A list of patients is missing or malformed.
    """

    def __init__(self, spec: TableSpec, salt: str) -> None:
        _check(spec)
        self._spec = spec
        self._salt = salt
        self._lists = read_patient_lists(spec) if spec.split.kind == "lists" else {}
        if spec.split.kind == "temporal":
            self._cuts = [datetime.fromisoformat(of_split[0]) for of_split in (spec.split.validation, spec.split.test)]

    def ranks(
        self,
        batch: Batch,
        given: str,
        patients: Sequence[str] | None,
        times: Sequence[datetime | None],
        sites: Sequence[str | None],
    ) -> np.ndarray:
        """Return the rank of each row's split, int8 of shape (rows,); `UNPLACED` where it has none, or none yet.

        Args:
            batch: The rows.
            given: Key of their file, a split where there is one file per split.
            patients: Their patients; None where near-duplicates form a patient, which a hash waits for.
            times: Their times.
            sites: Their sites.

        Raises:
            DataError: The name of a split is unknown.
        """
        ways: Mapping[str, Callable[[], list[int]]] = {
            "hash": lambda: [self.hashed(patient) for patient in patients or ()] or [UNPLACED] * len(times),
            "column": lambda: self._named(batch),
            "lists": lambda: [self._lists.get(patient, UNPLACED) for patient in patients or ()],
            "temporal": lambda: [UNPLACED if time is None else self._side(time) for time in times],
            "site": lambda: [UNPLACED if site is None else self._site(site) for site in sites],
            "files": lambda: [RANK[given]] * len(times),
        }
        return np.array(ways[self._spec.split.kind](), np.int8)

    def hashed(self, patient: str | int) -> int:
        """Return the rank of a patient's split by hash."""
        return RANK[hash_split(patient, self._salt)]

    def _named(self, batch: Batch) -> list[int]:
        column = str(self._spec.split.column)
        found = []
        for position, name in enumerate(batch.plain(column, "train, validation or test")):
            rank = UNPLACED if name is None else NAMES.get(name.strip().lower())
            if rank is None:
                raise DataError(
                    f"{batch.place(position, column)}: expected train, validation (val, dev) or test, found another "
                    "name; rename the split, or leave the field empty to drop the row"
                )
            found.append(rank)
        return found

    def _side(self, time: datetime) -> int:
        return sum(time >= cut for cut in self._cuts)

    def _site(self, site: str) -> int:
        held_out = {"validation": self._spec.split.validation, "test": self._spec.split.test}
        return next((RANK[split] for split, sites in held_out.items() if site in sites), RANK["train"])


def _check(spec: TableSpec) -> None:
    split, where = spec.split, f"data.tables.{spec.name}.split"
    needed = {"temporal": ("time", spec.time), "site": ("site", spec.site), "lists": ("patient", spec.patient)}
    column, value = needed.get(split.kind, ("", ""))
    if value is None:
        raise ConfigError(
            f"{where}: {split.kind}: expected a column for {column}, found none; set {column} of the table"
        )
    if split.kind == "files" and {*spec.paths} != {*SPLITS}:
        raise ConfigError(f"{where}: expected one file for each of {', '.join(SPLITS)}, found {len(spec.paths)}")
    if split.kind == "site" and (shared := {*split.validation} & {*split.test}):
        raise ConfigError(f"{where}: expected each site in one split, found {', '.join(sorted(shared))} in two")
    if split.kind == "temporal":
        _check_dates(where, split.validation, split.test)


def _check_dates(where: str, validation: Sequence[str], test: Sequence[str]) -> None:
    try:
        first, second = (datetime.fromisoformat(date) for (date,) in (validation, test))
        in_order = first < second
    except (ValueError, TypeError):
        raise ConfigError(f"{where}: expected one date for validation and one for test, as 2019-01-01") from None
    if not in_order:
        raise ConfigError(f"{where}: expected a date of validation before that of test, found {first.date()} first")


def read_patient_lists(spec: TableSpec) -> dict[str, int]:
    """Read lists of patients, one file per split.

    The column has the name of the table's column of patients, or SUBJECT_ID.

    Returns:
        Rank of the split of each patient.

    Raises:
        DataError: A list is missing or malformed, or a patient stands in two lists.
    """
    rank_of: dict[str, int] = {}
    for split, path in spec.split.lists.items():
        if not path.is_file():
            raise DataError(f"{path}: expected a list of patients, found none; write one for each split")
        column = _patient_column(path, str(spec.patient))
        for batch in read_batches(path, [column]):
            for position, patient in enumerate(batch.plain(column, "a patient")):
                if patient is not None and rank_of.setdefault(patient, RANK[split]) != RANK[split]:
                    raise DataError(
                        f"{batch.place(position, column)}: expected disjoint lists, found a patient who is also in "
                        f"that of {SPLITS[rank_of[patient]]}; remove the patient from one"
                    )
    return rank_of


def _patient_column(path: Path, patient: str) -> str:
    names = {name.strip().lower() for name in read_header(path)}
    return patient if patient.lower() in names or _SUBJECT.lower() not in names else _SUBJECT


def patients_in_two_splits(patients: np.ndarray, ranks: np.ndarray) -> tuple[int, int] | None:
    """Find patients whose rows stand in different splits.

    Args:
        patients: Patient of each row as a number, uint64 of shape (rows,).
        ranks: Split of each row, int8 of shape (rows,); rows without one do not count.

    Returns:
        How many there are, and the first row whose split is not that of the patient's first row; None for none.
    """
    placed = np.flatnonzero(ranks != UNPLACED)
    _, first, patient = np.unique(patients[placed], return_index=True, return_inverse=True)
    differs = ranks[placed] != ranks[placed][first][patient]
    if not differs.any():
        return None
    return len(np.unique(patient[differs])), int(placed[np.argmax(differs)])


def on_the_earlier_side(patients: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return which rows stand in the earliest split of their patient, bool of shape (rows,).

    Args:
        patients: As for `patients_in_two_splits`.
        ranks: The same; rows without a split are in none.
    """
    placed = np.flatnonzero(ranks != UNPLACED)
    _, patient = np.unique(patients[placed], return_inverse=True)
    earliest = np.full(patient.max(initial=-1) + 1, len(SPLITS), np.int8)
    np.minimum.at(earliest, patient, ranks[placed])
    kept = np.zeros(len(ranks), bool)
    kept[placed] = ranks[placed] == earliest[patient]
    return kept
