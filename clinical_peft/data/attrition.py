"""How many rows and patients each step of a cohort leaves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.errors import DataError

METADATA_KEY = "attrition"
ADMISSIONS = "admissions"
NOTES = "notes"
ICU_STAYS = "ICU stays"
CODES = "codes"


class Tally:
    """Rows and patients of a step that is met batch by batch."""

    def __init__(self) -> None:
        self.rows = 0
        self._patients: set[int] = set()

    def add(self, subject_ids: pa.Array) -> None:
        """Count a batch by its patients, one per row; a null counts as a row of no patient."""
        self.rows += len(subject_ids)
        self._patients.update(pc.unique(pc.drop_null(subject_ids)).to_pylist())

    @property
    def patients(self) -> int:
        """The number of different patients."""
        return len(self._patients)


@dataclass
class Attrition:
    """An ordered list of steps, each with the rows and patients that it leaves.

    Attributes:
        steps: Mappings with ``step`` (what the step keeps), ``unit`` (what a row is), ``rows``, ``patients``, and
            where a step also leaves out what is not a row, such as single codes, ``left_out`` (reason to count);
            where a step joins another table, ``joined`` (that table's own steps); where held-out rows have
            near-duplicates in another split, ``repeated_in_another_split`` (their number).
    """

    steps: list[dict[str, object]] = field(default_factory=list)

    def record(
        self,
        step: str,
        frame: pd.DataFrame,
        *,
        unit: str = ADMISSIONS,
        left_out: Mapping[str, int] | None = None,
        joined: "Attrition | None" = None,
    ) -> pd.DataFrame:
        """Append a step and hand the frame through.

        Args:
            step: What the step keeps.
            frame: Rows left, with a column ``subject_id``.
            unit: What a row is.
            left_out: Numbers of things left out that are not rows, by reason; zeros are not kept.
            joined: Steps of a table that this step joins to the rows.

        Raises:
            DataError: No row is left.
        """
        self.add(step, rows=len(frame), patients=int(frame["subject_id"].nunique()), unit=unit, left_out=left_out)
        if joined is not None and joined.steps:
            self.steps[-1]["joined"] = joined.steps
        return frame

    def add(self, step: str, *, rows: int, patients: int, unit: str, left_out: Mapping[str, int] | None = None) -> None:
        """Append a step whose rows and patients are counted already; arguments and errors as for `record`."""
        entry: dict[str, object] = {"step": step, "unit": unit, "rows": rows, "patients": patients}
        if reasons := {reason: count for reason, count in (left_out or {}).items() if count}:
            entry["left_out"] = reasons
        self.steps.append(entry)
        if not rows:
            before = f"{self.steps[-2]['rows']} rows before it" if len(self.steps) > 1 else "nothing before it"
            raise DataError(f"no row is left by the step '{step}' ({before}); check that the tables belong together")

    def metadata(self) -> dict[str, str]:
        """The steps as metadata of a Parquet schema."""
        return {METADATA_KEY: json.dumps(self.steps)}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None) -> "Attrition":
        """The steps that `metadata` stored; none when it stored none."""
        return cls(json.loads((metadata or {}).get(METADATA_KEY.encode(), b"[]")))
