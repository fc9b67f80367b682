"""Ask Snakemake which jobs would run, and why, as JSON on standard output.

`python -m clinical_peft.cli.dry_run SNAKEFILE [STUDY]` runs in a process of its own, since reading a workflow changes
the process. It is the only module that imports Snakemake. What Snakemake prints goes to standard error.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.exceptions import RuleException, WorkflowError
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    Quietness,
    RerunTrigger,
    ResourceSettings,
)

# As in profiles/default, which also runs interrupted jobs again.
TRIGGERS = frozenset({RerunTrigger.MTIME, RerunTrigger.PARAMS, RerunTrigger.INPUT})


def planned_jobs(snakefile: Path, studies: Sequence[Path]) -> list[dict[str, Any]]:
    """Describe every job that would run; see `clinical_peft.workflow.reruns.PlannedJob`.

    Args:
        snakefile: The workflow.
        studies: Files of `--configfile`.

    Raises:
        RuleException: An input is missing.
        WorkflowError: The workflow contradicts itself.
    """
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(ResourceSettings(cores=1), ConfigSettings(configfiles=studies), snakefile=snakefile)
        dag = workflow.dag(DAGSettings(rerun_triggers=TRIGGERS, force_incomplete=True))
        dag.execute_workflow(executor="dryrun", execution_settings=ExecutionSettings(lock=False))
        return list(_described(workflow._workflow))


def _described(workflow: Any) -> Iterator[dict[str, Any]]:
    dag, records = workflow.dag, workflow.persistence
    for job in dag.needrun_jobs(exclude_finished=False):
        if not job.output:
            continue
        reason = dag.reason(job)
        # Asked anew: Snakemake does not look at the parameters of a job that runs for another reason.
        change = records.params_changed(job)
        named = {name: records._serialize_param(value) for name, value in job.params.items()}
        yield {
            "rule": job.rule.name,
            "wildcards": dict(job.wildcards_dict),
            "params": {name: text for name, text in named.items() if text in change.only_new},
            "before": sorted(change.only_old),
            "newer": sorted(map(str, reason.updated_input - reason.updated_input_run)),
            "missing": sorted(map(str, reason.missing_output)),
            # An interrupted job is forced, and nothing else is.
            "is_interrupted": bool(reason.forced or reason.incomplete_output),
            "has_other_inputs": any(records.input_changed(job)),
        }


def main(arguments: Sequence[str]) -> int:
    """Print the jobs, or one line about what Snakemake found wrong."""
    snakefile, *studies = map(Path, arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = planned_jobs(snakefile, studies)
    except (WorkflowError, RuleException) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
