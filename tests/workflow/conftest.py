"""Fixtures of the workflow tests."""

import pytest
from workflow_run import Run, snakemake


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Run:
    """The tiny study, run once for all tests that read its results."""
    run = snakemake(tmp_path_factory.mktemp("tiny"))
    assert run.returncode == 0, run.output[-3000:]
    return run
