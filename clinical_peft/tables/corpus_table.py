"""What the pretraining corpora are: how many notes were read, and which were left out."""

from collections.abc import Mapping
from pathlib import Path

from clinical_peft.data.corpus_counts import published_counts
from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.errors import DataError
from clinical_peft.runtime.events import read_events
from clinical_peft.tables.form import Record, Table, number

CORPUS_FIELDS = (
    "corpus",
    "notes_read",
    "notes_of_release",
    "empty",
    "duplicates",
    "marked_as_error",
    "of_held_out_patients",
    "repeating_held_out",
    "drawn_out",
    "notes",
)


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


def build_corpus_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Build the table of corpora, one row each (`CORPUS_FIELDS`); a field that a corpus has no count of is empty.

    Args:
        counts: By corpus, what `read_corpus_counts` returned. A corpus made from another by `pair_corpora` is known by
            its count ``left``; the matched arm, whose name ends in that word, loses notes by lot.
    """
    records = [_record(corpus, found) for corpus, found in counts.items()]
    return Table(
        name="corpora",
        caption="The pretraining corpora: notes read, left out and kept.",
        fields=CORPUS_FIELDS,
        records=tuple(records),
        header=(
            *("Corpus", "Notes read", "Of the release", "Empty", "Duplicates", "Marked as errors"),
            *("Of held-out patients", "Repeating their notes", "Drawn out", "Notes kept"),
        ),
        rows=tuple((record["corpus"], *(number(record[field]) for field in CORPUS_FIELDS[1:])) for record in records),
        notes=(
            "Of the release: what its tables should hold; empty where the tables are no release. Drawn out: notes that "
            "a matched corpus loses by lot, so that it is as large as the disjoint one. A dash also stands for counts "
            f"below {SMALLEST_CELL} and for those that would give them away; notes kept beside it are then rounded to "
            f"{2 * SMALLEST_CELL} in a pair of corpora.",
        ),
    )


def _record(corpus: str, given: Mapping[str, int]) -> Record:
    counts = published_counts(given)
    if "left" in counts:
        matched = corpus.partition("@")[0].endswith("-matched")
        removed = (
            {"drawn_out": counts["notes"] - counts["left"] if "notes" in counts else None}
            if matched
            else {
                "of_held_out_patients": counts.get("of_held_out_patients"),
                "repeating_held_out": counts.get("repeating"),
            }
        )
        found = {"notes_read": counts.get("notes"), **removed, "notes": counts["left"]}
    else:
        expected = [count for name, count in counts.items() if name.endswith("_rows_expected")]
        found = {
            "notes_read": counts.get("rows_read"),
            **({"notes_of_release": sum(expected)} if expected else {}),
            "empty": counts.get("empty_dropped"),
            "duplicates": counts.get("duplicates_dropped"),
            "marked_as_error": counts.get("marked_as_error_dropped"),
            "notes": counts.get("written"),
        }
    return {"corpus": corpus} | {field: found.get(field) for field in CORPUS_FIELDS[1:]}
