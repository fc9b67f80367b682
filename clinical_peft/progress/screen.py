"""A stream that gets whole lines and, if it is a terminal, one changing line below them."""

import os
import shutil
from contextlib import suppress
from typing import TextIO

CLEAR = "\r\x1b[K"
RED, YELLOW, RESET = "\x1b[31m", "\x1b[33m", "\x1b[0m"
COLUMNS = 100


class Screen:
    """Writes lines, and keeps a line of state below them where the stream is a terminal.

    Args:
        stream: Where to write.
        colour: Whether a terminal may get colours.

    Attributes:
        is_live: Whether there is a line of state.
    """

    def __init__(self, stream: TextIO, *, colour: bool = True) -> None:
        self._stream = stream
        self.is_live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = colour and self.is_live
        self._state = ""

    def line(self, text: str, *, colour: str = "") -> None:
        """Write a line, or several."""
        shown = f"{colour}{text}{RESET}" if colour and self._colour else text
        self._write(f"{self._clear()}{shown}\n")

    def state(self, text: str) -> None:
        """Show a line of state in place of the last one; an empty one removes it."""
        cut = text[: self._columns() - 1]
        if self.is_live and (cut or self._state):
            self._write(f"{CLEAR}{cut}")
            self._state = cut

    def _clear(self) -> str:
        clear, self._state = (CLEAR if self._state else ""), ""
        return clear

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or COLUMNS
        except (OSError, ValueError):
            return shutil.get_terminal_size((COLUMNS, 24)).columns

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a terminal that was closed must not end the study
            self._stream.write(text)
            self._stream.flush()
