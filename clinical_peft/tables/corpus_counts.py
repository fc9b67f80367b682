"""Counts of the notes of a pretraining corpus, from the run log of the job that wrote it."""

from pathlib import Path

from clinical_peft.data.corpus_counts import published_counts
from clinical_peft.errors import DataError
from clinical_peft.runtime.events import read_events


def read_corpus_counts(run_log: Path) -> dict[str, int]:
    """Return what the job that wrote a corpus counted, from its run log, as it may be published.

    Raises:
        DataError: The log holds no counts.
    """
    counts: dict[str, int] = {}
    for event in read_events(run_log):
        if "run" in event:
            counts = {}
        counts |= {name: int(value) for name, value in event.get("metrics", {}).items()}
    if not counts:
        raise DataError(f"{run_log}: expected counts of notes, found none; write the corpus again")
    return published_counts(counts)
