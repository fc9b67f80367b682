"""Train one clinical adapter."""

from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.files import read_json
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.runtime.lineage import Usage, append_inputs
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.kept_seeds import adapter_key, forget_checkpoints, keep, restore
    from clinical_peft.training.launch import run_pretraining

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    base, tokens, work = Path(given.base), Path(given.tokens), Path(params.work)
    general = {"general": Path(given.general)} if given.get("general") else {}
    found = complete_job(PretrainJob, params.job, given.search, checkpoint_seconds=params.checkpoint_seconds)
    pretrain_job, record = found
    key = adapter_key(record, base=base, tokens=tokens, general=general.get("general"))
    outputs = {name: Path(output[name]) for name in ("adapter", "perplexity", "run_log")}
    if not restore(work, "adapter", key, outputs):
        usage, name = Usage(), snakemake.wildcards.adapter
        log = JsonlLog(outputs["run_log"], kind="adapters", name=name, parent="adapters", kept=work / "run.jsonl")
        log.params(record)
        places = {"output": outputs["adapter"], "perplexity": outputs["perplexity"], "work": work}
        log_file = Path(snakemake.log[0])
        run_pretraining(pretrain_job, base=base, tokens=tokens, **places, **general, log=log, log_file=log_file)
        log.metrics(usage.metrics())
        digest = read_json(tokens / "tokens.json")["fingerprint"]
        training = {"path": str(tokens), "sha256": digest, "context": "training"}
        append_inputs(outputs["run_log"], {tokens.name: training})
        keep(work, "adapter", key, outputs)
    forget_checkpoints(work)
