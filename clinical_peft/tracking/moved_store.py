"""A study's own MLflow file whose folder was moved, copied or mounted elsewhere, or that another MLflow wrote.

MLflow keeps absolute places of artifacts for every experiment, run, logged model, trace and model version, and writes
to them. Where the file now lies in another folder, they are pointed to the folder of artifacts beside it.
"""

import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clinical_peft.errors import DataError
from clinical_peft.tracking.stores import SQLITE

ARTIFACTS = "mlartifacts"
WAIT = 60  # seconds for another process that writes

# Where MLflow keeps places of artifacts; a store of an older MLflow lacks some.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("trace_tags", "value"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_TRACE_TAG = "mlflow.artifactLocation"


@dataclass(frozen=True)
class Move:
    """What was pointed elsewhere.

    Attributes:
        former: Places of artifacts before.
        present: The place now.
        changed: Number of rows, by table.
    """

    former: tuple[str, ...]
    present: str
    changed: dict[str, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{table.replace('_', ' ')} ({count})" for table, count in self.changed.items())
        text = f"MLflow's file was moved: artifacts of {counts} are now at {self.present} (before: {self.former[0]})"
        left = [place for place in map(_folder, self.former) if place is not None and place.is_dir()]
        if left and not any(_folder(self.present).glob("*")):  # type: ignore[union-attr]
            text += f"; their files are still at {left[0]}: copy them"
        return text


def artifact_folder(database: Path) -> Path:
    """The folder of artifacts that belongs to a store's file: beside it."""
    return database.resolve().parent / ARTIFACTS


def schema_of(database: Path) -> str | None:
    """Revision of the tables in a store's file; None where it has none yet."""
    with _opened(database) as connection:
        if not _has_table(connection, "alembic_version"):
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else None


def follow_move(database: Path) -> Move | None:
    """Point artifacts that lay beside a store's file to the folder where the file lies now.

    Places that were chosen otherwise, such as those of a bucket, stay.

    Args:
        database: The SQLite file.

    Returns:
        What changed; None where the file lies where it was.

    Raises:
        DataError: The file cannot be read or written.
    """
    present = artifact_folder(database).as_uri()
    with _opened(database) as connection:
        if not _has_table(connection, "experiments"):
            return None
        former = sorted({place for place in _roots(connection) if _plain(place) != _plain(present)})
        if not former:
            return None
        changed: dict[str, int] = {}
        connection.execute("BEGIN IMMEDIATE")
        for table, column in _PLACES:
            if _has_table(connection, table):
                rows = sum(_replace(connection, table, column, place, present) for place in former)
                changed[table] = max(rows, changed.get(table, 0))
        connection.execute("COMMIT")
    return Move(tuple(former), present, {table: rows for table, rows in changed.items() if rows})


def _roots(connection: sqlite3.Connection) -> Iterator[str]:
    """Folders of artifacts that stood beside the file, as experiments and runs name them."""
    for (place,) in connection.execute("SELECT artifact_location FROM experiments"):
        if place and re.search(rf"(?:^|[/\\]){ARTIFACTS}/?$", place) and _folder(place) is not None:
            yield place.rstrip("/")
    for run, place in connection.execute("SELECT run_uuid, artifact_uri FROM runs"):
        found = re.fullmatch(rf"(.*[/\\]{ARTIFACTS})/{re.escape(run)}/artifacts/?", place or "")
        if found and _folder(found[1]) is not None:
            yield found[1]


def _replace(connection: sqlite3.Connection, table: str, column: str, former: str, present: str) -> int:
    """Give every value of a column that is a folder, or lies in it, its new place; return the number of rows."""
    only = f" AND key = '{_TRACE_TAG}'" if table == "trace_tags" else ""
    found = connection.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
        f"WHERE ({column} = ? OR substr({column}, 1, ?) = ?){only}",
        (present, len(former) + 1, former, len(former) + 1, f"{former}/"),
    )
    return found.rowcount


def _folder(place: str) -> Path | None:
    """The folder that a place names, None where it is no local one."""
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else place)


def _plain(place: str) -> str:
    return str(_folder(place))


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(database, timeout=WAIT, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise DataError(
            f"{database}: expected MLflow's SQLite file that can be read and written, found {type(error).__name__} "
            f"({error.sqlite_errorname if hasattr(error, 'sqlite_errorname') else 'no code'}); close programs that use "
            "it, check its permissions, or move it away to begin a new one"
        ) from None


def upgrade_command(uri: str) -> str:
    """The command that brings a store's tables to the installed MLflow's form."""
    return f"mlflow db upgrade {shlex.quote(uri)}"


def _is_empty(database: Path) -> bool:
    """Whether a store has no run and no experiment but MLflow's own."""
    with _opened(database) as connection:
        if not (_has_table(connection, "runs") and _has_table(connection, "experiments")):
            return True
        counts = [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("runs", "experiments")]
    return counts[0] == 0 and counts[1] <= 1


def check_schema(database: Path, *, latest: str, known: set[str], installed: str) -> None:
    """Refuse a store of another MLflow.

    Args:
        database: The SQLite file.
        latest: Revision that the installed MLflow writes.
        known: All revisions that it can upgrade from.
        installed: Its version.

    Raises:
        DataError: The tables are older, or newer.
    """
    found = schema_of(database)
    if found in (None, latest):
        return
    if found in known:
        # What a kill left of a new store is brought to its end by MLflow itself.
        if _is_empty(database):
            return
        raise DataError(
            f"{database}: expected the tables of MLflow {installed}, found those of an older MLflow; copy the file, "
            f"then upgrade it with: {upgrade_command(f'{SQLITE}{database}')}"
        )
    raise DataError(
        f"{database}: expected the tables of MLflow {installed}, found those of a newer MLflow ({found}), which has no "
        f"way back; update MLflow (pip install --upgrade mlflow), or move the file away to begin a new one"
    )
