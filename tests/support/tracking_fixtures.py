"""Run logs and identities of studies, for tests of what is sent to MLflow."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from clinical_peft.runtime.events import JsonlLog
from clinical_peft.tracking.identity import StudyIdentity

STUDY = "laptop"
TAGS = {"git_revision": "0123abc", "torch": "2.13.0"}


def identity(owner: str = "owner", number: str = "0" * 32, *, name: str = STUDY) -> StudyIdentity:
    """A study's identity."""
    return StudyIdentity(name, owner, number)


def write_log(path: Path, *, name: str = "los seed 0", parent: str | None = "llama+lora", steps: int = 3) -> JsonlLog:
    """Write the run log of a small job."""
    log = JsonlLog(path, kind="finetune", name=name, parent=parent, tags={"task": "los"})
    log.params({"model": "llama+lora", "recipe": {"learning_rate": 5e-5, "targets": ["q_proj", "v_proj"]}})
    for step in range(1, steps + 1):
        log.metrics({"train_loss": 1 / step}, step=step)
    return log


def runs_of(uri: str, experiment: str = STUDY) -> dict[str, Any]:
    """Runs of an experiment, by their names."""
    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def history(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    """Steps and values of a run's metric."""
    found = MlflowClient(tracking_uri=uri).get_metric_history(run_id, key)
    return sorted((each.step, each.value) for each in found)
