"""Checking before the first step that a job computes what the decoder computes.

A decoder of any architecture is used here in ways that its authors did not foresee: documents one after the other in
one sequence, or rows without a mask; likelihoods without the logits of a whole batch. Some layers do not support this:
a recurrence continues from one document into the next, a layer ignores a keyword. So the losses of a few documents are
computed twice, one document at a time from the network's own logits and as the job will compute them, and states are
compared after some tokens have been changed. Nothing random is drawn and no state is kept: training starts as it would
without the check.
"""

import logging
from collections.abc import Callable

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional

from clinical_peft.errors import TrainingError
from clinical_peft.models.gradients import check_reached
from clinical_peft.models.positions import longest_sequence
from clinical_peft.recipes import Precision
from clinical_peft.training.attention import base_network
from clinical_peft.training.batching import passes
from clinical_peft.training.checkpoint import generator_tensors, restore_generators
from clinical_peft.training.general_text import TokenRows
from clinical_peft.training.language_loss import CausalLoss, Sequences
from clinical_peft.training.language_run import LanguageRun
from clinical_peft.training.modes import training_mode
from clinical_peft.training.optimisation import autocast

SHORT = (24, 17, 9)  # lengths of the documents whose states are compared
EDGE = 2  # first tokens of a document, both of which must have changed
SPLITS_READ = ("train", "validation")  # a search has no test split to read
ROWS_AT_ONCE = 512  # of logits in float32
# Relative: of losses; and of a token's state, in the median over the tokens of a document, for rounding may send a
# token to another expert. bfloat16 keeps 8 bits; `docs/models.md` says what was measured.
LOSS_WITHIN: dict[Precision, float] = {"fp32": 1e-5, "bf16": 1e-2, "nf4": 1e-2}
STATES_WITHIN: dict[Precision, float] = {"fp32": 1e-5, "bf16": 1e-2, "nf4": 1e-2}
# Errors of a network that cannot run a layout: it does not know an argument, or lacks something that it needs.
UNABLE = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)

logger = logging.getLogger(__name__)


def settle_loss(model: nn.Module, run: LanguageRun) -> None:
    """Check a run's loss on a network, and group documents from now on where packing would mix them up.

    Args:
        model: The network, with or without an adapter; left as it was.
        run: Loss, documents and precision; a loss that is packed may be grouped afterwards.

    Raises:
        TrainingError: The network cannot read a document; or, however documents are laid out, the loss is not that of
            its own logits, or states depend on later tokens.
    """
    loss = run.loss
    if not isinstance(loss, CausalLoss):
        return
    documents = _sample(run.shards, loss.pad, _longest(model, run))
    if not documents:
        return
    with training_mode(model, on=False), torch.no_grad(), autocast(run.recipe, run.device):
        _in_memory(lambda few: _settle(model, run, loss, few), documents, title=run.title)


def _settle(model: nn.Module, run: LanguageRun, loss: CausalLoss, documents: Sequences) -> None:
    kind = base_network(model).config.model_type
    try:
        expected = _own_loss(model, loss, documents)
    except torch.OutOfMemoryError:
        raise
    except UNABLE as error:
        raise TrainingError(f"{run.title}: a base of architecture {kind} cannot read a note: {_text(error)}") from None
    problem = None
    for packed in (True, False) if loss.packed else (False,):
        loss.packed = packed
        problem = _problem(model, run, loss, documents, expected)
        if problem is None:
            logger.info("%s: loss checked against the logits of %s: %s", run.title, kind, loss.describe(model))
            return
        if packed:
            logger.warning("%s: documents of %s cannot be packed: %s; grouped by length", run.title, kind, problem)
    raise TrainingError(
        f"{run.title}: a base of architecture {kind} cannot be trained or measured here: {problem}; choose another base"
    )


def _in_memory(check: Callable[[Sequences], None], documents: Sequences, *, title: str) -> None:
    """Run a check on documents, or on their beginnings where memory runs out."""
    size = max(map(len, documents))
    while size >= 2:
        try:
            check([document[:size] for document in documents])
            return
        except torch.OutOfMemoryError:
            size //= 2
        # Outside the handler, which keeps the failed pass's tensors alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    logger.warning("%s: no memory for a check of the loss; nor will there be for a document", title)


def _problem(model: nn.Module, run: LanguageRun, loss: CausalLoss, documents: Sequences, expected: float) -> str | None:
    """Return what is wrong with the loss in its current layout, or None."""
    precision = run.recipe.precision
    try:
        groups = passes(documents, run.recipe.micro_batch_tokens, packed=loss.packed)
        found = sum(loss(model, group, key=(0,))[0].item() for group in groups)
        leak = _leak(model, loss, documents)
    except torch.OutOfMemoryError:
        raise
    except UNABLE as error:
        return _text(error)
    off = abs(found - expected) / max(abs(expected), 1e-9)
    # Written so that NaN is wrong, too; where the expected loss is NaN, the run ends elsewhere.
    if not (off <= LOSS_WITHIN[precision] or not np.isfinite(expected)):
        return f"the loss is {off:.1e} off that of its own logits, relatively"
    if leak > STATES_WITHIN[precision]:
        return f"states change by {leak:.1e}, relatively, with tokens that they must not see"
    return None


