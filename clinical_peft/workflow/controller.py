"""One command that runs a study: what it checks and takes before its first job, and what it prints at the end."""

import atexit
import logging
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

from clinical_peft.config import notes_in_use
from clinical_peft.errors import ClinicalPeftError
from clinical_peft.files import read_json
from clinical_peft.locks.lease import Lease
from clinical_peft.locks.processes import announce_parent
from clinical_peft.progress.events import PLANNED
from clinical_peft.runtime.privacy import keep_to_owner, protect_process
from clinical_peft.runtime.signals import ignore_notice
from clinical_peft.runtime.terminal import end_with_line
from clinical_peft.runtime.user_site import ignore_user_site
from clinical_peft.tracking.experiment_page import page_address
from clinical_peft.tracking.records import STUDY, forget_unsent
from clinical_peft.tracking.stores import how_to_look
from clinical_peft.training.kept_seeds import forget_seeds
from clinical_peft.workflow.generated_files import check_generated_files
from clinical_peft.workflow.job_costs import device_seconds
from clinical_peft.workflow.study_file import DEFAULT
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_inputs import check_inputs

METADATA = Path(".snakemake")
LOGGER = "snakemake.logging"  # whose handlers show what a command does
KEEPING_RULES = ("finetune_model", "train_adapter")  # whose jobs keep what they have finished


class Job(Protocol):
    """A job that is going to run, as Snakemake describes it."""

    rule: Any
    wildcards: Any
    params: Any
    input: Iterable[str]
    output: Iterable[str]


def prepare_process(*, installation: Path) -> int:
    """Keep what this process and its jobs write to its owner, and keep the user's own packages out of jobs.

    Args:
        installation: A file of Snakemake's installation.

    Returns:
        The umask that the process had before, which is the user's own.
    """
    umask = protect_process()
    # Snakemake made it before it read the Snakefile; it holds its logs and what it remembers of every job.
    if not keep_to_owner(METADATA):
        print(f"note: {METADATA} belongs to another user and is open to others", file=sys.stderr)
    ignore_notice()
    announce_parent()
    ignore_user_site(installation=installation)
    return umask


def demanded_jobs(dag: Any, jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs that a command asks to run anew by `--forcerun`, `--force` or `--forceall`.

    Snakemake's own reason is no answer: it counts interrupted jobs as forced, and does not count a job as forced that
    waits for another job of the same command.

    Args:
        dag: Snakemake's graph of jobs.
        jobs: Jobs that are going to run.
    """
    settings = dag.workflow.dag_settings
    named = set(settings.forcerun)
    return [
        job
        for job in jobs
        if job.rule in dag.forcerules  # all rules by --forceall
        or not named.isdisjoint(map(str, job.output))
        or (settings.forcetargets and job in dag.targetjobs)
    ]


class Controller:
    """The command that runs a study; a second one is refused while it lives.

    Args:
        files: What the rules ask of the study.
        studies: Files of the study that the command names; none for the default study.
    """

    def __init__(self, files: StudyFiles, studies: Sequence[str | Path] = ()) -> None:
        self.files = files
        self.studies = [Path(path) for path in studies]
        self.unsent: str | None = None
        self.lease = Lease(Path(files.root), study=files.study.study)

    def start(self, jobs: Iterable[Job], *, demanded: Iterable[Job], run: str | None) -> None:
        """Check the study, take it, and delete what jobs run by demand have kept.

        Args:
            jobs: Jobs that are going to run.
            demanded: Those of them that the command asks to run anew; see `demanded_jobs`.
            run: Name under which this command submits SLURM jobs; None if it submits none.

        Raises:
            ClinicalPeftError: The study cannot run, or something that it reads is missing or malformed, or another
                command runs it.
        """
        jobs = list(jobs)
        self._check(jobs)
        keep_to_owner(METADATA)
        self.take(run=run)
        self._announce(jobs)
        for job in demanded:
            if job.rule.name in KEEPING_RULES:
                forget_seeds(Path(job.params.work))

    def take(self, *, run: str | None = None) -> None:
        """Take the study, until the command ends.

        Args:
            run: See `start`.

        Raises:
            StudyInUseError: Another command runs it.
            StorageError: The folder of results cannot be written to.
        """
        self.lease.take(run=run)
        # Snakemake's hooks are not called when its scheduler itself fails.
        atexit.register(self.release)

    def guard_deletion(self, delete: Callable[..., None]) -> Callable[..., None]:
        """Return what deletes outputs of the study, with a refusal while another command runs it.

        Args:
            delete: Snakemake's own function; its keyword `dryrun` says that nothing is deleted.
        """

        @wraps(delete)
        def guarded(*args: Any, dryrun: bool = False, **kwargs: Any) -> None:
            if not dryrun:
                try:
                    self.take()
                except ClinicalPeftError as error:
                    end_with_line(error)
            delete(*args, dryrun=dryrun, **kwargs)

        return guarded

    def release(self) -> None:
        """Give the study free, if this command has it.

        Nothing is left of what a tracking server did not take, so that the next command sends it.
        """
        if self.lease.is_held:
            self.unsent = forget_unsent(Path(self.files.root))
        self.lease.release()

    def print_results(self) -> None:
        """Print where tables, report and tracked runs are, once there is a report."""
        page = Path(self.files.root) / "report.html"
        if not page.exists():
            return
        print(f"Tables: {self.files.root}/tables", f"Report: {page}", sep="\n")
        if self.unsent is not None:
            print(f"Runs:   not sent. {self.unsent}. To send them later: {self._track_command()}")
            return
        print(f"Runs:   {how_to_look(self.files.tracking_uri())}")
        record = Path(self.files.root) / STUDY
        if experiment := read_json(record).get("experiment") if record.exists() else None:
            print(f"        {page_address(self.files.tracking_uri(), experiment)}")

    def _track_command(self) -> str:
        """What sends runs later."""
        if len(self.studies) > 1:
            return "run the same command again"
        return f"clinical-peft track {shlex.quote(str(self.studies[0] if self.studies else DEFAULT))}"

    def _announce(self, jobs: list[Job]) -> None:
        """Tell who reports the study what its jobs cost by the plan."""
        costs = device_seconds(self.files)
        planned = []
        for job in jobs:
            outputs = [str(output) for output in job.output]
            seconds = sum(costs.get(output, 0.0) for output in outputs)
            planned += [(job.rule.name, outputs[0], seconds)] if outputs else []
        message = f"Planned: {sum(seconds for *_, seconds in planned):,.0f} s on one {self.files.study.budget.device}"
        logging.getLogger(LOGGER).info(message, extra={PLANNED: planned})

    def _check(self, jobs: list[Job]) -> None:
        notes_in_use.check_runnable(self.files.study)
        check_generated_files(self.files.study)
        reads = {str(file) for job in jobs for file in job.input}
        writes = {str(file) for job in jobs for file in job.output}
        imported = {job.wildcards.base for job in jobs if job.rule.name == "import_base"}
        check_inputs(self.files.study, Path(self.files.root), reads=reads - writes, bases=imported)
