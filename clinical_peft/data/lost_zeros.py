"""Tables of codes that a program has read as numbers: leading zeros are gone, and 0331 has become 331.

Nothing in a single code shows that. In a whole table some code begins with 0: in the public demo of MIMIC-III 34 of
506 procedures and 71 of 1,761 diagnoses do.
"""

from pathlib import Path

import pandas as pd

from clinical_peft.runtime.terminal import warn
from clinical_peft.tasks.task import CodeTable


def warn_of_lost_zeros(codes: "pd.Series[str]", kind: CodeTable, path: Path, column: str, what: str = "codes") -> None:
    """Warn where no code of a table begins with 0.

    Args:
        codes: Codes as they stand in the table; null where there is none. Those that begin with a letter do not count.
        kind: Says how many codes are enough to decide.
        path: The table's file, for the message.
        column: The column of the codes, for the message.
        what: What the codes are, in the plural, for the message.
    """
    digits = codes[codes.str.match(r"\s*[0-9]", na=False)]
    if len(digits) < kind.enough_for_zeros or digits.str.match(r"\s*0").any():
        return
    warn(
        f"{path}: column {column}: none of {len(digits):,} {what} begins with 0, as some do in every release: a "
        "program that took them for numbers dropped leading zeros, so that 0331 counts as 331; take the release's own "
        f"file, or write the table again with the column as text (pandas: dtype={{'{column}': str}})"
    )