def _longest(model: nn.Module, run: LanguageRun) -> int:
    config = model.active_peft_config if isinstance(model, PeftModel) else None
    places = longest_sequence(base_network(model))
    free = run.recipe.context if places is None else places - (getattr(config, "num_virtual_tokens", 0) or 0)
    return max(2, min(run.recipe.context, free))


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _own_loss(model: nn.Module, loss: CausalLoss, documents: Sequences) -> float:
    """Summed loss of a forward pass for each document, through the network's own logits."""
    total = 0.0
    for document in documents:
        ids = torch.from_numpy(document.astype(np.int64))[None].to(loss.device)
        # Prompt methods put their virtual tokens in front.
        logits = model(input_ids=ids, use_cache=False).logits[0, -len(document) : -1, : loss.columns]
        for part, wanted in zip(logits.split(ROWS_AT_ONCE), ids[0, 1:].split(ROWS_AT_ONCE), strict=True):
            total += functional.cross_entropy(part.float(), wanted, reduction="sum").item()
    return total


def _leak(model: nn.Module, loss: CausalLoss, documents: Sequences) -> float:
    """Change the second half of a document and return the relative change of states that must stay the same.

    A convolution reaches no further than the first tokens of the next document, which its median does not show; where
    documents lie one after the other, the first two tokens count by themselves, too.
    """
    short = documents[1:]
    middle = len(short) // 2
    half = len(short[middle]) // 2
    changed = [document.copy() for document in short]
    # Another id that every base has, whatever the document holds.
    changed[middle][half:] = np.where(changed[middle][half:] == changed[middle][0], 1, changed[middle][0])
    before, after = _states(model, loss, short), _states(model, loss, changed)
    worst = 0.0
    for number, (was, now) in enumerate(zip(before, after, strict=True)):
        kept = slice(0, half if number == middle else None)
        change = (now[kept] - was[kept]).norm(dim=1) / was[kept].norm(dim=1).clamp_min(1e-9)
        worst = max(worst, change.median().item(), change[:EDGE].min().item() if loss.packed else 0.0)
    return worst


def _states(model: nn.Module, loss: CausalLoss, documents: Sequences) -> list[Tensor]:
    found = loss.forward(model, documents).states.float()
    lengths = [len(document) for document in documents]
    if loss.packed:
        return list(found[0].split(lengths))
    return [row[:length] for row, length in zip(found, lengths, strict=True)]


def _sample(shards: TokenRows, pad: int, longest: int) -> Sequences:
    """Return a document of the longest length that there may be, and three short ones, the beginnings of documents.

    Args:
        shards: Rows, of which the first are read.
        pad: Id of the padding token.
        longest: Tokens of the long one, for which notes are concatenated.
    """
    rows = np.sort(np.concatenate([shards.rows(split) for split in SPLITS_READ]))
    read: Sequences = []
    for row in rows.tolist():
        read += [found for document in shards.documents(row) if len(found := _unpadded(document, pad)) >= 2]
        if len(read) >= len(SHORT) and sum(map(len, read)) >= longest:
            break
    if not read:
        return []
    short = [document[:length] for document, length in zip(read, SHORT, strict=False)]
    return [np.concatenate(read)[:longest], *short]


def _unpadded(document: np.ndarray, pad: int) -> np.ndarray:
    real = np.flatnonzero(document != pad)
    return document[: int(real[-1]) + 1 if len(real) else 0]


def require_gradients(model: nn.Module, run: LanguageRun) -> None:
    """Check that a backward pass reaches every parameter that an adapter trains.

    Args:
        model: The network with its adapter; left as it was, and so are the generators.
        run: Loss, documents and precision.

    Raises:
        TrainingError: One is not reached: it would keep its initial value.
    """
    if not isinstance(run.loss, CausalLoss) or not isinstance(model, PeftModel):
        return
    documents = _sample(run.shards, run.loss.pad, max(SHORT))
    if not documents:
        return
    expected = {name for name, value in model.named_parameters() if value.requires_grad}
    generators = generator_tensors()

    def check(few: Sequences) -> None:
        with autocast(run.recipe, run.device):
            loss, _ = run.loss(model, few, key=(run.seed,))
        check_reached(model, loss, expected=expected)

    # A recurrent prompt encoder has no backward pass on a GPU but in training.
    with training_mode(model, on=True):
        try:
            _in_memory(check, documents, title=run.title)
        finally:
            model.zero_grad(set_to_none=True)
            restore_generators(generators)
