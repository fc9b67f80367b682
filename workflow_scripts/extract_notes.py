"""Extract the notes of one corpus."""

import sys
from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.corpus_counts import published_counts
    from clinical_peft.data.note_extraction import extract_notes
    from clinical_peft.data.releases import release_warnings
    from clinical_peft.runtime.events import JsonlLog

    params, corpus = snakemake.params, snakemake.params.corpus
    log = JsonlLog(Path(snakemake.output.run_log), kind="notes", name=snakemake.wildcards.corpus, parent="data")
    counts = extract_notes(
        corpus,
        Path(snakemake.output.notes),
        **{name: Path(folder) if folder else None for name, folder in params.folders.items()},
        flattened=params.flattened,
        whole_release=params.whole_release,
    )
    log.params({"corpus": corpus, "flattened": params.flattened})
    log.metrics(published_counts(counts))
    for warning in release_warnings(counts):
        print(f"warning: {warning}", file=sys.stderr)
