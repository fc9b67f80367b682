"""Train a small base model on general text."""

import shutil
from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from dataclasses import replace

    from clinical_peft.config.sections import ScratchSource
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.runtime.lineage import Usage
    from clinical_peft.training.scratch import prepare_scratch_base

    name, params = snakemake.wildcards.base, snakemake.params
    usage = Usage()
    source = ScratchSource.model_validate(params.source)
    work = Path(params.work)
    log = JsonlLog(Path(snakemake.output.run_log), kind="bases", name=name, parent="bases", kept=work / "run.jsonl")
    log.params({"family": params.family, **params.source})
    prepare_scratch_base(
        Path(snakemake.input[0]),
        Path(snakemake.output.base),
        name=name,
        family=params.family,
        shape=source.shape,
        recipe=replace(source.recipe, checkpoint_seconds=params.checkpoint_seconds),
        seed=params.seed,
        split_salt=params.split_salt,
        work=work,
        log=log,
    )
    log.metrics(usage.metrics())
    shutil.rmtree(work)
