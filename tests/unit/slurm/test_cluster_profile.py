"""What the cluster profile sets against outages and for small login nodes."""

from pathlib import Path

import pytest
import yaml

from clinical_peft.slurm.commands import SECONDS

PLUGIN_SECONDS = 60  # that the executor plugin waits for an answer


@pytest.fixture(scope="module")
def profile():
    """The cluster profile's settings."""
    return yaml.safe_load((Path(__file__).parents[3] / "profiles" / "slurm" / "config.yaml").read_text())


def test_jobs_are_remembered_through_ten_minutes(profile):
    assert profile["slurm-status-attempts"] / profile["max-status-checks-per-second"] >= 600


def test_sacct_and_squeue_answer_in_the_plugins_time():
    assert 2 * SECONDS < PLUGIN_SECONDS


def test_few_local_jobs_run_at_once_on_a_login_node(profile):
    assert profile["local-cores"] <= 2
