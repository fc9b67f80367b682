"""What may be published of the counts of a corpus; see `clinical_peft.disclosure.counts`."""

from collections.abc import Mapping

from clinical_peft.disclosure.counts import SMALLEST_CELL, hidden_in_margin, shown_counts

_READ = ("rows_read", "notes")
_KEPT_OF_PAIR = "left"
_OF_NOTES = ("notes", "documents")
_REMOVED = ("of_held_out_patients", "repeating", "repeating_source")


def published_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of a corpus that may be published.

    What is dropped for each reason is, with what is kept, a margin of the notes read: small ones and those that cover
    them are left out, and so are the notes read where all that is dropped is too little. The corpus that a pair is made
    from says how many notes there were: what the pair keeps is then rounded, so that the difference stays open.
    """
    dropped = [name for name in counts if name.endswith("_dropped") or name in _REMOVED]
    hidden = {dropped[place] for place in hidden_in_margin([counts[name] for name in dropped])}
    if hidden and sum(counts[name] for name in hidden) < SMALLEST_CELL + len(hidden):
        hidden |= {name for name in counts if name in _READ or name.endswith("_rows")}
        counts = {name: _rounded(count) if name == _KEPT_OF_PAIR else count for name, count in counts.items()}
    return shown_counts({name: count for name, count in counts.items() if name not in hidden})


def published_token_counts(splits: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The counts of token shards that may be published, by split and name: those of notes and documents reveal notes.

    Args:
        splits: By split, what `tokens.json` counts.
    """
    return {
        f"{split}_{name}": count
        for split, counts in splits.items()
        for name, count in counts.items()
        if name not in _OF_NOTES
    }


def _rounded(count: int) -> int:
    step = 2 * SMALLEST_CELL
    return step * round(count / step)
