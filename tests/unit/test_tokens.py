import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from language_fixtures import CLINICAL, SALT, SHAPE, write_corpus
from transformers import AutoTokenizer

from clinical_peft.errors import DataError, TrainingError
from clinical_peft.hash_split import hash_split
from clinical_peft.models.bases import build_causal, build_encoder, special_ids
from clinical_peft.models.pretrained import write_base
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.shards import token_type, tokenise
from clinical_peft.tokens.tokenizer import load_tokenizer, train_tokenizer

TEXTS = [*CLINICAL, "Labs:\n\nNa 140\tK 4.1", "é ü \u2028 naïve"]


def make_base(folder, family="causal"):
    tokenizer = train_tokenizer(TEXTS, vocabulary=SHAPE.vocabulary, family=family)
    build = build_causal if family == "causal" else build_encoder
    network = build(SHAPE, seed=0, special=special_ids(tokenizer))
    write_base(network, tokenizer, folder, {"name": "tiny", "family": family, "source": "test", "note": ""})
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("bases") / "causal")


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("notes") / "notes.parquet", CLINICAL, notes=40)


@pytest.mark.parametrize("family", ["causal", "encoder"])
def test_tokenizer_survives_saving_and_every_way_of_loading(family, tmp_path):
    trained = train_tokenizer(TEXTS, vocabulary=SHAPE.vocabulary, family=family)
    folder = make_base(tmp_path / "base", family)
    text = "Patient: chest\n\n pain  95% ünï </s> [MASK]"
    for loaded in (load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)):
        assert loaded.backend_tokenizer.to_str() == trained.backend_tokenizer.to_str()
        assert loaded(text)["input_ids"] == trained(text)["input_ids"]
        assert loaded.pad_token_id == 0
        assert loaded.all_special_ids == trained.all_special_ids


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_byte_level_tokens_spell_any_text(text):
    tokenizer = train_tokenizer(TEXTS, vocabulary=300, family="causal")
    ids = tokenizer.backend_tokenizer
    ids.encode_special_tokens = True
    assert ids.decode(ids.encode(text, add_special_tokens=False).ids) == text


def test_training_a_tokenizer_twice_gives_the_same():
    first, second = (train_tokenizer(TEXTS, vocabulary=300, family="causal") for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_a_vocabulary_must_hold_all_bytes():
    with pytest.raises(DataError, match="at least 260"):
        train_tokenizer(TEXTS, vocabulary=200, family="causal")


def test_a_tokenizer_that_pads_with_its_end_token_is_refused(base, tmp_path):
    tokenizer = load_tokenizer(base)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match="dedicated padding token"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("context", [2, 7, 32, 1000])
def test_rows_are_the_notes_cut_at_the_context_and_nothing_else(base, notes, tmp_path, context):
    summary = tokenise(notes, base, tmp_path / "tokens", context=context, split_salt=SALT)
    tokenizer = load_tokenizer(base)
    table = pq.read_table(notes).to_pylist()
    expected = [
        (note["note_id"], hash_split(note["subject_id"], SALT), ids[start : start + context])
        for note in table
        for ids in [tokenizer(note["text"])["input_ids"]]
        for start in range(0, len(ids), context)
    ]
    rows = load_from_disk(tmp_path / "tokens")
    assert [(row["note_id"], row["split"], row["input_ids"]) for row in rows] == expected
    assert expected[0][2][0] == tokenizer.bos_token_id
    assert expected[-1][2][-1] == tokenizer.eos_token_id
    for split, counts in summary["splits"].items():
        ids = [row[2] for row in expected if row[1] == split]
        assert counts["rows"] == len(ids)
        assert counts["tokens"] == sum(map(len, ids))
        assert counts["notes"] == sum(hash_split(note["subject_id"], SALT) == split for note in table)


def test_reader_and_datasets_agree_over_several_shards(base, notes, tmp_path, monkeypatch):
    tokenise(notes, base, tmp_path / "one", context=16, split_salt=SALT)
    monkeypatch.setattr("clinical_peft.tokens.shards.NOTES_PER_BATCH", 7)
    tokenise(notes, base, tmp_path / "many", context=16, split_salt=SALT, tokens_per_shard=100)
    assert len(list((tmp_path / "many").glob("data-*.arrow"))) > 1
    dataset = load_from_disk(tmp_path / "many")
    assert dataset.features["input_ids"].feature.dtype == "uint16"
    for folder in ("one", "many"):
        shards = TokenShards(tmp_path / folder)
        assert [shards.sequence(row).tolist() for row in range(len(shards.lengths))] == dataset["input_ids"][:]
        assert shards.lengths.tolist() == [len(ids) for ids in dataset["input_ids"]]
        for split in ("train", "validation", "test"):
            assert shards.rows(split).tolist() == [n for n, name in enumerate(dataset["split"]) if name == split]


def test_same_notes_give_the_same_bytes(base, notes, tmp_path):
    for name in ("a", "b"):
        tokenise(notes, base, tmp_path / name, context=16, split_salt=SALT)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_corpus_without_patients_is_split_by_note(base, tmp_path):
    notes = write_corpus(tmp_path / "general.parquet", CLINICAL, notes=30, patients=False)
    tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT)
    for row in load_from_disk(tmp_path / "tokens"):
        assert row["subject_id"] is None
        assert row["split"] == hash_split(row["note_id"], SALT)


