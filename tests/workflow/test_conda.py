"""Rules in their conda environments: how Snakemake makes them, and that they suffice for a study."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from standin_conda import write_conda
from tiny_tables import TABLES, comparable
from workflow_run import snakemake

pytestmark = pytest.mark.workflow

CONDA = ("--software-deployment-method", "conda")
IN_GROUP = ["sh", "-c", 'umask 0027; exec "$@"', "sh"]


@pytest.fixture(scope="module")
def standin(tmp_path_factory) -> dict[str, str]:
    """An environment in which `conda` is a stand-in that makes its environments of installed packages."""
    programs = write_conda(tmp_path_factory.mktemp("conda"))
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_environments_are_for_all_whom_the_users_umask_allows(standin, tmp_path):
    shared = tmp_path / "group" / "environments"
    flags = (*CONDA, "--conda-prefix", str(shared), "--conda-create-envs-only")
    done = snakemake(tmp_path, *flags, environment=standin, before=IN_GROUP)
    assert done.returncode == 0, done.output[-3000:]
    made = [path for path in shared.iterdir() if path.is_dir()]
    assert len(made) == 2
    for path in (shared.parent, shared, *made, *(environment / "bin" for environment in made)):
        assert mode(path) == 0o750, path
    assert {mode(path) for path in shared.glob("*/pyvenv.cfg")} == {0o640}
    assert {mode(path) for path in shared.glob("*.env_setup_done")} == {0o640}
    assert len(list(shared.glob("*.post-deploy.sh"))) == 1
    assert mode(tmp_path / ".snakemake") == 0o700  # data stays with its owner


def study_under_conda(folder: Path, environment: dict[str, str], tiny: Path) -> None:
    """Run the tiny study in conda environments; its tables are those of the tiny study without."""
    done = snakemake(folder, *CONDA, environment=environment)
    assert done.returncode == 0, done.output[-3000:]
    assert "Activating conda environment" in "".join(p.read_text() for p in (folder / ".snakemake/log").iterdir())
    for name in TABLES:
        assert comparable(folder / "results/tiny/tables" / f"{name}.csv") == comparable(tiny / "tables" / f"{name}.csv")


@pytest.mark.slow
def test_the_tiny_study_needs_nothing_beyond_its_environments(standin, tiny_run, tmp_path):
    study_under_conda(tmp_path, standin, tiny_run.results / "tiny")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("conda") is None, reason="conda is not installed")
def test_the_tiny_study_under_conda(tiny_run, tmp_path):
    study_under_conda(tmp_path, {}, tiny_run.results / "tiny")
