"""Import a user's file of notes."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.corpus_counts import published_counts
    from clinical_peft.data.note_files import import_notes
    from clinical_peft.events import JsonlLog

    log = JsonlLog(Path(snakemake.output.run_log), kind="notes", name=snakemake.wildcards.corpus, parent="data")
    repetition = snakemake.params.repetition
    counts = import_notes(
        Path(snakemake.input[0]),
        Path(snakemake.output.notes),
        **snakemake.params.columns,
        near_duplicate_threshold=repetition["threshold"],
        shingle_words=repetition["shingle_words"],
    )
    log.metrics(published_counts(counts))
