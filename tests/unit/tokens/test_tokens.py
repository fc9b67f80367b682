import multiprocessing
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from language_fixtures import CLINICAL, SALT, SHAPE, write_corpus
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from clinical_peft.data.hash_split import SPLITS, hash_split
from clinical_peft.errors import DataError, TrainingError
from clinical_peft.models.bases import build_causal, build_encoder, special_ids
from clinical_peft.models.pretrained import write_base
from clinical_peft.tokens import parts as parts_module
from clinical_peft.tokens import shards as shards_module
from clinical_peft.tokens.parts import part_borders
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


@pytest.mark.parametrize("family", ["causal", "encoder"])
def test_tokenizer_survives_saving_and_every_loader(family, tmp_path):
    trained = train_tokenizer(TEXTS, vocabulary=SHAPE.vocabulary, family=family)
    folder = make_base(tmp_path / "base", family)
    text = "Patient: chest\n\n pain  95% ünï </s> [MASK]"
    for loaded in (load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)):
        assert loaded.backend_tokenizer.to_str() == trained.backend_tokenizer.to_str()
        assert loaded(text)["input_ids"] == trained(text)["input_ids"]
        assert loaded.pad_token_id == 0
        assert loaded.all_special_ids == trained.all_special_ids


@settings(max_examples=50, deadline=None)
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


def framed_ids(notes, base):
    """Ids of every note by note_id, from Hugging Face's tokenizer."""
    tokenizer = load_tokenizer(base)
    return {note["note_id"]: tokenizer(note["text"])["input_ids"] for note in pq.read_table(notes).to_pylist()}


def documents_of(row):
    """A packed row's documents: (note_id, subject_id, first token in the note, ids)."""
    ends = np.cumsum([0, *row["document_lengths"]])
    ids = [row["input_ids"][start:end] for start, end in pairwise(ends)]
    return list(zip(row["note_ids"], row["subject_ids"], row["document_starts"], ids, strict=True))


@pytest.mark.parametrize("context", [2, 7, 32, 1000])
def test_rows_hold_every_token_of_every_note_once(base, notes, tmp_path, context):
    summary = tokenise(notes, base, tmp_path / "tokens", context=context, split_salt=SALT, notes_per_part=17)
    expected = framed_ids(notes, base)
    subjects = {note["note_id"]: note["subject_id"] for note in pq.read_table(notes).to_pylist()}
    found = {note: [] for note in expected}
    counts = {split: Counter() for split in SPLITS}
    for row in load_from_disk(tmp_path / "tokens"):
        documents = documents_of(row)
        assert len(row["input_ids"]) == sum(row["document_lengths"]) <= context
        for note, subject, start, ids in documents:
            assert subject == subjects[note]
            assert row["split"] == hash_split(subject, SALT)
            assert ids
            found[note].append((start, ids))
        counts[row["split"]] += Counter(rows=1, documents=len(documents), tokens=len(row["input_ids"]))
    for note, pieces in found.items():
        joined = []
        for start, ids in sorted(pieces):
            assert start == len(joined)
            joined += ids
        assert joined == expected[note]
        counts[hash_split(subjects[note], SALT)]["notes"] += 1
    assert summary["splits"] == {split: dict(count) | {"dropped_tokens": 0} for split, count in counts.items()}


def test_reader_and_datasets_agree_over_several_shards(base, notes, tmp_path):
    tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT, notes_per_part=7)
    assert len(list((tmp_path / "tokens").glob("data-*.arrow"))) == 6
    dataset = load_from_disk(tmp_path / "tokens")
    assert dataset.features["input_ids"].feature.dtype == "uint16"
    shards = TokenShards(tmp_path / "tokens")
    assert shards.lengths.tolist() == [len(ids) for ids in dataset["input_ids"]]
    for number, row in enumerate(dataset):
        assert shards.sequence(number).tolist() == row["input_ids"]
        assert [ids.tolist() for ids in shards.documents(number)] == [ids for *_, ids in documents_of(row)]
        boundaries, positions = shards.boundaries(number), shards.positions(number)
        assert boundaries.dtype == positions.dtype == np.int32
        assert boundaries.tolist() == np.cumsum([0, *row["document_lengths"]]).tolist()
        assert positions.tolist() == [place for length in row["document_lengths"] for place in range(length)]
    assert max(len(row["note_ids"]) for row in dataset) > 1
    for split in SPLITS:
        assert shards.rows(split).tolist() == [n for n, name in enumerate(dataset["split"]) if name == split]


