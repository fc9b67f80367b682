"""Send a study's runs, and what it found, to MLflow, without running a job: what a server did not take before."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from clinical_peft.errors import ConfigError
from clinical_peft.files import read_json, write_json
from clinical_peft.locks.lease import Lease
from clinical_peft.runtime.lineage import run_log_files, training_environments
from clinical_peft.runtime.privacy import protect_process
from clinical_peft.runtime.provenance import environment_tags, git_revision
from clinical_peft.tracking.experiment_page import page_address
from clinical_peft.tracking.finished_study import publish_study, study_artifacts
from clinical_peft.tracking.identity import identify_study
from clinical_peft.tracking.records import FOLDER, RUNS, STUDY, forget_unsent
from clinical_peft.tracking.run_logs import group_identity, sync_runs
from clinical_peft.tracking.stores import shown
from clinical_peft.workflow.opened_study import CLONE, OpenedStudy
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import WildcardValues


def track_study(opened: OpenedStudy) -> list[str]:
    """Send the runs that have finished, and the study's results once there are any.

    What MLflow has already stays as it is. The records that Snakemake knows are written for what is complete.

    Args:
        opened: The study; its results lie below the working directory.

    Returns:
        What was sent and where it can be seen, one line each.

    Raises:
        ConfigError: No job of the study has finished, or its experiment was deleted in MLflow.
        StudyInUseError: A command runs the study; its jobs send what they finish.
        TrackingError: The store refuses, or cannot be reached.
        DataError: A run log is malformed.
    """
    protect_process()
    files = StudyFiles(opened.study)
    lease = Lease(opened.results, study=opened.study.study)
    asked = [Path(path) for path in files.run_logs()]
    found = [path for path in asked if path.exists()]
    if not found:
        raise ConfigError(f"{opened.results / FOLDER}: expected run logs, found none; run the study first")
    lease.take(run=None)
    try:
        return _track(files, opened.results, found, study=opened.path, is_complete=len(found) == len(asked))
    finally:
        lease.release()


def _track(files: StudyFiles, results: Path, run_logs: Sequence[Path], *, study: Path, is_complete: bool) -> list[str]:
    uri, identity = files.tracking_uri(), identify_study(results, files.study.study)
    revision = {"git_revision": git_revision(CLONE)}
    logs = run_log_files(run_logs)
    ids = sync_runs(logs, uri=uri, study=identity, tags=revision)
    lines = [f"Sent:   {len(logs)} runs to {shown(uri)}"]
    if not is_complete:
        return [*lines, "        The study has not finished; the same command sends the rest later."]
    forget_unsent(results)
    if _write_records(files, results, ids) and (results / "report.html").exists():
        lines.append(f"        To link the report to them: clinical-peft run {shlex.quote(str(study))}")
    if not all(Path(path).exists() for path in (*files.tables(), *files.cards(), f"{results}/report.html")):
        return [*lines, "        The study has no report yet; the same command sends its results later."]
    nothing, tracking = WildcardValues(), files.study.tracking
    described = files.description(nothing)
    artifacts = study_artifacts(
        report=results / "report.html", tables=files.tables(), figures=results / "figures", cards=files.cards()
    )
    adapters = files.adapters() if tracking.register_adapters else []
    sent = publish_study(
        uri=uri,
        study=identity,
        description={key: value for key, value in described.items() if key != "study"},
        aggregate=read_json(results / "comparison.json"),
        metric=files.compared_metric(),
        labels=files.labels(nothing),
        artifacts=artifacts if tracking.artifacts else {},
        adapters={Path(path).name: Path(path) for path in adapters},
        tags=revision | environment_tags(training_environments(logs).values()),
    )
    write_json(results / STUDY, sent)
    return [*lines, f"        as experiment {sent['name']}", f"Runs:   {page_address(uri, sent['experiment'])}"]


def _write_records(files: StudyFiles, results: Path, ids: dict[str, str]) -> bool:
    """Write the ids of runs as the workflow's jobs do, where they are not there already; say whether any was not."""
    records = {results / RUNS: ids}
    for path in map(Path, files.tracked_models()):
        seeds, group = f"models/{path.stem}/", group_identity(path.stem)
        records[path] = {key: run for key, run in ids.items() if key.startswith(seeds) or key == group}
    # The record of all runs comes last, since Snakemake compares times.
    new = [path for path, content in reversed(records.items()) if not path.exists() or read_json(path) != content]
    for path in new:
        write_json(path, records[path])
    return bool(new)
