"""What a network must be, and do, before it becomes a base of a study."""

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from clinical_peft.errors import DataError
from clinical_peft.models.positions import longest_sequence
from clinical_peft.recipes.families import Family, find_family

PROBE_TOKENS = 8  # of a sequence whose second half differs between the two rows of a probe
# Largest difference of outputs that count as equal, as a share of the largest output.
TOLERANCES = {torch.float32: 1e-4}
NARROW_TOLERANCE = 5e-2
OTHER_HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")


def require_architecture(where: str, config: PretrainedConfig, family: Family) -> None:
    """Refuse a network that cannot serve as a base of a family, by its configuration.

    Raises:
        DataError: It cannot.
    """
    if find_family(family).is_decoder:
        expected, refused = "a causal language model", _not_causal(config)
    else:
        expected, refused = "an encoder of architecture bert", _not_bert(config)
    if refused is not None:
        raise DataError(
            f"{where}: expected {expected} (family {family}), found architecture {config.model_type}{refused}; choose "
            "another base or family"
        )


def _not_bert(config: PretrainedConfig) -> str | None:
    """Explain why a network is no encoder that can be pooled here; None if it is one.

    Pooler and head of a classifier are BERT's; RoBERTa and others have neither in that form.
    """
    if config.model_type != "bert":
        return ""
    return " with is_decoder, which reads only from left to right" if config.is_decoder else None


def _not_causal(config: PretrainedConfig) -> str | None:
    """Explain why transformers cannot use a network as a causal language model; None if it can."""
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        return ", an encoder with a decoder"
    other = [name for name in config.architectures or [] if name.endswith(OTHER_HEADS)]
    if other:
        return f" as {other[0]}, which has no language-model head"
    text = config.get_text_config()
    if text is not config:
        known = text.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        return None if known else f", a network of several modes whose text part ({text.model_type}) cannot stand alone"
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return ""
    # transformers loads encoders as language models too; these say by this flag whether they read from left to right.
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", True):
        return ", which reads in both directions"
    return None


def require_tokenizer(where: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse a tokenizer with ids that have no row in the embedding.

    A vocabulary may be smaller than the embedding, which many networks pad. A padding token alone may come right
    after the last row: it stands for nothing, and the embedding grows by a row for it.

    Raises:
        DataError: Other tokens have none.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"{where}: expected a fast tokenizer, found {type(tokenizer).__name__}; save tokenizer.json")
    rows = model.get_input_embeddings().weight.shape[0]
    beyond = sorted(number for number in tokenizer.get_vocab().values() if number >= rows)
    if (beyond and beyond != [rows]) or (beyond and tokenizer.pad_token_id != rows):
        raise DataError(
            f"{where}: expected token ids below {rows}, the rows of the embedding, found {len(beyond)} at or above it, "
            f"up to {beyond[-1]}; use the tokenizer that the network was trained with, or train rows for its new tokens"
        )


def require_positions_for(where: str, model: PreTrainedModel, context: int | None) -> None:
    """Refuse a network with fewer positions than a study reads.

    Args:
        where: Where the network comes from, for the message.
        model: The network.
        context: Most tokens that the study reads at once; None if unknown.

    Raises:
        DataError: It has fewer.
    """
    longest = longest_sequence(model)
    if context is not None and longest is not None and context > longest:
        raise DataError(
            f"{where}: the study reads up to {context} tokens at once, but the base has {longest} positions; lower "
            "pretraining.context or finetuning.context, or choose another base"
        )


def require_finite(where: str, model: PreTrainedModel) -> None:
    """Refuse a network with weights that are not finite.

    Raises:
        DataError: A weight is not.
    """
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise DataError(f"{where}: tensor {name} holds values that are not finite; choose another checkpoint")


def probe(where: str, model: PreTrainedModel, ids: Tensor, family: Family) -> Tensor:
    """Pass a few tokens through a network and check what comes out.

    Args:
        where: Where the network comes from, for the message.
        model: A language model, or for family `encoder` the network below any head.
        ids: Two rows of token ids, int64 of shape (2, n), from `probe_ids`.
        family: Kind of network.

    Returns:
        Logits of shape (2, n, rows of the embedding), or an encoder's states of shape (2, n, hidden), float32.

    Raises:
        DataError: The pass fails, has values that are not finite or another shape, or in a causal network later
            tokens change what an earlier position predicts.
    """
    is_decoder = find_family(family).is_decoder
    try:
        with torch.no_grad():
            found = model.eval()(input_ids=ids)
            output = found.logits if is_decoder else found.last_hidden_state
    except Exception as error:  # of whatever kind, the network cannot be used
        raise DataError(
            f"{where}: a forward pass of {type(model).__name__} fails ({type(error).__name__}); the installed "
            "transformers cannot use this checkpoint: choose another"
        ) from error
    text = model.config.get_text_config()
    width = model.get_input_embeddings().weight.shape[0] if is_decoder else text.hidden_size
    if output.shape != (*ids.shape, width):
        raise DataError(
            f"{where}: expected outputs of shape {(*ids.shape, width)}, found {tuple(output.shape)}; the head of "
            f"{type(model).__name__} does not fit its embedding: choose another checkpoint"
        )
    if not torch.isfinite(output).all():
        raise DataError(f"{where}: a forward pass gives values that are not finite; choose another checkpoint")
    half = ids.shape[1] // 2
    if is_decoder and not agree(output[0, :half], output[1, :half]):
        raise DataError(
            f"{where}: expected a causal language model, found {type(model).__name__}, in which later tokens change "
            "what earlier positions predict; choose another base"
        )
    return output.float()


def probe_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Return two rows of ordinary token ids, int64 of shape (2, n), that differ in their second half alone."""
    rows = model.get_input_embeddings().weight.shape[0]
    special = set(tokenizer.all_special_ids)
    ordinary = sorted(number for number in tokenizer.get_vocab().values() if number < rows and number not in special)
    if not ordinary:
        raise DataError("tokenizer: expected tokens beside the special ones, found none; choose another tokenizer")
    count = min(PROBE_TOKENS, longest_sequence(model) or PROBE_TOKENS)
    half = count // 2
    chosen = [ordinary[place * len(ordinary) // (count + half)] for place in range(count + half)]
    return torch.tensor([chosen[:count], chosen[:half] + chosen[count : count + half] + chosen[2 * half : count]])


def agree(left: Tensor, right: Tensor) -> bool:
    """Return whether two outputs are equal up to rounding."""
    tolerance = TOLERANCES.get(left.dtype, NARROW_TOLERANCE)
    return bool((left.float() - right.float()).abs().max() <= tolerance * left.float().abs().max().clamp_min(1e-6))
