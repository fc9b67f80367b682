"""The validated study, wildcard domains, and what happens before the first job and after the last."""

import shlex
import signal
import sys
import threading
from pathlib import Path

import snakemake
from snakemake.deployment.conda import Env
from snakemake.deployment.singularity import Image

sys.path.insert(0, str(workflow.basedir))

from clinical_peft.errors import ClinicalPeftError
from clinical_peft.runtime.shared_software import make_prefix, under_umask
from clinical_peft.runtime.terminal import end_with_line

# Tasks, sources, methods, metrics, tables and figures register themselves, and an incomplete one is refused.
try:
    from clinical_peft.figures.registry import all_figures
    from clinical_peft.tables.registry import all_tables
    from clinical_peft.workflow.container_image import image_of_jobs
    from clinical_peft.workflow.controller import Controller, demanded_jobs, prepare_process
    from clinical_peft.workflow.study_file import load_study, notices
    from clinical_peft.workflow.study_files import StudyFiles

    umask = prepare_process(installation=Path(snakemake.__file__))
    make_prefix(workflow.deployment_settings.conda_prefix, umask)
    make_prefix(workflow.deployment_settings.apptainer_prefix, umask)
    all_tables()
    all_figures()
    given = workflow.config_settings.overwrite_config
    study = load_study(config, workflow.overwrite_configfiles, given)
    image = image_of_jobs(study, workflow.deployment_settings.deployment_method)
except ClinicalPeftError as error:
    end_with_line(error)

# Snakemake puts it into the shell commands of jobs as it is, where a path with spaces falls apart.
sys.executable = shlex.quote(sys.executable)

# Environments and images hold no data: a group may share them.
Env.create, Image.pull = under_umask(umask, Env.create), under_umask(umask, Image.pull)

files = StudyFiles(study)
controller = Controller(files, workflow.overwrite_configfiles)
workflow.delete_output = controller.guard_deletion(workflow.delete_output)
if workflow.is_main_process:
    for notice in [*notices(study, workflow.overwrite_configfiles, given), *files.gone_tables()]:
        print(notice, file=sys.stderr)


wildcard_constraints:
    corpus=files.names.corpus,
    admission=files.names.admission,
    task=files.names.task,
    table=files.names.table,
    base=files.names.base,
    adapter=files.names.adapter,
    model=files.names.model,
    features=files.names.features,
    seed=r"\d+",
    worker=r"\d+",


onstart:
    jobs = list(workflow.dag.needrun_jobs())
    try:
        controller.start(
            jobs,
            demanded=demanded_jobs(workflow.dag, jobs),
            run=getattr(workflow.scheduler._executor, "run_uuid", None),
        )
    except ClinicalPeftError as error:
        end_with_line(error)
    # Snakemake's own handler waits for a lock that the main thread may hold at this moment, and then for ever.
    end = workflow.scheduler.exit_gracefully
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())


onsuccess:
    controller.release()
    controller.print_results()


onerror:
    controller.release()
