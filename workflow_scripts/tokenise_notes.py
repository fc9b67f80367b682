"""Tokenise one corpus for one base."""

from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.data.corpus_counts import published_token_counts
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.tokens.shards import tokenise

    names = f"{snakemake.wildcards.base}/{snakemake.wildcards.corpus}"
    log = JsonlLog(Path(snakemake.output.run_log), kind="tokens", name=names, parent="data")
    summary = tokenise(
        Path(snakemake.input.notes),
        Path(snakemake.input.base),
        Path(snakemake.output.tokens),
        context=snakemake.params.context,
        split_salt=snakemake.params.split_salt,
        truncate_and_pad=snakemake.params.truncate_and_pad,
        processes=snakemake.threads,
        work=Path(snakemake.params.work),
    )
    log.params({key: summary[key] for key in ("context", "split_salt", "truncate_and_pad")})
    log.metrics(published_token_counts(summary["splits"]))
