"""Whether results can be written is looked at before the first job."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from study_fixtures import study_with

from clinical_peft.errors import DataError, StorageError
from clinical_peft.files import require_writable, write_text
from clinical_peft.workflow.study_inputs import check_inputs


@pytest.fixture
def owned_by_another(monkeypatch) -> Iterator[Path]:
    """A folder that this user may read and not write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_folder_that_may_not_be_written_is_said(owned_by_another):
    with pytest.raises(DataError, match=r"results/mine is not writable: permission denied \(.* belongs to user "):
        check_inputs(study_with(), owned_by_another / "results/mine")


def test_a_file_that_may_not_be_written_is_said(owned_by_another):
    with pytest.raises(StorageError, match="is not writable: permission denied"):
        write_text(owned_by_another / "a.json", "{}")
    with pytest.raises(StorageError, match="new is not writable: permission denied"):
        write_text(owned_by_another / "new" / "a.json", "{}")


@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["listed", "closed"])
def test_results_of_another_user_inside_are_said(owned_by_another, mode):
    if os.geteuid() != 65534:
        pytest.skip("needs a second user")
    os.seteuid(0)
    (owned_by_another / "notes").mkdir()
    (owned_by_another / "notes").chmod(mode)
    owned_by_another.chmod(0o777)
    os.seteuid(65534)
    with pytest.raises(StorageError, match="notes is not writable: permission denied"):
        require_writable(owned_by_another, inside=True)
    require_writable(owned_by_another)


def test_a_file_in_the_place_of_results_is_said(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(StorageError, match="results/mine is not writable: not a directory"):
        require_writable(tmp_path / "results/mine")


def test_a_store_in_a_folder_of_another_user_is_said(owned_by_another, tmp_path_factory):
    with tempfile.TemporaryDirectory(dir="/tmp") as results:
        study = study_with(tracking={"uri": f"sqlite:///{owned_by_another}/runs/mlflow.db"})
        with pytest.raises(DataError, match=f"^{owned_by_another}/runs is not writable[^\n]*$"):
            check_inputs(study, Path(results) / "mine", reads=[], bases=[])
