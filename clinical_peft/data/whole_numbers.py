"""Whole numbers (ids, flags, counts) as programs spell them in tables, JSON lines and pickles.

`1`, `1.0`, `1.00`, `1.`, `+1`, ` 1 ` and `01` are the same number: a program that reads a column with missing values
as floats writes the second. A number with an exponent (`1e5`) is refused, because what writes one has often rounded
it, and so are hexadecimal numbers, digit groups (`1_000`), digits of other scripts, booleans, and numbers beyond 64
bits.
"""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

LEAST, GREATEST = -(2**63), 2**63 - 1
_GREATEST_EXACT = 2**53  # a float from it on may have been rounded
# In the syntax that Python and RE2, pyarrow's engine, share.
_PATTERN = r"[ \t]*(?:\+([0-9]+)|(-?[0-9]+))(?:\.0*)?[ \t]*"


def whole_number(value: object) -> int | None:
    """Return the whole number that a value is or spells, or None where it is or spells none.

    Args:
        value: Number or text from a JSON line, a pickle or a field of a table.
    """
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _GREATEST_EXACT else None
    if isinstance(value, str):
        match = re.fullmatch(_PATTERN, value)
        # Longer ones are beyond 64 bits, and Python limits how many digits it converts.
        value = int(match[1] or match[2]) if match and len(value) <= 100 else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if LEAST <= value <= GREATEST else None


def whole_numbers(texts: pa.StringArray) -> Any:
    """Return a column of texts as int64; null stays null.

    Raises:
        pa.ArrowInvalid: A text spells no whole number of 64 bits.
    """
    if not pc.all(pc.ascii_is_decimal(texts)).as_py() and len(texts) > texts.null_count:  # else pyarrow's own casting
        matches = pc.match_substring_regex(texts, f"^{_PATTERN}$")
        if not pc.all(matches).as_py():
            raise pa.ArrowInvalid("expected whole numbers")
        texts = pc.replace_substring_regex(texts, f"^{_PATTERN}$", r"\1\2")
    return pc.cast(texts, pa.int64())


def flags(texts: pa.StringArray) -> Any:
    """Return a column of texts that spell 0 or 1 as booleans; null stays null.

    Raises:
        pa.ArrowInvalid: A text spells another number or none.
    """
    numbers = whole_numbers(texts)
    if pc.any(pc.or_(pc.less(numbers, 0), pc.greater(numbers, 1))).as_py():
        raise pa.ArrowInvalid("expected 0 or 1")
    return pc.cast(numbers, pa.bool_())
