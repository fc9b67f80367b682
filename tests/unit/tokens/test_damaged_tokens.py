"""Token shards that were altered, cut, swapped or lost after they were written."""

import json

import pytest
from language_fixtures import SALT
from models_fixtures import write_base

from clinical_peft.errors import DataError
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.shards import tokenise


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("bases") / "causal", "causal")


def swap(folder):
    first, second = sorted(folder.glob("*.arrow"))[:2]
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)


def rename(folder):
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"].reverse()
    (folder / "state.json").write_text(json.dumps(state))


def change_summary(folder, **values):
    file = folder / "tokens.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def miscount(folder):
    splits = json.loads((folder / "tokens.json").read_text())["splits"]
    splits["train"]["rows"] += 1
    change_summary(folder, splits=splits)


def zero(folder, size=64):
    """Zero bytes in the middle of the token ids of the first shard."""
    shard = min(folder.glob("*.arrow"))
    ids = TokenShards(folder).sequence(3)[:8].tobytes()
    held = bytearray(shard.read_bytes())
    place = held.index(ids)
    held[place : place + size] = bytes(size)
    shard.write_bytes(held)


def cut(folder):
    shard = min(folder.glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1])


DAMAGES = {
    "cut": cut,
    "halve": lambda folder: (shard := min(folder.glob("*.arrow"))).write_bytes(shard.read_bytes()[:999]),
    "empty": lambda folder: min(folder.glob("*.arrow")).write_bytes(b""),
    "pointer": lambda folder: min(folder.glob("*.arrow")).write_text("version https://git-lfs.github.com/spec/v1"),
    "delete": lambda folder: min(folder.glob("*.arrow")).unlink(),
    "swap": swap,
    "rename": rename,
    "count": miscount,
    "fingerprint": lambda folder: change_summary(folder, fingerprint="0" * 64),
    "zero": zero,
    "zero one": lambda folder: zero(folder, 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_shards_are_an_error(base, notes, tmp_path, damage):
    folder = tmp_path / "tokens"
    tokenise(notes, base, folder, context=16, split_salt=SALT, notes_per_part=13)
    TokenShards(folder)
    DAMAGES[damage](folder)
    with pytest.raises(DataError, match=r"tokens.*expected.*found.*tokenise again") as caught:
        TokenShards(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["zero", "swap", "delete", "fingerprint"])
def test_shards_without_file_digests_are_checked_by_rows(base, notes, tmp_path, damage):
    folder = tmp_path / "tokens"
    tokenise(notes, base, folder, context=16, split_salt=SALT, notes_per_part=13)
    summary = json.loads((folder / "tokens.json").read_text())
    del summary["files"]
    (folder / "tokens.json").write_text(json.dumps(summary))
    TokenShards(folder)
    DAMAGES[damage](folder)
    with pytest.raises(DataError, match="tokenise again"):
        TokenShards(folder)
