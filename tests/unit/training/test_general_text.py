from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_fixtures import CLINICAL, GENERAL, SALT, clinical_tokens, write_corpus

from clinical_peft.data.hash_split import hash_split
from clinical_peft.errors import DataError
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.tokenizer import load_tokenizer, train_tokenizer
from clinical_peft.training.general_text import GeneralRows, RowsWithReplay, read_general_text

CONTEXT = 16


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([". ".join(GENERAL + CLINICAL)] * 3, vocabulary=320, family="causal").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("text") / "general.parquet", GENERAL, notes=80, patients=False)


def read(file, base, **wanted):
    return read_general_text(file, base, context=CONTEXT, salt=SALT, wanted=wanted)


def test_all_blocks_of_a_split_are_its_documents(file, base):
    general = read(file, base, test=None)
    tokenizer = load_tokenizer(base)
    texts = [row["text"] for row in pq.read_table(file).to_pylist() if hash_split(row["note_id"], SALT) == "test"]
    blocks = [general.sequence(row) for row in general.rows("test")]
    assert max(map(len, blocks)) == CONTEXT
    framed = [tokenizer.encode(text) for text in texts]
    expected = [
        part for ids in framed for start in range(0, len(ids), CONTEXT) if len(part := ids[start : start + 16]) > 1
    ]
    assert sorted(map(list, blocks)) == sorted(expected)
    assert list(general.rows("train")) == []


def test_a_sample_takes_one_block_of_many_documents(file, base):
    general = read(file, base, test=100, train=60)
    assert 100 <= general.lengths[general.rows("test")].sum() < 100 + CONTEXT
    assert 60 <= general.lengths[general.rows("train")].sum() < 60 + CONTEXT
    start = load_tokenizer(base).bos_token_id
    assert all(general.sequence(row)[0] == start for row in general.rows("test"))
    assert general.fingerprint() == read(file, base, test=100, train=60).fingerprint()
    assert general.fingerprint() != read(file, base, test=100, train=90).fingerprint()


def test_unusable_corpora_are_refused(file, base, tmp_path):
    small = write_corpus(tmp_path / "small.parquet", GENERAL, notes=1, patients=False)
    absent = "train" if hash_split("note-0", SALT) == "test" else "test"
    with pytest.raises(DataError, match=f"general text in the {absent} split, found none"):
        read(small, base, **{absent: 10})
    pq.write_table(pq.read_table(file).drop(["text"]), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other.parquet: expected columns .*; missing: text"):
        read(tmp_path / "other.parquet", base, test=10)


class Numbered:
    """Clinical rows of given lengths."""

    def __init__(self, lengths):
        self.folder, self.summary = Path("clinical"), {}
        self.lengths = np.asarray(lengths, dtype=np.int32)

    def rows(self, split):
        return np.arange(len(self.lengths)) if split == "train" else np.arange(0)

    def sequence(self, row):
        return np.full(self.lengths[row], row, dtype=np.int32)


@settings(deadline=None)
@given(
    clinical=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    general=st.lists(st.integers(2, 16), min_size=1, max_size=10),
    share=st.floats(0.01, 0.9),
    size=st.integers(1, 7),
)
def test_replay_keeps_its_share_of_the_tokens(clinical, general, share, size):
    text = GeneralRows(Path("text"), {"test": [np.zeros(9)], "train": [np.zeros(length) for length in general]})
    rows = RowsWithReplay(Numbered(clinical), text)
    updates = [np.arange(start, min(start + size, len(clinical))) for start in range(0, len(clinical), size)]
    mixed = rows.with_replay(updates, share, seed=3)
    first = len(clinical)
    added = [update[update >= first] for update in mixed]
    assert all(np.array_equal(update[update < first], own) for update, own in zip(mixed, updates, strict=True))
    own = sum(clinical)
    replayed = int(sum(rows.lengths[part].sum() for part in added))
    assert share * (own + replayed) - 1e-6 <= replayed <= share / (1 - share) * own + max(general)
    # Every block is read as often as any other, give or take one, and none of another split.
    counts = np.bincount(np.concatenate([*added, np.arange(0)]).astype(int), minlength=first + 1 + len(general))
    assert counts[first] == 0
    assert counts[first + 1 :].max() - counts[first + 1 :].min() <= 1
    again = rows.with_replay(updates, share, seed=3)
    assert all(np.array_equal(left, right) for left, right in zip(mixed, again, strict=True))


def test_replayed_rows_follow_the_clinical_ones(file, base, tmp_path):
    shards = TokenShards(clinical_tokens(tmp_path, base))
    general = read(file, base, test=50, train=100)
    rows = RowsWithReplay(shards, general)
    first = len(shards.lengths)
    for split in ("train", "validation", "test"):
        assert np.array_equal(rows.rows(split), shards.rows(split))
    assert [len(rows.sequence(row)) for row in range(len(rows.lengths))] == list(rows.lengths)
    assert np.array_equal(rows.sequence(first), general.sequence(0))
    assert rows.real_tokens([rows.sequence(0), rows.sequence(first)]) == rows.lengths[0] + rows.lengths[first]
    assert all(len(np.concatenate(rows.documents(row))) == rows.lengths[row] for row in (0, first))
    orders = [np.concatenate(rows.with_replay([np.arange(first)], 0.5, seed)) for seed in (1, 2)]
    assert not np.array_equal(*orders)
