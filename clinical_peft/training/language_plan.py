"""Which rows a language model is trained and measured on."""

import numpy as np

from clinical_peft.errors import TrainingError
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.training.batching import Rows, token_batches
from clinical_peft.training.general_text import RowsWithReplay, TokenRows


def plan_updates(shards: TokenRows, recipe: LanguageRecipe, seed: int) -> list[Rows]:
    """Decide which rows each update reads.

    Args:
        shards: Rows; only the training split is used, and general text where the recipe asks for replay.
        recipe: Budget; replayed text counts towards it.
        seed: Decides the order, together with the epoch.

    Returns:
        Row numbers per update, over all epochs, ended when `recipe.train_tokens` is reached.

    Raises:
        TrainingError: There is no general text to replay.
    """
    updates = _clinical_updates(shards, recipe, seed)
    if not recipe.replay:
        return updates
    if not isinstance(shards, RowsWithReplay):
        raise TrainingError(f"replay is {recipe.replay}, but there is no general text; name a corpus or set it to 0")
    return shards.with_replay(updates, recipe.replay, seed)


def _clinical_updates(shards: TokenRows, recipe: LanguageRecipe, seed: int) -> list[Rows]:
    clinical = 1 - recipe.replay
    batch_tokens = max(1, round(clinical * recipe.batch_tokens))
    train = shards.rows("train")
    lengths = shards.lengths[train]
    updates: list[Rows] = []
    tokens = 0
    for epoch in range(recipe.epochs):
        for batch in token_batches(lengths, batch_tokens, np.random.default_rng([seed, epoch])):
            if recipe.train_tokens is not None and tokens >= clinical * recipe.train_tokens:
                return updates
            updates.append(train[batch])
            tokens += int(lengths[batch].sum())
    return updates


def evaluation_rows(shards: TokenRows, split: str, limit: int | None, salt: str) -> Rows:
    """Choose the rows of a split that a perplexity is measured on, the same for every network of a study.

    Args:
        shards: Rows.
        split: Which split.
        limit: About so many tokens, drawn at random; None for all rows.
        salt: Decides the draw.
    """
    rows = shards.rows(split)
    if limit is None or int(shards.lengths[rows].sum()) <= limit:
        return rows
    order = np.random.default_rng(list(f"{salt}:{split}".encode())).permutation(rows)
    enough = int(np.searchsorted(np.cumsum(shards.lengths[order]), limit)) + 1
    return np.sort(order[:enough])
