"""Files are whole or absent, whatever ended the process that wrote them, and nothing of a note is left beside them."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from clinical_peft.files import atomic_path, write_text


def write_and_die(path: Path, folder: bool) -> None:
    with atomic_path(path) as temporary:
        if folder:
            temporary.mkdir()
            temporary /= "part"
        temporary.write_text("Mrs Smith")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("folder", [False, True])
def test_leftovers_of_a_killed_process_are_removed(folder: bool, tmp_path: Path):
    path = tmp_path / "notes.parquet"
    process = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(path, folder))
    process.start()
    process.join()
    assert not path.exists()
    assert any(tmp_path.rglob("notes.parquet"))
    with atomic_path(tmp_path / "other.parquet") as other:
        other.write_text("other")
        write_text(path, "whole")
        assert other.exists(), "another file that is being written"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.parquet", "other.parquet"]
    assert path.read_text() == "whole"
