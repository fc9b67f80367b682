"""Fixtures that several files of tests share; what builds them is imported late, since most tests need no torch."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The tiny study, run once for all tests that read its results."""
    from shared_runs import shared_run
    from workflow_run import snakemake

    return shared_run(tmp_path_factory, "tiny", snakemake)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Folder of a small decoder."""
    from language_fixtures import scratch_base

    return scratch_base(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="module")
def tokens(base, tmp_path_factory) -> Path:
    """Token shards of clinical notes for the small decoder."""
    from language_fixtures import clinical_tokens

    return clinical_tokens(tmp_path_factory.mktemp("tokens"), base)


@pytest.fixture(scope="module")
def general(tmp_path_factory) -> Path:
    """A corpus of general text."""
    from language_fixtures import general_corpus

    return general_corpus(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    """A corpus of 40 clinical notes."""
    from language_fixtures import CLINICAL, write_corpus

    return write_corpus(tmp_path_factory.mktemp("notes") / "notes.parquet", CLINICAL, notes=40)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Bases, clinical adapters and cohorts of a small study of classifiers."""
    from models_fixtures import write_study

    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def hospital(tmp_path):
    """A hospital whose tables hold what a test puts into them."""
    from cohort_fixtures import Hospital

    return Hospital(tmp_path / "mimic-iii")


@pytest.fixture(scope="module")
def simulated(request, tmp_path_factory):
    """A finished study of simulated predictions, of the tasks that the test's module names in TASKS."""
    from simulated_study import simulate_study

    return simulate_study(tmp_path_factory.mktemp("study"), resamples=100, tasks=request.module.TASKS)