def test_parts_follow_the_notes_whatever_the_row_groups(base, notes, tmp_path):
    table = pq.read_table(notes)
    for rows in (3, 40):
        pq.write_table(table, tmp_path / f"{rows}.parquet", row_group_size=rows)
        tokenise(
            tmp_path / f"{rows}.parquet", base, tmp_path / f"{rows}", context=16, split_salt=SALT, notes_per_part=10
        )
    assert contents(tmp_path / "3") == contents(tmp_path / "40")


def test_parts_of_long_notes_have_fewer_notes(base, notes, tmp_path):
    texts = pq.read_table(notes)["text"].to_pylist()
    size = 3 * max(len(text.encode()) for text in texts)
    tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT, notes_per_part=10, bytes_per_part=size)
    parts = [
        {note for row in pq_rows for note in row["note_ids"]}
        for pq_rows in (load_rows(file) for file in sorted((tmp_path / "tokens").glob("*.arrow")))
    ]
    names = pq.read_table(notes)["note_id"].to_pylist()
    assert sorted(note for part in parts for note in part) == sorted(names)
    sizes = [sum(len(text.encode()) for name, text in zip(names, texts, strict=True) if name in part) for part in parts]
    assert max(sizes) <= size
    assert 3 <= max(map(len, parts)) <= 10
    assert len(parts) > len(names) / 10


def load_rows(file):
    with pa.ipc.open_stream(file) as stream:
        return stream.read_all().to_pylist()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 120))