def test_special_tokens_spelled_in_a_note_stay_text(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": "pain </s><pad><s> [MASK] none"} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=512, split_salt=SALT)
    ids = TokenShards(tmp_path / "tokens").sequence(0).tolist()
    special = set(load_tokenizer(base).all_special_ids)
    assert [position for position, token in enumerate(ids) if token in special] == [0, len(ids) - 1]


def test_truncate_and_pad_stores_one_row_of_the_context_per_note(base, notes, tmp_path):
    whole = tokenise(notes, base, tmp_path / "whole", context=16, split_salt=SALT)
    cut = tokenise(notes, base, tmp_path / "cut", context=16, split_salt=SALT, truncate_and_pad=True)
    shards = TokenShards(tmp_path / "cut")
    assert set(shards.lengths.tolist()) == {16}
    for split, counts in cut["splits"].items():
        rows = [shards.sequence(row) for row in shards.rows(split)]
        assert len(rows) == counts["notes"]
        assert shards.real_tokens(rows) == counts["tokens"]
        assert counts["tokens"] + counts["dropped_tokens"] == whole["splits"][split]["tokens"]


@pytest.mark.parametrize(("vocabulary", "expected"), [(65_536, np.uint16), (65_537, np.int32)])
def test_ids_are_stored_in_the_smallest_type_that_holds_them(vocabulary, expected, base, notes, tmp_path, monkeypatch):
    assert token_type(vocabulary) is expected
    monkeypatch.setattr("clinical_peft.tokens.shards.token_type", lambda _: expected)
    tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT)
    assert TokenShards(tmp_path / "tokens").sequence(0).dtype == expected
    assert load_from_disk(tmp_path / "tokens").features["input_ids"].feature.dtype == np.dtype(expected).name


def test_an_empty_split_is_an_error_and_leaves_nothing(base, tmp_path):
    notes = write_corpus(tmp_path / "notes.parquet", CLINICAL, notes=2)
    with pytest.raises(DataError, match="no note falls into the"):
        tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT)
    assert not (tmp_path / "tokens").exists()


def test_a_missing_text_is_named_by_its_note(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": None if n == 3 else "secret"} for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    with pytest.raises(DataError, match="note n3 has no text") as caught:
        tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=16, split_salt=SALT)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncate", "delete", "count"])
def test_damaged_shards_are_an_error(base, notes, tmp_path, damage):
    folder = tmp_path / "tokens"
    tokenise(notes, base, folder, context=16, split_salt=SALT)
    shard = next(folder.glob("*.arrow"))
    if damage == "truncate":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    elif damage == "delete":
        shard.unlink()
    else:
        summary = json.loads((folder / "tokens.json").read_text())
        summary["splits"]["train"]["rows"] += 1
        (folder / "tokens.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match="tokenise again"):
        TokenShards(folder)
