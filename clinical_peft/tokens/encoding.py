"""Turning texts into token ids: by Hugging Face's tokenizers, or several times faster by fastokens where it agrees.

fastokens is optional (extra `fast-tokenizer`). It reads tokenizer.json too, but not every kind: one with a Metaspace
pre-tokenizer is refused. It is used only if it gives the same ids for a list of awkward texts, and beside it every
`SAMPLE_EVERY`-th note is encoded by Hugging Face's tokenizers; one difference, and everything is encoded by these.
"""

import importlib
import json
import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

SAMPLE_EVERY = 64
AWKWARD_TEXTS = (
    "",
    " ",
    "\n\n\t \r\n  \x0b\x0c",
    "Pt c/o CP x3 days; BP 120/80 (110-135)/(60-85), T 98.6. He'll re-check in 2 wks -- can't, WON'T",
    "Labs:  Na 140\tK 4.1 \nGlucose-105* AnGap-12   ___ \n\n\n1. Aspirin 81 mg PO DAILY",
    "</s><s><pad><unk>[MASK][CLS][SEP]<|endoftext|><|im_start|><0x41>",
    "na\u00efve caf\u00e9 cafe\u0301 \ufb01 \u00bd \u00b2 \u0130 \u017f \u1e9e \u00df \u00b5g \u2265 \u2009\u00a0x",
    "\u4e2d\u6587 \ud55c\uad6d\uc5b4 \u05e2\u05d1\u05e8 \u0939\u093f\u0928 \U0001f469\u200d\u2695 \U0010ffff",
    "\u2581lead \u2581\u2581 \u0120x \u010a \x00\x01\x7f\x85\u2028\u2029\u200b\u200d\ufeff\u3000",
    "a" * 400 + "=" * 300 + " " * 200 + "1234567890" * 20,
)

Ragged = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]
Encoder = Callable[[Sequence[str]], Ragged]

logger = logging.getLogger(__name__)


class EncodersDifferError(Exception):
    """The compiled encoder gave other ids than Hugging Face's."""


def reference_encoder(tokenizer: PreTrainedTokenizerFast) -> Encoder:
    """Return a function that encodes texts by Hugging Face's tokenizers.

    It gives the ids of all texts on end, uint32, and where each text's begin, int64 of shape (texts + 1,); without
    start and end tokens. A text that happens to spell a special token is not read as one.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True

    def encode(texts: Sequence[str]) -> Ragged:
        encoded = [np.array(each.ids, np.uint32) for each in backend.encode_batch_fast(texts, add_special_tokens=False)]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return np.concatenate([np.zeros(0, np.uint32), *encoded]), offsets

    return encode


def fast_encoder(tokenizer: PreTrainedTokenizerFast) -> Encoder | None:
    """Return a function that encodes as `reference_encoder` does, by fastokens; None where that cannot be used.

    What it returns raises `EncodersDifferError` as soon as a sampled text is encoded differently.
    """
    # Several processes share the work; read once, when fastokens is used first.
    os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")
    try:
        fastokens = importlib.import_module("fastokens")
    except ImportError:
        logger.info("fastokens is not installed: encoding by tokenizers")
        return None
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # What encoding a text does not need, and fastokens may not know.
    state |= dict.fromkeys(("decoder", "post_processor", "truncation", "padding"))
    try:
        compiled = fastokens.Tokenizer.from_json_str(json.dumps(state))
    except Exception as error:  # whatever it cannot read, tokenizers can
        logger.info("fastokens refuses this tokenizer (%s): encoding by tokenizers", error)
        return None

    def encode(texts: Sequence[str]) -> Ragged:
        ids, offsets = compiled.encode_batch_flat(list(texts), split_special_tokens=True)
        return np.frombuffer(ids, "<u4"), np.frombuffer(offsets, "<u8").astype(np.int64)

    reference = reference_encoder(tokenizer)
    if not _same(encode(AWKWARD_TEXTS), reference(AWKWARD_TEXTS)):
        logger.warning("fastokens encodes an awkward text differently: encoding by tokenizers")
        return None
    return _sampled(encode, reference)


def _sampled(encode: Encoder, reference: Encoder) -> Encoder:
    def checked(texts: Sequence[str]) -> Ragged:
        ids, offsets = encode(texts)
        sample = range(0, len(texts), SAMPLE_EVERY)
        chosen = [ids[offsets[number] : offsets[number + 1]] for number in sample]
        found = np.concatenate([np.zeros(0, np.uint32), *chosen]), np.cumsum([0, *map(len, chosen)])
        if not _same(found, reference([texts[number] for number in sample])):
            raise EncodersDifferError
        return ids, offsets

    return checked


def _same(left: Ragged, right: Ragged) -> bool:
    return np.array_equal(left[0], right[0]) and np.array_equal(left[1], right[1])
