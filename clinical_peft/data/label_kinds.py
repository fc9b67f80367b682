"""What kind of task the labels of a user's column make, told by their number and type; no value is kept or shown."""

from dataclasses import dataclass
from pathlib import Path

from clinical_peft.data.user_tables import is_missing, plain_text, read_batches
from clinical_peft.errors import DataError
from clinical_peft.tasks import TaskType

MOST_CLASSES = 200
"""More values are taken for another column than that of a label."""
_BOOLEANS = ("false", "true")


@dataclass(frozen=True)
class LabelKind:
    """The labels of a column.

    Attributes:
        type: Type of their task.
        classes: Their spellings where they are false and true, which a study has to declare; else empty.
    """

    type: TaskType
    classes: tuple[str, ...] = ()


def label_kind(path: Path, column: str) -> LabelKind:
    """Read a column of labels.

    Args:
        path: The user's file.
        column: Its column.

    Returns:
        `multilabel` for lists, `binary` for two values, else `multiclass`.

    Raises:
        DataError: The file cannot be read, or the column holds no labels: fractions, objects, fewer than two values,
            or more than `MOST_CLASSES`.
    """
    values: set[str] = set()
    place = f"{path}: column {column}"
    for batch in read_batches(path, [column]):
        for position, value in enumerate(batch.columns[column]):
            if is_missing(value) or (isinstance(value, str) and not value.strip()):
                continue
            if isinstance(value, list):
                return LabelKind("multilabel")
            text = plain_text(value)
            if text is None:
                raise DataError(
                    f"{batch.place(position, column)}: expected a class (a text, a whole number or a boolean), found "
                    "another kind of value; name the column of the outcome with --label"
                )
            values.add(text.strip())
            if len(values) > MOST_CLASSES:
                raise DataError(
                    f"{place}: expected at most {MOST_CLASSES} classes, found more values; name the column of the "
                    "outcome with --label, or write the study by hand"
                )
    if len(values) < 2:
        raise DataError(f"{place}: expected two classes or more, found {len(values)}; name another with --label")
    if {value.lower() for value in values} == {*_BOOLEANS} and len(values) == 2:
        return LabelKind("binary", tuple(sorted(values, key=str.lower)))
    return LabelKind("binary" if len(values) == 2 else "multiclass")
