"""Train one clinical adapter."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.events import JsonlLog
    from clinical_peft.experiments import job_from_record
    from clinical_peft.files import read_json
    from clinical_peft.lineage import Usage, append_inputs
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.training.language import pretrain

    name, usage = snakemake.wildcards.adapter, Usage()
    run_log, tokens = Path(snakemake.output.run_log), Path(snakemake.input.tokens)
    log = JsonlLog(run_log, kind="adapters", name=name, parent="adapters")
    log.params(snakemake.params.job)
    pretrain(
        job_from_record(PretrainJob, snakemake.params.job),
        base=Path(snakemake.input.base),
        tokens=tokens,
        output=Path(snakemake.output.adapter),
        perplexity=Path(snakemake.output.perplexity),
        work=Path(snakemake.params.work),
        log=log,
    )
    log.metrics(usage.figures())
    digest = read_json(tokens / "tokens.json")["fingerprint"]
    append_inputs(run_log, {tokens.name: {"path": str(tokens), "sha256": digest, "context": "training"}})
