"""The experiment of a study: found by the study's own number, so that studies of one name never share one."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_peft.errors import ConfigError, TrackingError
from clinical_peft.files import private_directory
from clinical_peft.tracking import experiment_page
from clinical_peft.tracking.identity import StudyIdentity
from clinical_peft.tracking.moved_store import artifact_folder
from clinical_peft.tracking.refusals import is_hidden, is_taken
from clinical_peft.tracking.stores import SQLITE, is_server, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment as Found
    from mlflow.entities import Run

OWNER, STUDY_ID, STUDY = "clinical_peft.owner", "clinical_peft.study_id", "clinical_peft.study"
IDENTITY = "clinical_peft.run"  # the tag by which a run is found again
RUNS_PER_PAGE = 1000


@dataclass(frozen=True)
class Experiment:
    """A study's experiment in MLflow.

    Attributes:
        id: Its id.
        name: Its name, which a user may have changed.
        tags: Its tags when it was found.
    """

    id: str
    name: str
    tags: Mapping[str, str]


_log = logging.getLogger(__name__)


def experiment_of(client: "MlflowClient", uri: str, study: StudyIdentity) -> Experiment:
    """Return a study's experiment, which is created where it is missing.

    It has the study's name. Where another study has taken that name, it has one of its own.

    Args:
        client: A client of the store.
        uri: The store.
        study: The study.

    Raises:
        ConfigError: The experiment was deleted in MLflow.
        TrackingError: The store lets neither name be used.
    """
    if (found := _own_experiment(client, study)) is not None:
        return found
    for name in (study.name, study.own_name):
        if (found := _by_name(client, uri, study, name)) is not None:
            if name != study.name:
                _log.info("MLflow has a study %s of another user or folder; this one is %s", study.name, name)
            return found
    raise TrackingError(f"MLflow at {shown(uri)} has no free name for study {study.name}; give it another name")


def _own_experiment(client: "MlflowClient", study: StudyIdentity) -> Experiment | None:
    """Find the experiment that has the study's number, name and owner."""
    from mlflow.entities import ViewType

    pages = client.search_experiments(ViewType.ALL, filter_string=f"tags.`{STUDY_ID}` = '{study.number}'")
    # Results that were copied, for another study or to another user, still have the number.
    own = [found for found in pages if _tags(study).items() <= found.tags.items()]
    active = [found for found in own if found.lifecycle_stage == "active"]
    if own and not active:
        raise _deleted(own[0].name)
    return _as_ours(active[0]) if active else None


def _as_ours(found: "Found") -> Experiment:
    return Experiment(str(found.experiment_id), found.name, found.tags)


def _tags(study: StudyIdentity) -> dict[str, str]:
    """Tags of a study's experiment, which stay when a user renames it in MLflow."""
    return {OWNER: study.owner, STUDY_ID: study.number, STUDY: study.name}


def _deleted(name: str) -> ConfigError:
    return ConfigError(f"MLflow experiment {name!r} was deleted; restore it or give the study another name")


def _by_name(client: "MlflowClient", uri: str, study: StudyIdentity, name: str) -> Experiment | None:
    """Create an experiment of a name, or adopt one that this study made before experiments had owners.

    Returns:
        The experiment; None where the name is another study's.
    """
    from mlflow.exceptions import MlflowException

    tags = _tags(study)
    try:
        found = client.get_experiment_by_name(name)
        if found is None:
            tags |= experiment_page.KIND
            return Experiment(str(client.create_experiment(name, _artifact_location(uri), tags)), name, tags)
        if tags.items() <= found.tags.items() and found.lifecycle_stage == "active":
            return _as_ours(found)  # another job of this study has just created it
        if found.tags.get(STUDY_ID) or not _is_adoptable(client, uri, study, found):
            return None
        if found.lifecycle_stage != "active":
            raise _deleted(name)
        for key, value in tags.items():
            client.set_experiment_tag(found.experiment_id, key, value)
    except MlflowException as error:
        if is_taken(error):  # by another job of this study, a moment ago, or by who does not show it
            return _own_experiment(client, study)
        if is_hidden(error):
            return None
        raise
    return _as_ours(found)


def _is_adoptable(client: "MlflowClient", uri: str, study: StudyIdentity, found: "Found") -> bool:
    """Whether an experiment without an owner is this study's: it is empty, has a run of it, or lies in a file."""
    if not is_server(uri):
        return True
    runs = known_runs(client, found.experiment_id)
    return not runs or any(run.info.run_id in study.sent for run in runs.values())


def _artifact_location(uri: str) -> str | None:
    if not uri.startswith(SQLITE):
        return None
    return private_directory(artifact_folder(Path(uri.removeprefix(SQLITE)))).as_uri()


def known_runs(client: "MlflowClient", experiment: str) -> dict[str, "Run"]:
    """Return the runs of an experiment that this package made, by identity."""
    runs: dict[str, Run] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=RUNS_PER_PAGE, page_token=token)
        runs |= {run.data.tags[IDENTITY]: run for run in page if IDENTITY in run.data.tags}
        token = page.token
        if not token:
            return runs
