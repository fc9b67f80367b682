"""Compare the search for near-duplicate notes with MinHash libraries, in one run on the same notes.

pip install rensa datasketch   # what is not installed is left out
python benchmarks/near_duplicates.py

Two tasks: held-out notes of 1,500 words, copied into pretraining notes of that length, and held-out notes of 500 words
inside pretraining notes of 1,500, as an admission note inside its discharge summary. Up to a tenth of a copy's words
are changed. Every method decides by the share of the held-out note's shingles that the other note holds; the libraries
propose candidates by the resemblance that this share implies.
"""

import string
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.data.near_duplicates import SHINGLE_WORDS, shingle_codes
from clinical_peft.data.shingle_index import LEAST_SHARED, RepeatedNotes
from clinical_peft.files import write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

HERE = Path(__file__).resolve().parent
HELD_OUT, NOTES, COPIES, WORDS = 2_000, 20_000, 400, 1_500
THRESHOLD = 0.5
PERMUTATIONS = 128
BANDS = {0.5: 32, 0.14: 128}  # rensa takes bands where datasketch takes a threshold
_TO_SPACES = str.maketrans(dict.fromkeys(string.punctuation, " "))

Search = Callable[[str], list[int]]
Notes = tuple[list[str], Callable[[], Iterator[str]]]


def make_notes(held_out_words: int) -> Notes:
    """Held-out notes and a stream of pretraining notes, `COPIES` of which hold one: words drawn by Zipf's law."""
    rng = np.random.default_rng(0)
    letters = list("etaoinshrdlu")
    vocabulary = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(40_000)])
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    weights /= weights.sum()

    def draw(rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.choice(len(vocabulary), size=count, p=weights)

    held_out = [draw(rng, held_out_words) for _ in range(HELD_OUT)]

    def stream() -> Iterator[str]:
        rng = np.random.default_rng(1)
        for number in range(NOTES):
            words = draw(rng, WORDS)
            if number % (NOTES // COPIES) == 0:
                copy = number // (NOTES // COPIES)
                source = held_out[copy].copy()
                changed = rng.random(len(source)) < 0.1 * copy / COPIES
                source[changed] = draw(rng, int(changed.sum()))
                words[: len(source)] = source
            yield " ".join(vocabulary[words])

    return [" ".join(vocabulary[words]) for words in held_out], stream


def shingles(text: str) -> set[str]:
    """Shingles as strings, which the libraries hash themselves."""
    words = text.lower().translate(_TO_SPACES).split()
    return {" ".join(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1)}


def ours(held_out: list[str], resemblance: float) -> Search:
    """An index over the rarest shingles, and the exact share of its candidates."""
    index = RepeatedNotes((shingle_codes([note]) for note in held_out), THRESHOLD)
    return lambda text: index.repeated(shingle_codes([text]))[0].tolist()


def rensa(held_out: list[str], resemblance: float) -> Search:
    """R-MinHash in Rust."""
    from rensa import RMinHash, RMinHashLSH

    def sketch(own: set[str]) -> Any:
        minhash = RMinHash(PERMUTATIONS, 1)
        minhash.update(list(own))
        return minhash

    index = RMinHashLSH(threshold=resemblance, num_perm=PERMUTATIONS, num_bands=BANDS[resemblance])
    return _verified(held_out, sketch, index)


def datasketch(held_out: list[str], resemblance: float) -> Search:
    """MinHash with numpy."""
    from datasketch import MinHash, MinHashLSH

    def sketch(own: set[str]) -> Any:
        minhash = MinHash(PERMUTATIONS)
        minhash.update_batch([shingle.encode() for shingle in own])
        return minhash

    return _verified(held_out, sketch, MinHashLSH(threshold=resemblance, num_perm=PERMUTATIONS))


def _verified(held_out: list[str], sketch: Callable[[set[str]], Any], index: Any) -> Search:
    """Propose candidates by sketches and decide by the exact share."""
    for position, note in enumerate(held_out):
        index.insert(position, sketch(shingles(note)))

    def search(text: str) -> list[int]:
        own, found = shingles(text), []
        for position in index.query(sketch(own)):
            note = shingles(held_out[position])
            if len(own & note) >= max(THRESHOLD * len(note), LEAST_SHARED):
                found.append(position)
        return found

    return search


def measure(method: Callable[[list[str], float], Search], notes: Notes, resemblance: float) -> dict[str, Any]:
    """Build an index and search every note: processor time, since machines are shared, without the making of notes."""
    held_out, stream = notes
    start = time.process_time()
    search = method(held_out, resemblance)
    indexed = time.process_time() - start
    seconds, found = 0.0, 0
    for text in stream():
        start = time.process_time()
        found += len(search(text))
        seconds += time.process_time() - start
    return {
        "index_seconds": round(indexed, 2),
        "notes_per_second": round(NOTES / seconds),
        "found": found,
    }


def installed(name: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    tasks = {}
    for words, resemblance in ((1_500, 0.5), (500, 0.14)):
        notes = make_notes(words)
        tasks[f"held-out notes of {words} words"] = found = {}
        for method in (ours, rensa, datasketch):
            if method is ours or installed(method.__name__):
                found[method.__name__] = measure(method, notes, resemblance)
                print(words, method.__name__, found[method.__name__], file=sys.stderr)
    record = {
        "held_out": HELD_OUT,
        "notes": NOTES,
        "words_per_note": WORDS,
        "copies": COPIES,
        "threshold": THRESHOLD,
        "tasks": tasks,
        "libraries": {name: installed(name) for name in ("rensa", "datasketch")},
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }
    write_json(HERE / "results" / "near_duplicates.json", record)
