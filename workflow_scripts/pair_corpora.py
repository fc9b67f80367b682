"""Write the disjoint and the matched part of a corpus."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.corpus_counts import published_counts
    from clinical_peft.data.disjoint import write_paired_corpora
    from clinical_peft.data.held_out import Repetition
    from clinical_peft.runtime.events import JsonlLog

    output, params = snakemake.output, snakemake.params
    counts = write_paired_corpora(
        Path(snakemake.input.notes),
        [Path(path) for path in snakemake.input.cohorts],
        disjoint=Path(output.disjoint),
        matched=Path(output.matched),
        repetition=Repetition(**params.repetition),
        flattened=params.flattened,
        seed=params.seed,
        work=Path(params.work),
        processes=snakemake.threads,
    )
    for path in map(Path, output.run_logs):
        log = JsonlLog(path, kind="notes", name=path.stem, parent="data")
        log.params({"corpus": path.stem, "seed": params.seed, **params.repetition})
        log.metrics(published_counts(counts))
