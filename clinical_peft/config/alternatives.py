"""Values that a study may write in two ways, such as one path or a mapping of paths, by their YAML type."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

OPENING = "<"
"""Begins the tag of an alternative, which pydantic puts among the keys of a problem and no reader should see."""

PLAIN = Tag("<plain>")
MAPPING = Tag("<mapping>")
LIST = Tag("<list>")


def _kind(value: Any) -> str:
    if isinstance(value, dict | BaseModel):  # of YAML, or validated already
        return MAPPING.tag
    return LIST.tag if isinstance(value, list | tuple) else PLAIN.tag


def _kind_of_text(value: Any) -> str:
    """As `_kind`, of what may be a list but no mapping."""
    return LIST.tag if _kind(value) == LIST.tag else PLAIN.tag


def _kind_of_section(value: Any) -> str:
    """As `_kind`, of what may be a mapping but no list."""
    return MAPPING.tag if _kind(value) == MAPPING.tag else PLAIN.tag


PLAIN_OR_MAPPING = Discriminator(_kind_of_section)
PLAIN_OR_LIST = Discriminator(_kind_of_text)


def _text(value: Any) -> Any:
    """Take a whole number for the text that spells it; YAML makes one of `0`, and a user means the text of a field."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("expected a text; put it in quotation marks")
    return value


Text = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
"""A column, a class or another text of a user's file."""
