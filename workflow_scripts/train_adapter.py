"""Train one clinical adapter."""

import shutil
from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.files import read_json
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.runtime.lineage import Usage, append_inputs
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.launch import run_pretraining

    name, usage, work = snakemake.wildcards.adapter, Usage(), Path(snakemake.params.work)
    run_log, tokens = Path(snakemake.output.run_log), Path(snakemake.input.tokens)
    log = JsonlLog(run_log, kind="adapters", name=name, parent="adapters", kept=work / "run.jsonl")
    general = snakemake.input.get("general")
    params, best = snakemake.params, snakemake.input.search
    pretrain_job, record = complete_job(PretrainJob, params.job, best, checkpoint_seconds=params.checkpoint_seconds)
    log.params(record)
    run_pretraining(
        pretrain_job,
        base=Path(snakemake.input.base),
        tokens=tokens,
        output=Path(snakemake.output.adapter),
        perplexity=Path(snakemake.output.perplexity),
        work=work,
        log=log,
        log_file=Path(snakemake.log[0]),
        **({"general": Path(general)} if general else {}),
    )
    log.metrics(usage.figures())
    digest = read_json(tokens / "tokens.json")["fingerprint"]
    append_inputs(run_log, {tokens.name: {"path": str(tokens), "sha256": digest, "context": "training"}})
    shutil.rmtree(work)
