"""Built tables as one JSON file, from which the report shows them as they were written."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from clinical_peft.errors import DataError
from clinical_peft.files import read_json, write_json
from clinical_peft.tables.form import Table


def store_tables(tables: Mapping[str, Table], path: Path) -> None:
    """Write tables to a file."""
    write_json(path, {name: asdict(table) | {"bold": sorted(table.bold)} for name, table in tables.items()})


def read_tables(path: Path) -> dict[str, Table]:
    """Read what `store_tables` wrote.

    Raises:
        DataError: The file is missing or holds no tables.
    """
    try:
        return {
            name: Table(
                name=name,
                caption=stored["caption"],
                fields=tuple(stored["fields"]),
                records=tuple(stored["records"]),
                header=tuple(stored["header"]),
                rows=tuple(map(tuple, stored["rows"])),
                notes=tuple(stored["notes"]),
                text_columns=stored["text_columns"],
                bold=frozenset((row, column) for row, column in stored["bold"]),
                row_names=tuple(stored["row_names"]),
            )
            for name, stored in read_json(path).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path}: expected the study's tables, found something else; write the tables again") from None
