"""Software is installed under the user's own umask."""

import os
from pathlib import Path

import pytest

from clinical_peft.errors import StorageError
from clinical_peft.runtime.privacy import PRIVATE_UMASK
from clinical_peft.runtime.shared_software import make_prefix, under_umask


@pytest.fixture(autouse=True)
def private():
    before = os.umask(PRIVATE_UMASK)
    yield
    os.umask(before)


def current() -> int:
    umask = os.umask(PRIVATE_UMASK)
    os.umask(umask)
    return umask


def test_a_function_runs_under_the_umask_it_is_given():
    assert under_umask(0o027, current)() == 0o027
    assert current() == PRIVATE_UMASK


def test_the_umask_is_private_again_after_an_error():
    def failing() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        under_umask(0o027, failing)()
    assert current() == PRIVATE_UMASK


def test_a_prefix_is_made_for_the_group(tmp_path: Path):
    make_prefix(tmp_path / "group" / "environments", 0o002)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")] == [0o775, 0o775]


def test_a_prefix_that_exists_keeps_its_rights(tmp_path: Path):
    (tmp_path / "environments").mkdir(mode=0o700)
    make_prefix(tmp_path / "environments", 0o002)
    make_prefix(None, 0o002)
    assert (tmp_path / "environments").stat().st_mode & 0o777 == 0o700


def test_a_prefix_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/environments: expected a folder .*, found not a directory"):
        make_prefix(tmp_path / "file" / "environments", 0o002)
