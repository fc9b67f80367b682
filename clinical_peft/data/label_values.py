"""Labels of a user's file: each value is checked and named as its class.

Of a binary or multiclass task, a whole number names its class without a decimal point (`1.0` is `1`: programs that
read a column with missing values as floats write it so). Fractions are refused, and so are booleans unless the study
declares `true` and `false`. A text that is a declared class, as it stands, is that class whatever it looks like. Of a
multilabel task, texts name their labels as they stand: `250.0` is a code. An empty field has no label; one of
delimiters alone has none of the classes.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from clinical_peft.data.json_lines import kind_of
from clinical_peft.data.user_tables import Batch, is_missing, plain_text
from clinical_peft.data.whole_numbers import whole_number
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.tasks import OwnTask

Label = str | tuple[str, ...]
"""A class, or the labels of a multilabel task."""
_DECIMAL = re.compile(r"([+-]?\d+)\.(\d*)", re.ASCII)
_BOOLEANS = ("true", "false")
_REPAIR = "correct the row, or list the class under classes of the task"


class LabelReader:
    """Reads the labels of an own task.

    Args:
        task: The task.

    Raises:
        ConfigError: Two declared classes are the same, or one holds the delimiter.
    """

    def __init__(self, task: OwnTask) -> None:
        check_declared(task)
        self._task = task
        self._classes = {_whole(name): name for name in task.classes} | {name: name for name in task.classes}

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that hold the labels."""
        return self._task.label_columns

    def read(self, batch: Batch) -> list[Label | None]:
        """Return the label of each row, None for a row without one.

        Raises:
            DataError: A value is not a label of the task.
        """
        if len(self.columns) > 1:
            return self._flags(batch)
        one = self._several if self._task.multilabel else self._single
        (column,) = self.columns
        return [
            None if self._is_blank(value) else one(value, batch, position)
            for position, value in enumerate(batch.columns[column])
        ]

    def _is_blank(self, value: Any) -> bool:
        """Whether a field has no label: it is missing, or holds blanks that are no declared class."""
        return is_missing(value) or (isinstance(value, str) and not value.strip() and value not in self._classes)

    def _single(self, value: Any, batch: Batch, position: int) -> str:
        place = batch.place(position, self.columns[0])
        if isinstance(value, bool):
            return self._boolean(value, place)
        text = plain_text(value)
        if text is None:
            found = "a fraction" if isinstance(value, float | Decimal) else kind_of(value)
            raise DataError(f"{place}: expected a class, found {found}; correct the row")
        if text in self._classes:
            return self._classes[text]
        text = text.strip(" \t")
        if text.lower() in _BOOLEANS and not self._classes:
            raise DataError(f"{place}: expected a class, found a boolean; {_REPAIR}")
        if (decimal := _DECIMAL.fullmatch(text)) and decimal[2].strip("0"):
            raise DataError(f"{place}: expected a class, found a fraction; {_REPAIR}")
        text = _whole(text)
        if self._classes and text not in self._classes:
            raise DataError(
                f"{place}: expected one of the {len(self._task.classes)} declared classes, found another; {_REPAIR}"
            )
        return self._classes.get(text, text)

    def _boolean(self, value: bool, place: str) -> str:
        name = str(value).lower()
        declared = [known for known in self._task.classes if known.lower() == name]
        if not declared:
            raise DataError(
                f"{place}: expected a class, found a boolean; list false and true under classes of the task"
            )
        return declared[0]

    def _several(self, value: Any, batch: Batch, position: int) -> tuple[str, ...]:
        place = batch.place(position, self.columns[0])
        if isinstance(value, list):
            return self._declared([self._in_list(one, place) for one in value], place)
        text = plain_text(value)
        if text is None or isinstance(value, bool):
            raise DataError(f"{place}: expected a text or a list of labels, found {kind_of(value)}; correct the row")
        parts = text.split(self._task.delimiter) if self._task.delimiter else [text]
        labels = [part for each in parts if (part := each.strip(" \t"))]
        return self._declared(labels, place)

    def _in_list(self, value: Any, place: str) -> str:
        text = plain_text(value)
        if text is None or isinstance(value, bool):
            raise DataError(f"{place}: expected texts in the list of labels, found {kind_of(value)}; correct the row")
        return text.strip(" \t")

    def _declared(self, labels: Sequence[str], place: str) -> tuple[str, ...]:
        if self._task.classes and not {*labels} <= {*self._task.classes}:
            raise DataError(
                f"{place}: expected labels of the {len(self._task.classes)} declared classes, found another; {_REPAIR}"
            )
        return tuple(dict.fromkeys(labels))

    def _flags(self, batch: Batch) -> list[Label | None]:
        """Read one column of 0 and 1 per label; a row that lacks one of them has no label."""
        rows: list[list[str] | None] = [[] for _ in batch.numbers]
        for column in self.columns:
            for position, value in enumerate(batch.columns[column]):
                flag = None if is_missing(value) else whole_number(value)
                if not is_missing(value) and flag not in (0, 1):
                    raise DataError(
                        f"{batch.place(position, column)}: expected 0 or 1, found another value; correct it"
                    )
                labels = rows[position]
                if flag is None:
                    rows[position] = None
                elif flag and labels is not None:
                    labels.append(column)
        return [None if labels is None else tuple(labels) for labels in rows]


def check_declared(task: OwnTask) -> None:
    """Check the classes that a study declares for a task.

    Raises:
        ConfigError: Two are the same, or one holds the delimiter.
    """
    where = f"tasks.{task.name}.classes"
    if task.delimiter and any(task.delimiter in name for name in task.classes):
        raise ConfigError(f"{where}: expected classes without the delimiter, found one that holds it; choose another")
    spellings = task.classes if task.multilabel else [_whole(name) for name in task.classes]
    if len({*spellings}) < len(task.classes):
        raise ConfigError(f"{where}: expected each class once, found one twice; remove one")


def _whole(text: str) -> str:
    """Write a whole number without a decimal point, and leave every other text as it is."""
    decimal = _DECIMAL.fullmatch(text)
    return decimal[1].removeprefix("+") if decimal and not decimal[2].strip("0") else text
