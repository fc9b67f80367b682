"""Checking before the first step that pooled features give the logits of the network's own forward pass.

A note's features are computed beside other, longer notes, without a mask, and in LLaMA without the last layer's other
positions. Where an architecture gives another result, the shortcut is not used, or the base is refused.
"""

import logging

import numpy as np
import torch
from torch import Tensor

from clinical_peft.errors import TrainingError
from clinical_peft.recipes import Precision
from clinical_peft.recipes.families import find_family
from clinical_peft.training.batching import Rows
from clinical_peft.training.features import NoteFeatures
from clinical_peft.training.modes import training_mode
from clinical_peft.training.optimisation import autocast

# Relative, of the norm of some notes' logits. In bfloat16 rounding may send a token to another expert; what is computed
# wrongly, such as another position, makes a difference of the size of the logits.
LOGITS_WITHIN: dict[Precision, float] = {"fp32": 1e-5, "bf16": 0.2, "nf4": 0.2}

logger = logging.getLogger(__name__)


def settle_pooling(features: NoteFeatures) -> None:
    """Compare the logits of some notes with the network's own, and leave the last layer whole where they differ.

    Args:
        features: Notes and a classifier, which is left as it was; an encoder's pooler is its own.

    Raises:
        TrainingError: They differ whatever is computed.
    """
    notes, network = features.notes, features.classifier.network
    is_decoder = find_family(features.classifier.family).is_decoder
    if not is_decoder or (features.last_position and notes.pad == network.config.pad_token_id):
        # The network itself would pool before padding that it knows.
        return
    for rows in _few(notes.lengths):
        try:
            with training_mode(network, on=False), torch.no_grad():
                _settle(features, rows)
            return
        except torch.OutOfMemoryError:
            continue
    logger.warning("%s: no memory for a check of pooled features; nor will there be for a note", features.forward.title)


def _settle(features: NoteFeatures, rows: Rows) -> None:
    classifier, kind = features.classifier, features.classifier.network.config.model_type
    with autocast(features.recipe, features.device):
        own = torch.cat([_own_logits(features, row) for row in rows.tolist()])
    for every_position in (False, True) if classifier.pooling.is_of_token else (True,):
        classifier.every_position = every_position
        found = classifier.logits(features(rows)).float()
        off = float((found - own).norm() / own.norm().clamp_min(1e-9))
        if off <= LOGITS_WITHIN[features.recipe.precision] or not own.isfinite().all():
            logger.info("pooled features of %s checked against its own logits", kind)
            return
        if not every_position:
            logger.warning("last layer of %s: all positions are computed, since one alone gives others", kind)
    raise TrainingError(
        f"a base of architecture {kind} cannot be fine-tuned here: logits of pooled notes are {off:.1e} off its own, "
        "relatively; choose another base"
    )


def _own_logits(features: NoteFeatures, row: int) -> Tensor:
    """Logits of a note alone by the network's forward pass, shape (1, classes), float32.

    The network itself pools one token. Where all of them are, the note is read without others beside it.
    """
    if not features.classifier.pooling.is_of_token:
        return features.classifier.logits(features(np.array([row]))).float()
    width = features.recipe.context if features.last_position else None
    ids, lengths = features.notes.batch(np.array([row]), width=width)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(features.device) if width else None
    network = features.classifier.complete_network
    logits: Tensor = network(input_ids=ids.to(features.device), attention_mask=mask, use_cache=False).logits
    return logits.float()


def _few(lengths: np.ndarray) -> list[Rows]:
    """Choose the shortest note, one of middle length and the longest; and without the longest, if memory is short."""
    order = np.argsort(lengths, kind="stable")
    return [np.unique(order[[0, len(order) // 2, -1]]), np.unique(order[[0, len(order) // 2]])]
