"""The compiled encoder: the same ids as Hugging Face's tokenizers, or not used."""

import json
import logging
import os
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_fixtures import CLINICAL, GENERAL, SALT, write_corpus
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from clinical_peft.data.tables import stream_table
from clinical_peft.synthetic.mimic_iv import MimicIV
from clinical_peft.tokens import encoding
from clinical_peft.tokens.encoding import AWKWARD_TEXTS, EncodersDifferError, fast_encoder, reference_encoder
from clinical_peft.tokens.shards import tokenise
from clinical_peft.tokens.tokenizer import train_tokenizer

TEXTS = [*CLINICAL, *GENERAL, *AWKWARD_TEXTS]


def byte_level():
    return train_tokenizer(TEXTS, vocabulary=400, family="causal")


def metaspace(*, as_normalizer: bool, texts=TEXTS, vocabulary=600):
    """A tokenizer like LLaMA's: as published, with spaces marked by its normalizer, or by a pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][: len(special)]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Metaspace()
    if as_normalizer:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = None
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


@pytest.fixture(scope="module", params=["byte-level", "llama"])
def tokenizer(request):
    return byte_level() if request.param == "byte-level" else metaspace(as_normalizer=True)


def lists(ragged):
    ids, offsets = ragged
    return [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]


def test_the_reference_is_the_tokenizer_without_special_tokens(tokenizer):
    texts = [*CLINICAL, "", "plain </s> text"]
    found = lists(reference_encoder(tokenizer)(texts))
    assert found[:-1] == [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts[:-1]]
    assert not set(found[-1]) & set(tokenizer.all_special_ids)


def test_no_texts_give_no_ids(tokenizer):
    ids, offsets = reference_encoder(tokenizer)([])
    assert (len(ids), offsets.tolist()) == (0, [0])


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=5))
def test_both_encoders_agree_on_any_text(tokenizer, texts):
    encode = fast_encoder(tokenizer)
    assert encode is not None
    assert lists(encode(texts)) == lists(reference_encoder(tokenizer)(texts))


def test_shards_have_the_same_bytes_by_either_encoder(tmp_path, tokenizer, monkeypatch):
    notes = write_corpus(tmp_path / "notes.parquet", CLINICAL, notes=60)
    tokenizer.save_pretrained(tmp_path / "base")
    for name in ("compiled", "reference"):
        tokenise(notes, tmp_path / "base", tmp_path / name, context=16, split_salt=SALT, notes_per_part=20)
        monkeypatch.setitem(sys.modules, "fastokens", None)
    files = sorted(file.name for file in (tmp_path / "compiled").iterdir())
    assert all(
        (tmp_path / "compiled" / name).read_bytes() == (tmp_path / "reference" / name).read_bytes() for name in files
    )


@pytest.mark.parametrize("text", ["</s> then <s>", "x<unk><pad>y", "<0x41><0x5B>", "a </s>" * 3])
def test_texts_that_spell_tokens_which_no_merge_makes(tokenizer, text):
    texts = ["before", text, "", text, "after"]
    assert lists(fast_encoder(tokenizer)(texts)) == lists(reference_encoder(tokenizer)(texts))


def test_non_ascii_special_tokens_go_to_hugging_face(caplog):
    tokenizer = byte_level()
    tokenizer.add_tokens(["Ġunmade"])
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["model"]["vocab"]["Ġunmade"] = len(state["model"]["vocab"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))
    with caplog.at_level(logging.INFO, logger=encoding.__name__):
        assert fast_encoder(tokenizer) is None
    assert "tokens that no merge makes" in caplog.text


def test_without_fastokens_the_log_says_who_encodes(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "fastokens", None)
    with caplog.at_level(logging.INFO, logger=encoding.__name__):
        assert fast_encoder(byte_level()) is None
    assert "fastokens is not installed: encoding by tokenizers" in caplog.text


def test_tokenizers_that_fastokens_refuses_go_elsewhere(caplog):
    with caplog.at_level(logging.INFO, logger=encoding.__name__):
        assert fast_encoder(metaspace(as_normalizer=False)) is None
    assert "fastokens refuses this tokenizer" in caplog.text
    assert "Metaspace" in caplog.text


class Compiled:
    """A compiled encoder in place of fastokens that errs on texts which hold a given word."""

    def __init__(self, tokenizer, word):
        self.encode = reference_encoder(tokenizer)
        self.word = word

    def encode_batch_flat(self, texts, split_special_tokens):
        assert split_special_tokens
        ids, offsets = self.encode([text.replace(self.word, "x") for text in texts])
        return ids.astype("<u4").tobytes(), offsets.astype("<u8").tobytes()


def install(monkeypatch, compiled):
    fake = SimpleNamespace(Tokenizer=SimpleNamespace(from_json_str=lambda _: compiled))
    monkeypatch.setitem(sys.modules, "fastokens", fake)


def test_one_awkward_text_is_enough_to_use_hugging_face(monkeypatch, caplog):
    tokenizer = byte_level()
    install(monkeypatch, Compiled(tokenizer, "WON'T"))
    assert fast_encoder(tokenizer) is None
    assert "encodes an awkward text differently" in caplog.text


@pytest.mark.parametrize("processes", [1, 2])
def test_one_differing_sample_sends_the_corpus_elsewhere(tmp_path, monkeypatch, caplog, processes):
    tokenizer = byte_level()
    notes = write_corpus(tmp_path / "notes.parquet", CLINICAL, notes=60)
    tokenizer.save_pretrained(tmp_path / "base")
    settings = {"context": 16, "split_salt": SALT, "notes_per_part": 20, "processes": processes}
    monkeypatch.setattr(encoding, "SAMPLE_EVERY", 2)
    install(monkeypatch, Compiled(tokenizer, "warfarin"))
    tokenise(notes, tmp_path / "base", tmp_path / "found", **settings)
    assert "fastokens encodes a note differently: encoding the whole corpus by tokenizers" in caplog.text
    assert "warfarin" not in caplog.text
    monkeypatch.setitem(sys.modules, "fastokens", None)
    tokenise(notes, tmp_path / "base", tmp_path / "expected", **settings)
    files = sorted(file.name for file in (tmp_path / "expected").iterdir())
    assert all(
        (tmp_path / "found" / name).read_bytes() == (tmp_path / "expected" / name).read_bytes() for name in files
    )


def test_a_note_that_is_not_sampled_is_not_compared(monkeypatch):
    tokenizer = byte_level()
    install(monkeypatch, Compiled(tokenizer, "warfarin"))
    encode = fast_encoder(tokenizer)
    encode(["pain", "warfarin"])
    with pytest.raises(EncodersDifferError):
        encode(["warfarin", "pain"])


@pytest.mark.slow
def test_every_id_of_whole_corpora_is_the_same(tmp_path):
    """Generated notes, and where they are at hand real ones, by a tokenizer trained on them and by one like LLaMA's."""
    MimicIV(tmp_path / "hospital", 0, [], str).write(5000, 5000)
    texts = [
        text
        for name in ("discharge", "radiology")
        for batch in stream_table(tmp_path / "hospital" / f"{name}.csv.gz", ["text"])
        for text in batch["text"].drop_null().to_pylist()
    ]
    real = Path(os.environ.get("CLINICAL_PEFT_REAL_DATA", "")) / "mtsamples" / "notes.jsonl"
    if real.is_file():
        texts += [json.loads(line)["text"] for line in real.read_text(encoding="utf-8").splitlines()]
    for tokenizer in (
        train_tokenizer(texts[::10], vocabulary=8000, family="causal"),
        metaspace(as_normalizer=True, texts=texts[::10], vocabulary=8000),
    ):
        encode = fast_encoder(tokenizer)
        assert encode is not None
        for start in range(0, len(texts), 1000):
            part = texts[start : start + 1000]
            assert all(map(np.array_equal, encode(part), reference_encoder(tokenizer)(part)))
