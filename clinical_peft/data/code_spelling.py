"""ICD codes in other spellings than MIMIC's, which has no dot, no blanks and capital letters."""

import pandas as pd

from clinical_peft.data.tables import HEADER_ROWS
from clinical_peft.errors import DataError


def plain_codes(codes: "pd.Series[str]", category: str | None, where: str) -> "pd.Series[str]":
    """Write codes as MIMIC does.

    A dot is left out where it stands after the category, as it is printed (401.9). Elsewhere it shows that a program
    took codes for numbers (4019.0), which may have cost them zeros.

    Args:
        codes: Codes of one version of the ICD, indexed by their row in the table from 0; null where there is none.
        category: Regular expression of what stands before the dot; None where codes are printed without one.
        where: The table's file and column, for the message.

    Returns:
        The codes, without blanks around them.

    Raises:
        DataError: A dot stands elsewhere; the message does not quote the code.
    """
    codes = codes.str.strip().str.upper()
    dotted = codes.str.contains(".", regex=False, na=False)
    known = codes.str.fullmatch(rf"(?:{category})\.[0-9A-Z]*", na=False) if category else ~codes.notna()
    if (dotted & ~known).any():
        row = codes.index[dotted & ~known][0] + HEADER_ROWS + 1
        raise DataError(
            f"{where}, row {row}: expected codes without a dot, or with the dot after the category, found another: a "
            "program that takes codes for numbers writes such; take the release's own file, or write the table again "
            "with the column as text"
        )
    return codes.str.replace(".", "", regex=False)
