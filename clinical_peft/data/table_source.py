"""The bytes of a hospital table: opened, decompressed, and watched for damage that a CSV parser lets pass."""

import csv
import io
import zlib
from pathlib import Path
from typing import IO, cast

from isal import igzip, igzip_lib

from clinical_peft.data.quotation_marks import QuotationMarks
from clinical_peft.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GZIP_MARK = b"\x1f\x8b"
# What reading a damaged archive raises.
UNREADABLE = (OSError, EOFError, zlib.error, cast(type[Exception], igzip_lib.error))
REPAIR = "the file is cut off or damaged: fetch it again and compare its checksum"


class TableSource(io.RawIOBase):
    """A table's uncompressed bytes for pyarrow's CSV reader, with three checks and a precaution that it lacks.

    A quotation mark that neither encloses a field nor is doubled inside one is refused where it stands. An odd number
    of them means that the last field was cut off: pyarrow takes an unterminated quoted field at the end of a file as a
    whole one. A NUL byte is refused where it stands, since text that PostgreSQL exported,
    as every release was, cannot hold one. No block but the last ends in a carriage return: at the beginning of a
    block that follows one, pyarrow drops a newline, inside quotation marks too.

    pyarrow calls `read` from a thread of its own, ahead of the parser by at most 32 blocks.

    Args:
        path: CSV file, gzipped when its name ends in ``.gz``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = open_bytes(path)
        self._position = 0
        self._held = b""
        self.marks = QuotationMarks()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return about the next ``size`` bytes, none at the end of the file only.

        Raises:
            DataError: The file is cut off, corrupt, or holds a NUL byte or a quotation mark out of place.
        """
        try:
            data = self._held + self._source.read(size - len(self._held) if size > 0 else size)
            if data == b"\r":
                data += self._source.read(1)
        except UNREADABLE as error:
            raise DataError(
                f"{self._path}: it cannot be read beyond byte {self._position} of the uncompressed file "
                f"({type(error).__name__}); {REPAIR}"
            ) from None
        self._held = b"\r" if len(data) > 1 and data.endswith(b"\r") else b""
        data = data.removesuffix(self._held)
        if (found := data.find(b"\0")) >= 0:
            raise DataError(
                f"{self._path}: expected text, found a NUL byte at byte {self._position + found} of the uncompressed "
                f"file; {REPAIR}"
            )
        skipped = len(BYTE_ORDER_MARK) if not self._position and data.startswith(BYTE_ORDER_MARK) else 0
        if (place := self.marks.misplaced(data[skipped:])) is not None:
            raise DataError(
                f"{self._path}: expected quotation marks around a whole field, or doubled inside it, found one "
                f"elsewhere at byte {self._position + skipped + place} of the uncompressed file; {REPAIR}, or write "
                "it again by RFC 4180"
            )
        self._position += len(data)
        return data

    def close(self) -> None:
        self._source.close()
        super().close()


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressing it when its name ends in ``.gz``."""
    return cast(IO[bytes], igzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, unchanged.

    Raises:
        DataError: The file is missing, empty, not UTF-8 or not gzip although its name says so.
    """
    try:
        # Decoding reaches beyond the header: what follows it may be anything here.
        text = io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline="")
        with text as handle:
            header = next(csv.reader(handle), None)
    except FileNotFoundError:
        raise DataError(f"{path}: expected a CSV file, found none") from None
    except (*UNREADABLE, csv.Error) as error:
        raise DataError(f"{path}: the header cannot be read ({type(error).__name__}); {REPAIR}") from None
    if problem := _problem_of_encoding("".join(header or ()).encode("utf-8", "surrogateescape")):
        raise DataError(f"{path}: the header cannot be read {problem}")
    if not header:
        raise DataError(f"{path}: expected a header line, found an empty file; {REPAIR}")
    return header


def _problem_of_encoding(header: bytes) -> str:
    """Explain why a header is no UTF-8, and what to do; nothing if it is."""
    if header.startswith(_GZIP_MARK):
        return "(gzip); add .gz to its name"
    if header.startswith(_UTF_16_MARKS) or b"\0" in header:
        return "(UTF-16); save the file as UTF-8"
    try:
        header.decode()
    except UnicodeDecodeError:
        return f"(not UTF-8); save the file as UTF-8, or if it was: {REPAIR}"
    return ""
