"""Import a user's file of notes."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.corpus_counts import published_counts
    from clinical_peft.data.note_files import import_notes
    from clinical_peft.runtime.events import JsonlLog

    log = JsonlLog(Path(snakemake.output.run_log), kind="notes", name=snakemake.wildcards.corpus, parent="data")
    counts = import_notes(
        Path(snakemake.input[0]),
        Path(snakemake.output.notes),
        **snakemake.params.columns,
        **snakemake.params.repetition,
    )
    log.metrics(published_counts(counts))
