"""Admission notes as tokens: framed and cut, and encoded as token shards are."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from language_fixtures import CLINICAL, GENERAL, SALT
from models_fixtures import write_tokenizer
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from clinical_peft.recipes.families import FAMILIES
from clinical_peft.tokens.encoding import AWKWARD_TEXTS, reference_encoder
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.shards import tokenise as write_shards
from clinical_peft.tokens.tokenizer import frame_ids, load_tokenizer, train_tokenizer
from clinical_peft.training.features import tokenise

CONTEXT = 12
SPELLED = [token for family in FAMILIES.values() for token in family.special_tokens.values()]
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
def test_a_note_starts_what_its_shard_frames(name, tokenizers, text):
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


# Template of a tokenizer that has a start and an end token, and the frame of its notes.
TEMPLATES = {
    None: (["<s>"], ["</s>"]),
    "<s> $A": (["<s>"], ["</s>"]),
    "$A </s>": (["<s>"], ["</s>"]),
    "<s> $A </s>": (["<s>"], ["</s>"]),
    "<unk> <s> $A": (["<unk>", "<s>"], ["</s>"]),
}


def tokenizer_with(folder, template: str | None) -> PreTrainedTokenizerFast:
    write_tokenizer(folder)
    tokenizer = load_tokenizer(folder)
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<unk>", "<s>", "</s>")]
    # A template that adds nothing: tokenizers cannot drop one.
    single = template or "$A"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    tokenizer.save_pretrained(folder)
    return load_tokenizer(folder)


@pytest.mark.parametrize(("template", "frame"), TEMPLATES.items())
def test_shards_and_fine_tuning_frame_a_note_alike(template, frame, tmp_path):
    tokenizer = tokenizer_with(tmp_path, template)
    texts = [f"word{number} word3 word4" for number in range(30)]
    rows = [{"note_id": f"n{number}", "subject_id": number, "text": text} for number, text in enumerate(texts)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    write_shards(tmp_path / "notes.parquet", tmp_path, tmp_path / "tokens", context=CONTEXT, split_salt=SALT)
    shards = TokenShards(tmp_path / "tokens")
    stored = {tuple(document) for row in range(len(shards.lengths)) for document in map(list, shards.documents(row))}
    notes = tokenise(texts, tokenizer, CONTEXT)
    read = {tuple(notes.ids[first:last].tolist()) for first, last in pairwise(notes.starts.tolist())}
    assert read == stored
    start, end = ([tokenizer.convert_tokens_to_ids(token) for token in part] for part in frame)
    assert frame_ids(tokenizer) == (start, end)
    assert all(list(ids[: len(start)]) == start and list(ids[len(ids) - len(end) :]) == end for ids in read)


@pytest.mark.parametrize(("template", "frame"), TEMPLATES.items())
def test_a_long_note_keeps_its_frame_within_the_context(template, frame, tmp_path):
    tokenizer = tokenizer_with(tmp_path, template)
    start, end = (list(map(tokenizer.convert_tokens_to_ids, part)) for part in frame)
    ids = ids_of("word3 " * 50, tokenizer)
    assert ids[: len(start)] == start
    assert ids[len(ids) - len(end) :] == end
    assert CONTEXT - 1 <= len(ids) <= CONTEXT


def test_a_tokenizer_without_start_and_end_has_no_frame(tmp_path):
    tokenizer = tokenizer_with(tmp_path, None)
    tokenizer.bos_token = tokenizer.eos_token = None
    assert frame_ids(tokenizer) == ([], [])
    assert len(ids_of("word3 " * 50, tokenizer)) == CONTEXT
