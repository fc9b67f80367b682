"""Where caches go when the user's own folder cannot be written."""

import os
from pathlib import Path

import pytest

from clinical_peft.runtime.user_caches import VARIABLE, ensure_cache_folder

NOWHERE = "/dev/null/home"  # cannot be made by anyone


def test_a_folder_that_can_be_written_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    ensure_cache_folder(tmp_path / "instead")
    assert os.environ[VARIABLE] == str(tmp_path / "own")
    assert not (tmp_path / "instead").exists()
    assert capsys.readouterr().err == ""


def test_caches_of_an_unwritable_home_go_elsewhere(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HOME", NOWHERE)
    monkeypatch.chdir(tmp_path)
    ensure_cache_folder(Path("instead"))
    assert os.environ[VARIABLE] == str(tmp_path / "instead")
    assert capsys.readouterr().err.count("\n") == 1


def test_without_any_folder_the_command_ends_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, NOWHERE)
    with pytest.raises(SystemExit):
        ensure_cache_folder(Path("/dev/null/instead"))
    assert os.environ[VARIABLE] == NOWHERE
    assert VARIABLE in capsys.readouterr().err
