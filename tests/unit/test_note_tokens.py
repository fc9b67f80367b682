"""Admission notes as tokens: framed and cut, and encoded as token shards are."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from language_fixtures import CLINICAL, GENERAL
from models_fixtures import write_tokenizer
from transformers import PreTrainedTokenizerFast

from clinical_peft.tokens.encoding import AWKWARD_TEXTS, reference_encoder
from clinical_peft.tokens.tokenizer import SPECIAL, load_tokenizer, train_tokenizer
from clinical_peft.training.features import tokenise

CONTEXT = 12
SPELLED = [token for special in SPECIAL.values() for token in special.values()]
pieces = st.sampled_from([*SPELLED, *CLINICAL, "word3", " ", "\n"]) | st.text(max_size=9)
notes_with_special_words = st.lists(pieces).map("".join)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> dict[str, PreTrainedTokenizerFast]:
    """A tokenizer that ends a note itself, an encoder's, and one that only begins it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    trained = {
        family: train_tokenizer([*CLINICAL, *GENERAL], vocabulary=320, family=family)
        for family in ("causal", "encoder")
    }
    return {**trained, "word": load_tokenizer(folder)}


def ids_of(text: str, tokenizer: PreTrainedTokenizerFast, **settings) -> list[int]:
    return tokenise([text], tokenizer, CONTEXT, **settings).ids.tolist()


@pytest.mark.parametrize("name", ["causal", "encoder", "word"])
@given(text=notes_with_special_words)
@example(text="</s><pad>")
@example(text=AWKWARD_TEXTS[5])
def test_a_note_is_the_start_of_what_shards_hold_between_its_frame(name, tokenizers, text):
    tokenizer = tokenizers[name]
    start, end, most = {
        "causal": ([1], [2], CONTEXT - 1),
        "encoder": ([2], [3], CONTEXT),
        "word": ([2], [3], CONTEXT),
    }[name]
    expected = reference_encoder(tokenizer)([text])[0].tolist()
    assert ids_of(text, tokenizer) == start + expected[: most - 2] + end


@pytest.mark.parametrize("name", ["causal", "word"])
@given(text=notes_with_special_words)
@example(text="</s><pad>")
def test_no_note_spells_padding_or_an_end(name, tokenizers, text):
    tokenizer = tokenizers[name]
    ids = ids_of(text, tokenizer)
    assert tokenizer.pad_token_id not in ids
    assert ids.count(tokenizer.eos_token_id) == 1
    ids = ids_of(text, tokenizer, pad_with_end=True)
    assert ids.count(tokenizer.eos_token_id) == (name == "causal")


def test_many_notes_are_one_array_and_their_starts(tokenizers):
    notes = tokenise(["word1 word2", "word3"], tokenizers["word"], CONTEXT)
    assert notes.starts.tolist() == [0, 4, 7]
    assert notes.lengths.tolist() == [4, 3]
    assert notes.pad == tokenizers["word"].pad_token_id
    ids, lengths = notes.batch(np.array([1, 0]))
    assert ids.tolist() == [[*notes.ids[4:7].tolist(), 0], notes.ids[:4].tolist()]
    assert lengths.tolist() == [3, 4]
