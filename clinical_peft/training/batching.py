"""Which rows share a forward pass.

Sequences are padded on the right: a causal network then computes the same for every real token as it would without
padding, and needs no attention mask. An optimizer batch of many forward passes is drawn at random and sorted by length
only within the step, which changes nothing of what an update sees (`token_batches`, `micro_batches`). Fine-tuning often
has one forward pass per update, so that it draws notes of like length together (`row_batches`).
"""

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

Rows = npt.NDArray[np.int64]

# Batches of rows that are sorted by length together. The more, the less padding, and the less random a batch.
WINDOW_BATCHES = 16


def batches_per_epoch(lengths: npt.NDArray[np.integer], batch_tokens: int) -> int:
    """Return how many optimizer steps of about `batch_tokens` real tokens one pass over the rows makes."""
    return max(1, min(len(lengths), round(int(lengths.sum()) / batch_tokens)))


def token_batches(lengths: npt.NDArray[np.integer], batch_tokens: int, generator: np.random.Generator) -> list[Rows]:
    """Shuffle the rows and cut them into optimizer batches of nearly equal numbers of tokens.

    Args:
        lengths: Real tokens of each row, shape (rows,), every one positive.
        batch_tokens: Tokens per batch, about.
        generator: Decides the order.

    Returns:
        Row numbers per batch; every row is in exactly one batch and no batch is empty.
    """
    count = batches_per_epoch(lengths, batch_tokens)
    order = generator.permutation(len(lengths))
    shuffled = lengths[order].astype(np.int64)
    ends = np.cumsum(shuffled)
    # A row belongs to the batch in which its middle falls.
    batch = np.minimum(((2 * ends - shuffled) * count) // (2 * int(ends[-1])), count - 1)
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(rows)]


def row_batches(lengths: npt.NDArray[np.integer], batch_size: int, generator: np.random.Generator) -> list[Rows]:
    """Shuffle the rows and cut them into batches of `batch_size`, each of rows of like length.

    The shuffled rows are sorted by length within windows of `WINDOW_BATCHES` batches, and the batches of a window are
    shuffled again. Rows of equal length keep their shuffled order, and a window of such rows alone is left as it is.
    Real transcribed reports (MTSamples) in batches of 16 are padded by 2.6 % at context 512 and 4.1 % at 1,024; drawn
    at random it would be 15.5 % and 39.3 %.

    Args:
        lengths: Tokens of each row, shape (rows,).
        batch_size: Rows per batch.
        generator: Decides the order.

    Returns:
        Row numbers per batch; every row is in exactly one. A last, smaller batch is a random draw from all rows: its
        rows weigh more in an update than others, and these must not always be the shortest.
    """
    order = generator.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    batches: list[Rows] = []
    for window in np.split(order[:whole], range(WINDOW_BATCHES * batch_size, whole, WINDOW_BATCHES * batch_size)):
        rows = window[np.argsort(-lengths[window].astype(np.int64), kind="stable")]
        cut = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        if cut and lengths[rows[0]] != lengths[rows[-1]]:
            cut = [cut[place] for place in generator.permutation(len(cut))]
        batches += cut
    return batches + [rest for rest in (order[whole:],) if len(rest)]


def micro_batches(rows: Rows, lengths: npt.NDArray[np.integer], padded_tokens: int) -> list[Rows]:
    """Group rows of like length into forward passes of at most `padded_tokens` tokens, padding included.

    Args:
        rows: Row numbers to group.
        lengths: Tokens of every row of the table, indexed by row number.
        padded_tokens: Longest row times number of rows, at most; a row longer than this goes alone.

    Returns:
        Row numbers per forward pass, the longest rows first, so that too large a batch fails at once.
    """
    order = rows[np.argsort(-lengths[rows].astype(np.int64), kind="stable")]
    groups: list[Rows] = []
    start = 0
    while start < len(order):
        size = max(1, padded_tokens // int(lengths[order[start]]))
        groups.append(order[start : start + size])
        start += size
    return groups


def passes(
    documents: Sequence[npt.NDArray[np.integer]], tokens: int, *, packed: bool
) -> list[list[npt.NDArray[np.integer]]]:
    """Divide documents among forward passes, the longest first.

    Args:
        documents: Token ids, each of shape (length,).
        tokens: Tokens per pass, at most, padding included; a document longer than this goes alone.
        packed: Whether a pass lays its documents one after the other. If so the passes hold about equally many tokens,
            and documents of equal length are neighbours in all of them; else a pass is a batch of rows of like length.

    Returns:
        Documents per pass; every document is in exactly one.
    """
    lengths = np.fromiter((len(document) for document in documents), np.int64, len(documents))
    if not packed:
        groups = micro_batches(np.arange(len(documents)), lengths, tokens)
        return [[documents[row] for row in group] for group in groups]
    loads = [(0, number) for number in range(max(1, -(-int(lengths.sum()) // tokens)))]
    members: list[list[npt.NDArray[np.integer]]] = [[] for _ in loads]
    for row in np.argsort(-lengths, kind="stable"):
        load, lightest = loads[0]
        if load and load + lengths[row] > tokens:
            load, lightest = 0, len(members)
            members.append([])
            heapq.heappush(loads, (int(lengths[row]), lightest))
        else:
            heapq.heapreplace(loads, (load + int(lengths[row]), lightest))
        members[lightest].append(documents[row])
    return [group for group in members if group]


def pad_right(sequences: Sequence[npt.NDArray[np.integer]], pad: int) -> torch.Tensor:
    """Stack token sequences, padded on the right.

    Args:
        sequences: Token ids, each of shape (length,).
        pad: Id of the padding token.

    Returns:
        Token ids of shape (sequences, longest), int64.
    """
    longest = max(len(sequence) for sequence in sequences)
    padded = np.full((len(sequences), longest), pad, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)


def on_device(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor of the CPU to a device, without waiting for what a GPU still computes."""
    return value.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else value.to(device)
