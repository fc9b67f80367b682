"""A connection to an MLflow store that fails soon: few seconds for an answer, and no second try.

The store is a SQLite file beside the study's results or a tracking server. What is sent is repeated by the same command
later, so that a request that failed need not be.
"""

import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_peft.errors import ConfigError
from clinical_peft.files import private_directory
from clinical_peft.runtime.privacy import opt_out_of_telemetry
from clinical_peft.tracking.moved_store import check_schema, follow_move
from clinical_peft.tracking.refusals import refusals_in_one_line
from clinical_peft.tracking.stores import EXPECTED, SQLITE, WEB, is_store, scheme_of, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Libraries read these variables; a user's own values hold. MLflow's defaults are seven retries of 120 seconds each,
# which create a run twice where a server is slow, and PostgreSQL's client waits for ever.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "PGCONNECT_TIMEOUT": "10",
}


@contextmanager
def connection(uri: str) -> Iterator["MlflowClient"]:
    """A client of a store, whose errors are one line each.

    Artifacts of a store's file that lies in another folder than before are pointed there, which one line says.

    Args:
        uri: `sqlite:///FILE`, whose artifacts go to `mlartifacts` beside the file, or a tracking server.

    Raises:
        ConfigError: The URI names neither.
        DataError: The file is of another MLflow.
        TrackingError: The store refuses, or cannot be reached.
    """
    if not is_store(uri):
        raise ConfigError(f"MLflow store {shown(uri)!r}: {EXPECTED}")
    opt_out_of_telemetry()
    # Else it asks for a run whenever one ends, to print an address of it.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    if uri.startswith(SQLITE):
        _prepare_file(Path(uri.removeprefix(SQLITE)))
    with refusals_in_one_line(uri):
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)  # its warnings quote what a server answered
        if scheme_of(uri) not in WEB:
            _try_databases_once()
        yield MlflowClient(tracking_uri=uri)


def _try_databases_once() -> None:
    """Keep MLflow from trying ten times, for 100 seconds, to reach a database; it has no setting for that."""
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = 1


@contextmanager
def alone_at(uri: str) -> Iterator[None]:
    """Wait until no other process of this machine creates or writes a store's file; for a server, do not wait."""
    if not (uri.startswith(SQLITE) and is_store(uri)):
        yield
        return
    database = Path(uri.removeprefix(SQLITE))
    lock = private_directory(database.parent) / f".{database.name}.lock"
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _prepare_file(database: Path) -> None:
    """Create a store's file where it is missing, refuse one of another MLflow, and follow one that was moved."""
    private_directory(database.parent)
    # SQLite gives its journal the mode of the file.
    database.touch(mode=0o600)
    if database.stat().st_size == 0:
        return
    import mlflow
    from alembic.script import ScriptDirectory

    revisions = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    known = {revision.revision for revision in revisions.walk_revisions()}
    check_schema(database, latest=str(revisions.get_current_head()), known=known, installed=mlflow.__version__)
    if (move := follow_move(database)) is not None:
        print(move, file=sys.stderr, flush=True)
