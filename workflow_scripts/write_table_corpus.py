"""Write the training notes of an own table as a corpus."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.corpus_counts import published_counts
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.sources.table.corpus import write_training_notes

    log = JsonlLog(Path(snakemake.output.run_log), kind="notes", name=snakemake.wildcards.corpus, parent="data")
    counts = write_training_notes(Path(snakemake.input[0]), Path(snakemake.output.notes))
    log.metrics(published_counts(counts))
