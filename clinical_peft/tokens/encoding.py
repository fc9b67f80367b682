"""Turning texts into token ids: by Hugging Face's tokenizers, or several times faster by fastokens where it agrees.

Where fastokens is not installed, as on a node that only trains, tokenizers do all. It reads tokenizer.json too, but not
every kind: one with a Metaspace pre-tokenizer is refused. It takes a text for a token of the vocabulary that no merge
makes, as `</s>` and LLaMA's `<0x41>`, so that texts which spell one are left to Hugging Face's tokenizers. It is used
only if it gives the same ids for a list of awkward texts, and every `SAMPLE_EVERY`-th note is encoded by Hugging Face's
tokenizers, too; one difference, and everything is encoded by these.
"""

import importlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

SAMPLE_EVERY = 128
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

VISIBLE_ASCII = re.compile("[!-~]+")  # what every normalizer and byte-level alphabet leaves as it is

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
        encoded = backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return _joined([np.array(each.ids, np.uint32) for each in encoded])

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

    unmade = _tokens_that_no_merge_makes(state["model"])
    if not all(map(VISIBLE_ASCII.fullmatch, unmade)):
        logger.info("the vocabulary holds tokens that no merge makes: encoding by tokenizers")
        return None
    spelled = re.compile("|".join(map(re.escape, unmade)) or "(?!)")
    reference = reference_encoder(tokenizer)

    def encode(texts: Sequence[str]) -> Ragged:
        ids, offsets = compiled.encode_batch_flat(list(texts), split_special_tokens=True)
        found = np.frombuffer(ids, "<u4"), np.frombuffer(offsets, "<u8").astype(np.int64)
        aside = [number for number, text in enumerate(texts) if spelled.search(text)]
        if not aside:
            return found
        rows = _rows(found)
        for number, row in zip(aside, _rows(reference([texts[number] for number in aside])), strict=True):
            rows[number] = row
        return _joined(rows)

    if not _same(encode(AWKWARD_TEXTS), reference(AWKWARD_TEXTS)):
        logger.warning("fastokens encodes an awkward text differently: encoding by tokenizers")
        return None
    return _sampled(encode, reference)


def _tokens_that_no_merge_makes(model: dict[str, Any]) -> list[str]:
    made = {left + right for left, right in model["merges"]}
    return [token for token in model["vocab"] if len(token) > 1 and token not in made]


def _sampled(encode: Encoder, reference: Encoder) -> Encoder:
    def checked(texts: Sequence[str]) -> Ragged:
        found = encode(texts)
        sample = range(0, len(texts), SAMPLE_EVERY)
        rows = _rows(found)
        if not _same(_joined([rows[number] for number in sample]), reference([texts[number] for number in sample])):
            raise EncodersDifferError
        return found

    return checked


def _rows(ragged: Ragged) -> list[npt.NDArray[np.uint32]]:
    ids, offsets = ragged
    return [ids[start:end] for start, end in pairwise(offsets.tolist())]


def _joined(rows: Sequence[npt.NDArray[np.uint32]]) -> Ragged:
    return np.concatenate([np.zeros(0, np.uint32), *rows]), np.cumsum([0, *map(len, rows)], dtype=np.int64)


def _same(left: Ragged, right: Ragged) -> bool:
    return np.array_equal(left[0], right[0]) and np.array_equal(left[1], right[1])
