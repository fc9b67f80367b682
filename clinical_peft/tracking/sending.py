"""Jobs that send a study's runs and leave a record: ids in MLflow, or, where a server fails, why it has none."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from clinical_peft.errors import ConfigError, TrackingError
from clinical_peft.files import write_json
from clinical_peft.tracking.finished_study import publish_study
from clinical_peft.tracking.identity import identify_study
from clinical_peft.tracking.records import RUNS, folder_of, reason_of, recent_failure, write_reason
from clinical_peft.tracking.run_logs import sync_runs
from clinical_peft.tracking.stores import is_server

_log = logging.getLogger(__name__)


def send_runs(run_logs: Iterable[Path], *, uri: str, study: str, tags: Mapping[str, str], record: Path) -> None:
    """Send run logs, and write their ids, or why a server has none of them.

    Args:
        run_logs: As for `clinical_peft.tracking.run_logs.sync_runs`.
        uri: The store.
        study: Name of the study.
        tags: As for `sync_runs`.
        record: JSON file to write; see `clinical_peft.tracking.records`.

    Raises:
        ClinicalPeftError: As for `sync_runs`, but for a server that fails.
    """

    def send() -> dict[str, str]:
        return sync_runs(run_logs, uri=uri, study=identify_study(folder_of(record), study), tags=tags)

    _send(send, uri=uri, failure=recent_failure(folder_of(record)), record=record)


def send_study(*, uri: str, study: str, record: Path, **found: Any) -> None:
    """Send what a study as a whole found, and write its ids, or why a server does not have it.

    Args:
        uri: The store.
        study: Name of the study.
        record: JSON file to write; see `clinical_peft.tracking.records`.
        **found: As for `clinical_peft.tracking.finished_study.publish_study`.

    Raises:
        ClinicalPeftError: As for `publish_study`, but for a server that fails.
    """

    def send() -> dict[str, Any]:
        return publish_study(uri=uri, study=identify_study(folder_of(record), study), **found)

    _send(send, uri=uri, failure=reason_of(folder_of(record) / RUNS), record=record)


def _send(send: Callable[[], Mapping[str, Any]], *, uri: str, failure: str | None, record: Path) -> None:
    """Send something unless the store has failed before, and record how it went."""
    if not is_server(uri):
        write_json(record, send())
        return
    sent: Mapping[str, Any] = {}
    if failure is None:
        try:
            sent = send()
        except (TrackingError, ConfigError) as error:
            failure = str(error)
    if failure is None:
        write_json(record, sent)
        return
    _log.warning("nothing was sent: %s", failure)
    write_reason(record, failure)
