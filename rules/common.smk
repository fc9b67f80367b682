"""The validated study, wildcard domains, and what is said before and after a run."""

import atexit
import re
import shlex
import signal
import sys
import threading
from pathlib import Path

import snakemake
from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(workflow.basedir))

from clinical_peft.config import arms, experiments, settings
from clinical_peft.config.study import MIMIC_CORPORA
from clinical_peft.errors import ClinicalPeftError
from clinical_peft.locks.lease import Lease
from clinical_peft.runtime.privacy import keep_to_owner, protect_process
from clinical_peft.locks.processes import announce_parent
from clinical_peft.runtime.signals import ignore_notice
from clinical_peft.tracking.stores import how_to_look
from clinical_peft.training.kept_seeds import forget_seeds
from clinical_peft.runtime.user_site import ignore_user_site
from clinical_peft.workflow import study_file, study_inputs

protect_process()
# Snakemake made it before it read this file; it holds its logs and what it remembers of every job.
if not keep_to_owner(Path(".snakemake")):
    print(
        "note: .snakemake belongs to another user and is open to others",
        file=sys.stderr,
    )
ignore_notice()
announce_parent()
ignore_user_site(installation=Path(snakemake.__file__))

# Snakemake puts it into the shell commands of jobs as it is, where a path with spaces falls apart.
sys.executable = shlex.quote(sys.executable)


def load_study():
    try:
        return experiments.load_study(config)
    except ClinicalPeftError as error:
        raise WorkflowError(str(error)) from None


def report_unused_entries():
    """Say what the user's files define and the matrix leaves out, once and not in every job."""
    unused = study_file.describe_unused(STUDY, workflow.overwrite_configfiles)
    if unused and workflow.is_main_process:
        print(unused, file=sys.stderr)


STUDY = load_study()
report_unused_entries()
ROOT = f"results/{STUDY.study}"
LEASE = Lease(Path(ROOT), study=STUDY.study)
SEEDS = STUDY.matrix.seeds
SYNTHETIC_FOLDER = f"{ROOT}/hospital"
SCRATCH_BASES = [
    base for base in STUDY.bases if experiments.scratch_source(STUDY, base)
]
REAL_BASES = STUDY.real_bases
FEATURE_SETS = experiments.feature_sets(STUDY)
SEARCHES = experiments.searches_in_use(STUDY)


def one_of(names):
    return "|".join(re.escape(name) for name in names) or "none"


def switched(names, *stages):
    """The names, alone or with a switch that changes the work of these stages."""
    return f"(?:{one_of(names)})(?:@(?:{one_of(arms.switches_at(*stages))}))?"


wildcard_constraints:
    corpus=switched(STUDY.corpora, "corpus", "shards"),
    admission=switched(["admission"], "admission"),
    task=switched(STUDY.tasks, "admission", "cohort"),
    base=one_of(STUDY.bases),
    adapter=switched(STUDY.adapters, "corpus", "shards", "adapter"),
    model=switched(STUDY.models, "corpus", "shards", "adapter", "model"),
    seed=r"\d+",
    features=one_of(FEATURE_SETS),
    worker=r"\d+",


def unless_synthetic(threads):
    """Notes of the synthetic hospital take seconds: with one thread their job need not wait for a second free core."""
    return 1 if experiments.reads_synthetic_notes(STUDY) else threads


def check_before_first_job():
    """Refuse a study that cannot run, and look at what its jobs will read."""
    jobs = list(workflow.dag.needrun_jobs())
    imported = {job.wildcards.base for job in jobs if job.rule.name == "import_base"}
    reads = {str(file) for job in jobs for file in job.input}
    writes = {str(file) for job in jobs for file in job.output}
    try:
        experiments.check_runnable(STUDY)
        study_inputs.check_inputs(
            STUDY,
            Path(ROOT),
            reads=reads - writes,
            bases=imported,
        )
    except ClinicalPeftError as error:
        raise WorkflowError(str(error)) from None


def forget_forced_seeds():
    """Delete the kept seeds of jobs that the command asks to run anew; only the study's one controller may."""
    for job in workflow.dag.needrun_jobs():
        if (
            job.rule.name in ("finetune_model", "train_adapter")
            and workflow.dag.reason(job).forced
        ):
            forget_seeds(Path(job.params.work))


def take_lease():
    """Refuse a second controller. Only a command that runs jobs gets here, and not the processes it starts for them."""
    try:
        LEASE.take(run=getattr(workflow.scheduler._executor, "run_uuid", None))
    except ClinicalPeftError as error:
        raise WorkflowError(str(error)) from None
    # The hooks are not called when the scheduler itself fails.
    atexit.register(LEASE.release)
    # Snakemake's own handler waits for a lock that the main thread may hold at this moment, and then for ever.
    end = workflow.scheduler.exit_gracefully
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())


def print_results():
    page = Path(ROOT) / "report.html"
    if not page.exists():
        return
    print(f"Tables: {ROOT}/tables", f"Report: {page}", sep="\n")
    print(f"Runs:   {how_to_look(tracking_uri())}")
