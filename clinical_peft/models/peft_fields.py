"""Reading PEFT's methods for the snapshot of their fields; see `clinical_peft.methods.snapshot`.

`python -m clinical_peft.models.peft_fields` writes it, and the table of methods in docs/models.md (`make methods`).
"""

import json
import types
from collections.abc import Iterable
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import peft
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING

from clinical_peft.files import write_text
from clinical_peft.methods import METHODS
from clinical_peft.methods.snapshot import BY_WORKFLOW, SNAPSHOT
from clinical_peft.recipes.method_table import with_table

SIMPLE: dict[Any, str] = {int: "int", float: "float", bool: "bool", str: "str", dict: "mapping"}


def read_peft(names: Iterable[str]) -> dict[str, Any]:
    """Read from the installed PEFT what the snapshot holds.

    Args:
        names: Methods, by PEFT's names in lower case.

    Raises:
        KeyError: PEFT has no such method.
    """
    methods = {}
    for name in names:
        kind = peft.PeftType[name.upper()]
        config: Any = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
        methods[name] = {
            "config": config.__name__,
            "prefix": PEFT_TYPE_TO_PREFIX_MAPPING.get(kind),
            "fields": _fields_of(config),
        }
    return {"peft": peft.__version__, "methods": methods}


def snapshot_text(names: Iterable[str]) -> str:
    """Return the snapshot as it is kept in the package."""
    return json.dumps(read_peft(names), indent=1) + "\n"


def _fields_of(config: Any) -> dict[str, dict[str, Any]]:
    hints = get_type_hints(config)
    return {
        field.name: {"kind": kind_of(hints[field.name]), "default": _default_of(field)}
        for field in fields(config)
        if field.name not in BY_WORKFLOW
    }


def kind_of(hint: Any) -> str | list[Any]:
    """Name the kind of value that a type hint stands for.

    Args:
        hint: A type hint of PEFT.

    Returns:
        A name, ` | null` after it where null is allowed too; the values, where they are listed; or `other`.

    Example:
        >>> kind_of(int | None)
        'int | null'
        >>> kind_of(bool | Literal["bat"])
        [True, False, 'bat']
    """
    options = [*(get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,))]
    ending = " | null" if type(None) in options else ""
    options = [option for option in options if option is not type(None)]
    listed = [value for option in options if get_origin(option) is Literal for value in get_args(option)]
    if listed:
        return ([True, False] if bool in options else []) + listed + ([None] if ending else [])
    if {str, list[str]} == {*options}:
        return "names" + ending
    if {int, list[int]} == {*options}:
        return "layers" + ending
    return SIMPLE[options[0]] + ending if len(options) == 1 and options[0] in SIMPLE else "other"


def _default_of(field: Any) -> Any:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    value = value.value if isinstance(value, Enum) else value
    return value if value is None or isinstance(value, bool | int | float | str | dict | list) else str(value)


if __name__ == "__main__":
    page = Path("docs/models.md")
    write_text(page, with_table(page.read_text(encoding="utf-8")))
    write_text(SNAPSHOT, snapshot_text(str(each.peft_type).lower() for each in METHODS.values() if each.peft_type))
