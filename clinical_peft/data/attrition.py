"""How many rows and patients each step of a cohort leaves."""

import json
from dataclasses import dataclass, field

import pandas as pd

from clinical_peft.errors import DataError

METADATA_KEY = "attrition"


@dataclass
class Attrition:
    """An ordered list of steps, each with the rows and patients that it leaves."""

    steps: list[dict[str, object]] = field(default_factory=list)

    def record(self, step: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Append a step and hand the frame through.

        Args:
            step: What the step keeps.
            frame: Rows left, with a column ``subject_id``.

        Raises:
            DataError: No row is left.
        """
        self.steps.append({"step": step, "rows": len(frame), "patients": int(frame["subject_id"].nunique())})
        if frame.empty:
            before = f"{self.steps[-2]['rows']} rows before it" if len(self.steps) > 1 else "nothing before it"
            raise DataError(f"no row is left by the step '{step}' ({before}); check that the tables belong together")
        return frame

    def metadata(self) -> dict[str, str]:
        """The steps as metadata of a Parquet schema."""
        return {METADATA_KEY: json.dumps(self.steps)}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None) -> "Attrition":
        """The steps that `metadata` stored; none when it stored none."""
        return cls(json.loads((metadata or {}).get(METADATA_KEY.encode(), b"[]")))
