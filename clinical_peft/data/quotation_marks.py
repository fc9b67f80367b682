"""Whether quotation marks stand where RFC 4180 has them: around a whole field, and doubled inside it.

pyarrow takes a mark anywhere else for a character of the field, or reads on to the next mark and so swallows rows.
"""

import numpy as np

_MARK = ord('"')
_BORDERS = np.zeros(256, bool)  # what stands beside a field, or is the other one of a doubled mark
_BORDERS[list(b',\n\r"')] = True


class QuotationMarks:
    """Follows the quotation marks of a file from block to block.

    Counted from the file's start, every odd mark opens a field and every even one closes it; a doubled mark closes
    and opens again.

    Attributes:
        count: Marks so far.
        last: The last byte so far, a line end before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last = ord("\n")

    def misplaced(self, data: bytes) -> int | None:
        """Follow the next bytes of the file.

        Returns:
            The position in ``data`` of the first mark that opens within a field or after which a closed field goes
            on, -1 for a mark that ended the bytes before, or None.
        """
        if not data:
            return None
        last, was_open, self.last = self.last, self.count % 2, data[-1]
        if last == _MARK and not was_open and not _BORDERS[data[0]]:
            return -1
        if b'"' not in data:
            return None
        codes = np.frombuffer(data, np.uint8)
        places = np.flatnonzero(codes == _MARK)
        self.count += len(places)
        opening, closing = places[was_open::2], places[1 - was_open :: 2]
        before = codes[opening - 1]
        if opening.size and not opening[0]:
            before[0] = last
        if closing.size and closing[-1] + 1 == len(data):  # looked at with the next bytes
            closing = closing[:-1]
        wrong = np.concatenate([opening[~_BORDERS[before]], closing[~_BORDERS[codes[closing + 1]]]])
        return int(wrong.min()) if wrong.size else None