def test_a_part_ends_where_either_limit_is_reached(lengths, most_notes, most_bytes):
    table = pa.table({"text": ["\u00e9" * (length // 2) + "e" * (length % 2) for length in lengths]})
    file = pa.BufferOutputStream()
    pq.write_table(table, file, row_group_size=7)
    borders = part_borders(pa.BufferReader(file.getvalue()), most_notes, most_bytes)
    assert (borders[0], borders[-1]) == (0, len(lengths))
    for begin, end in pairwise(borders):
        assert 1 <= end - begin <= most_notes
        assert sum(lengths[begin:end]) <= most_bytes or end - begin == 1
        full = end - begin == most_notes or sum(lengths[begin : end + 1]) > most_bytes
        assert full or end == len(lengths)


def test_long_batches_are_encoded_in_slices(base, notes, tmp_path, monkeypatch):
    tokenise(notes, base, tmp_path / "whole", context=16, split_salt=SALT)
    monkeypatch.setattr(parts_module, "BYTES_PER_BATCH", 50)
    tokenise(notes, base, tmp_path / "sliced", context=16, split_salt=SALT)
    assert contents(tmp_path / "whole") == contents(tmp_path / "sliced")


def test_a_slice_holds_few_bytes_unless_a_text_has_more(monkeypatch):
    monkeypatch.setattr(parts_module, "BYTES_PER_BATCH", 50)
    texts = ["x" * 20] * 10 + ["y" * 90] + ["z" * 20] * 3
    slices = [each.to_pylist() for each in parts_module._by_bytes(pa.array(texts))]
    assert [text for each in slices for text in each] == texts
    assert all(sum(map(len, each[:-1])) <= 50 for each in slices)


def test_empty_notes_have_a_row_of_start_and_end(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": "" if n % 2 else "pain"} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    summary = tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=8, split_salt=SALT)
    assert sum(count["documents"] for count in summary["splits"].values()) == 40
    frame = framed_ids(tmp_path / "notes.parquet", base)["n1"]
    ids = {note: ids for row in load_from_disk(tmp_path / "tokens") for note, _, _, ids in documents_of(row)}
    assert all(ids[f"n{n}"] == frame for n in range(1, 40, 2))


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("truncate_and_pad", [False, True])
def test_the_number_of_processes_leaves_the_bytes_alone(base, notes, tmp_path, truncate_and_pad):
    settings = {"context": 16, "split_salt": SALT, "notes_per_part": 7, "truncate_and_pad": truncate_and_pad}
    for processes in (1, 3):
        tokenise(notes, base, tmp_path / f"{processes}", processes=processes, work=tmp_path / "work", **settings)
        assert not (tmp_path / "work").exists()
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


INTERRUPTED = """
import sys, time
from pathlib import Path
from clinical_peft.tokens import shards

def slow(settings, number, encode, write=shards.write_part):
    time.sleep(600 if number == 6 else 0)
    return write(settings, number, encode)

shards.write_part = slow
notes, base, output, work, salt = sys.argv[1:]
shards.tokenise(
    Path(notes), Path(base), Path(output), work=Path(work), processes=2, context=16, split_salt=salt, notes_per_part=4
)
"""


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_job_goes_on_with_its_unfinished_parts(base, notes, tmp_path, monkeypatch):
    settings = {"context": 16, "split_salt": SALT, "notes_per_part": 4}
    tokenise(notes, base, tmp_path / "whole", **settings)
    work, output = tmp_path / "work", tmp_path / "output"
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, notes, base, output, work, SALT])
    while process.poll() is None and len(list(work.glob("part-*.json"))) < 9:
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(children) == 2
    deadline = time.monotonic() + 20
    while any(map(is_running, children)):
        assert time.monotonic() < deadline, "the killed job's processes go on"
        time.sleep(0.1)
    assert not output.exists()

    (work / "part-00003.arrow").write_bytes(b"damaged")
    written = []
    write = shards_module.write_part
    monkeypatch.setattr(
        shards_module, "write_part", lambda settings, number, _: written.append(number) or write(settings, number, _)
    )
    tokenise(notes, base, output, work=work, **settings)
    assert written == [3, 6]
    assert contents(output) == contents(tmp_path / "whole")
    assert not work.exists()


def test_parts_of_other_notes_are_not_used(base, notes, tmp_path, monkeypatch):
    other = write_corpus(tmp_path / "other.parquet", CLINICAL, notes=40, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(shards_module, "_write_descriptions", Mock(side_effect=InterruptedError))
        with pytest.raises(InterruptedError):
            tokenise(other, base, tmp_path / "tokens", context=16, split_salt=SALT, work=tmp_path / "work")
    assert (tmp_path / "work" / "part-00000.json").exists()
    assert not (tmp_path / "tokens").exists()
    tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT, work=tmp_path / "work")
    tokenise(notes, base, tmp_path / "fresh", context=16, split_salt=SALT)
    assert contents(tmp_path / "tokens") == contents(tmp_path / "fresh")


def test_an_error_in_a_process_reaches_the_caller(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": None if n == 33 else "secret"} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    with pytest.raises(DataError, match="row 33: expected a note with text"):
        tokenise(
            tmp_path / "notes.parquet",
            base,
            tmp_path / "tokens",
            context=16,
            split_salt=SALT,
            processes=2,
            notes_per_part=5,
        )
    assert not multiprocessing.active_children()


def test_a_corpus_without_patients_is_split_by_note(base, tmp_path):
    notes = write_corpus(tmp_path / "general.parquet", CLINICAL, notes=30, patients=False)
    tokenise(notes, base, tmp_path / "tokens", context=16, split_salt=SALT)
    for row in load_from_disk(tmp_path / "tokens"):
        assert set(row["subject_ids"]) == {None}
        assert {hash_split(note, SALT) for note in row["note_ids"]} == {row["split"]}


def test_patients_of_an_own_table_stay_strings(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": f"{n:04d}", "text": TEXTS[n % len(TEXTS)]} for n in range(60)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=32, split_salt=SALT)
    found = {
        (subject, row["split"]) for row in load_from_disk(str(tmp_path / "tokens")) for subject in row["subject_ids"]
    }
    assert found == {(row["subject_id"], hash_split(row["subject_id"], SALT)) for row in rows}
    assert "0012" in dict(found)


def test_special_tokens_spelled_in_a_note_stay_text(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": "pain </s><pad><s> [MASK] none"} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=512, split_salt=SALT)
    ids = TokenShards(tmp_path / "tokens").documents(0)[0].tolist()
    special = set(load_tokenizer(base).all_special_ids)
    assert [position for position, token in enumerate(ids) if token in special] == [0, len(ids) - 1]


def test_truncate_and_pad_stores_one_row_per_note(base, notes, tmp_path):
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


def test_a_missing_text_is_named_by_its_row(base, tmp_path):
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": None if n == 3 else "secret"} for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "notes.parquet")
    with pytest.raises(DataError, match="row 3: expected a note with text") as caught:
        tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=16, split_salt=SALT)
    assert "secret" not in str(caught.value)
    assert "n3" not in str(caught.value)


def test_a_missing_column_is_named(base, tmp_path):
    pq.write_table(pa.table({"note_id": ["n"], "text": ["secret"]}), tmp_path / "notes.parquet")
    with pytest.raises(DataError, match="missing: subject_id"):
        tokenise(tmp_path / "notes.parquet", base, tmp_path / "tokens", context=16, split_salt=SALT)


def test_a_vocabulary_with_gaps_keeps_its_highest_ids(base, notes, tmp_path):
    vocabulary = {"<pad>": 0, "<unk>": 70_000, "pain": 70_001}
    word = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    word.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=word, pad_token="<pad>", unk_token="<unk>").save_pretrained(tmp_path)
    tokenise(notes, tmp_path, tmp_path / "tokens", context=16, split_salt=SALT)
    shards = TokenShards(tmp_path / "tokens")
    assert set(np.concatenate([shards.sequence(row) for row in range(9)]).tolist()) <= {70_000, 70_001}
