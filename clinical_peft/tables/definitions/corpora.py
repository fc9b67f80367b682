"""What the pretraining corpora are: how many notes were read, and which were left out."""

from collections.abc import Mapping

from clinical_peft.data.corpus_counts import published_counts
from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.tables.form import Record
from clinical_peft.tables.study_column import Column, digits, taken
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_table import StudyTable

COUNTS = {
    "notes_read": "Notes read",
    "notes_of_release": "Of the release",
    "empty": "Empty",
    "duplicates": "Duplicates",
    "marked_as_error": "Marked as errors",
    "of_held_out_patients": "Of held-out patients",
    "repeating_held_out": "Repeating their notes",
    "drawn_out": "Drawn out",
    "notes": "Notes kept",
}

OF_HOSPITAL = {"notes_of_release", "marked_as_error", "of_held_out_patients", "repeating_held_out", "drawn_out"}
HIDDEN = f"counts below {SMALLEST_CELL} and for those that would give them away"
OF_MIMIC = (
    "Of the release: what its tables should hold; empty where the tables are no release. Drawn out: notes that "
    f"a matched corpus loses by lot, so that it is as large as the disjoint one. A dash also stands for {HIDDEN}; "
    f"notes kept beside it are then rounded to {2 * SMALLEST_CELL} in a pair of corpora."
)


def _rows(results: StudyResults) -> list[Record]:
    return [{"corpus": corpus} | _counts(corpus, published_counts(given)) for corpus, given in results.corpora.items()]


def _counts(corpus: str, counts: Mapping[str, int]) -> Record:
    """Counts by column. A corpus made from another by `pair_corpora` is known by its count ``left``; the matched one,
    whose name ends in that word, loses notes by lot."""
    if "left" in counts:
        if corpus.partition("@")[0].endswith("-matched"):
            removed = {"drawn_out": counts["notes"] - counts["left"] if "notes" in counts else None}
        else:
            removed = {
                "of_held_out_patients": counts.get("of_held_out_patients"),
                "repeating_held_out": counts.get("repeating"),
            }
        return {"notes_read": counts.get("notes"), **removed, "notes": counts["left"]}
    expected = [count for name, count in counts.items() if name.endswith("_rows_expected")]
    return {
        "notes_read": counts.get("rows_read"),
        "notes_of_release": sum(expected) if expected else None,
        "empty": counts.get("empty_dropped"),
        "duplicates": counts.get("duplicates_dropped"),
        "marked_as_error": counts.get("marked_as_error_dropped"),
        "notes": counts.get("written"),
    }


def _count(field: str) -> Column:
    return Column(field, lambda row: row.get(field), COUNTS[field], digits(0), is_of_hospital=field in OF_HOSPITAL)


TABLE = StudyTable(
    name="corpora",
    place=4,
    section="data",
    folded="Notes of each corpus",
    needs=("corpora",),
    columns=(taken("corpus", "Corpus"), *map(_count, COUNTS)),
    rows=_rows,
    shown=("corpus", *COUNTS),
    caption=lambda *_: "The pretraining corpora: notes read, left out and kept.",
    notes=lambda results, _: (OF_MIMIC if results.is_of_hospital else f"A dash stands for {HIDDEN}.",),
)
