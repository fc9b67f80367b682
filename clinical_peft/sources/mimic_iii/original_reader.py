"""What the original's reader, pandas 1.5 with its defaults, makes of a column of a table."""

import re

import pandas as pd

# Texts that it takes for missing ones, besides an empty field.
MISSING_WORDS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)
_INTEGER = re.compile(r"[ \t]*[+-]?0*[0-9]{1,18}[ \t]*")  # these two leave out what is near the ends of 64 bits
_FLOAT = re.compile(r"[ \t]*[+-]?(?:0*[0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(?:[eE][+-]?[0-9]{1,2})?[ \t]*")


def read_as_numbers(codes: "pd.Series[str]", *, some_missing: bool) -> "pd.Series[str]":
    """Write codes as they look after the reader took their column for one of numbers.

    A column of whole numbers loses its leading zeros: "0331" is "331". Where one entry is missing or has a decimal
    point, all are binary floats: "0331" is "331.0", "54" is "54.0".

    Args:
        codes: The column's entries, without the missing ones.
        some_missing: Whether the column has missing entries.

    Raises:
        ValueError: An entry is no number; the reader would leave the column as text, or a part of a large one.
    """
    distinct = codes.unique()
    if not some_missing and all(_INTEGER.fullmatch(code) for code in distinct):
        return codes.map({code: str(int(code)) for code in distinct}).astype(codes.dtype)
    if all(_FLOAT.fullmatch(code) for code in distinct):
        return codes.map({code: str(float(code)) for code in distinct}).astype(codes.dtype)
    raise ValueError("an entry is no number")
