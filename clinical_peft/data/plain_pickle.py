"""Reading a pickle that holds plain values, without running anything in it.

A pickle is a program for a small machine, and Python's own reader lets that program call any function. This reader is
the machine with nothing to call: it walks the opcodes, keeps a stack of values, and refuses every opcode that imports,
calls or changes an object. Numbers that numpy stored are decoded from their bytes; numpy itself is not asked.
"""

import pickletools
import struct
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError

LARGEST_FILE = 16 << 20  # bytes
_SHOWN = 80  # characters of a global's name

# numpy pickles a number as scalar(dtype("i8", False, True), bytes), the byte order set on the dtype as its state; the
# old protocols spell bytes as encode(text, "latin1").
_SCALAR = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar")
_DTYPE = ("numpy dtype",)
_ENCODE = ("_codecs encode",)
_NUMBER_FORMATS = {
    **{"b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"},
    **{"f4": "f", "f8": "d"},
}

_WITHOUT_EFFECT = {"PROTO", "FRAME"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Refused(Exception):
    """Name the value found that is not plain."""


class _Name:
    """A global that the file names: a name and nothing behind it."""

    def __init__(self, name: str) -> None:
        self.name = name


class _NumberType:
    """A numpy dtype as far as one number needs it."""

    def __init__(self, code: str) -> None:
        self.format = _NUMBER_FORMATS[code]
        self.order = "<"

    def decode(self, content: bytes) -> Any:
        return struct.unpack(self.order + self.format, content)[0]


def load_plain_pickle(path: Path, *, largest: int = LARGEST_FILE) -> Any:
    """Read a pickle of dicts, lists, tuples, strings, numbers, booleans and None, of any protocol.

    Args:
        path: File to read.
        largest: Largest size accepted, in bytes.

    Returns:
        The value; numpy's single numbers come as Python's.

    Raises:
        DataError: The file is missing, too large, cut off or no pickle, or it holds anything else, in which case
            nothing of it has been run.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: expected a pickle file, found none")
    size = path.stat().st_size
    if size > largest:
        raise DataError(f"{path}: expected at most {largest:,} bytes, found {size:,}; give another file")
    try:
        return _Machine().run(path.read_bytes())
    except _Refused as refusal:
        raise DataError(
            f"{path}: expected a pickle of plain values (dict, list, tuple, str, int, float), found {refusal}; nothing "
            "was run; give a file of plain values"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise DataError(f"{path}: not a pickle, or a damaged one ({type(error).__name__}); fetch it again") from None


class _Machine:
    """The stack of a pickle being read, the marks on it, and the values that the file refers to again."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """Return the value; a malformed program raises one of Python's own errors."""
        for opcode, argument, position in pickletools.genops(content):
            if opcode.name == "STOP":
                break
            if not self._step(opcode.name, argument):
                shown = f" '{_shown(str(argument))}'" if opcode.name == "INST" else ""
                raise _Refused(f"the opcode {opcode.name}{shown} at byte {position}")
        (value,) = self._stack
        return value

    def _step(self, name: str, argument: Any) -> bool:
        """Take one step; False for an opcode that plain values do not need."""
        stack = self._stack
        match name:
            case "MARK":
                self._marks.append(len(stack))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "DICT":
                values = self._above_mark()
                stack.append({})
                self._set_items(values)
            case "LIST":
                stack.append(self._above_mark())
            case "TUPLE":
                stack.append(tuple(self._above_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._take(_TUPLE_SIZES[name])))
            case "SETITEM" | "SETITEMS":
                self._set_items(self._take(2) if name == "SETITEM" else self._above_mark())
            case "APPEND" | "APPENDS":
                self._extend(self._take(1) if name == "APPEND" else self._above_mark())
            case "GLOBAL":
                stack.append(_known_name(argument))
            case "STACK_GLOBAL":
                stack.append(_known_name(" ".join(map(str, self._take(2)))))
            case "REDUCE":
                stack.append(_number(*self._take(2)))
            case "BUILD":
                stack.append(_with_order(*self._take(2)))
            case _ if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case _ if name in _LITERALS:
                stack.append(argument)
            case _:
                return name in _WITHOUT_EFFECT
        return True

    def _above_mark(self) -> list[Any]:
        return self._take(len(self._stack) - self._marks.pop())

    def _take(self, count: int) -> list[Any]:
        if not 0 <= count <= len(self._stack):
            raise IndexError("stack")
        start = len(self._stack) - count
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise _Refused("items set on something that is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, int | float | str):  # a nested tuple's hash can overflow the interpreter's stack
                raise _Refused(f"a key of type {type(key).__name__}")
            target[key] = value

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise _Refused("values appended to something that is no list")
        target.extend(values)


def _known_name(name: str) -> _Name:
    if name not in (*_SCALAR, *_DTYPE, *_ENCODE):
        raise _Refused(f"the global '{_shown(name.replace(' ', '.'))}'")
    return _Name(name)


def _shown(name: str) -> str:
    """A global's name, unless it has not the form of one: any text of a file can be taken for a name."""
    parts = name.replace(" ", ".").split(".")
    return name[:_SHOWN] if all(map(str.isidentifier, parts)) else f"a name of {len(name)} characters"


def _number(function: Any, arguments: Any) -> Any:
    """Return the number that a call spells, without calling it, if it is one of three known ones."""
    if isinstance(function, _Name) and isinstance(arguments, tuple):
        first, second = (*arguments, None, None)[:2]
        if function.name in _DTYPE and first in _NUMBER_FORMATS:
            return _NumberType(first)
        if function.name in _SCALAR and isinstance(first, _NumberType) and isinstance(second, bytes):
            return first.decode(second)
        if function.name in _ENCODE and isinstance(first, str) and second == "latin1":
            return first.encode("latin-1")
    raise _Refused("a call that spells no number")


def _with_order(target: Any, state: Any) -> _NumberType:
    if not isinstance(target, _NumberType) or not isinstance(state, tuple):
        raise _Refused("a state set on something that is no number's type")
    target.order = {"<": "<", ">": ">", "|": "<"}[state[1]]
    return target
