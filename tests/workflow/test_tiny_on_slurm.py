"""The tiny study through a real SLURM of one node: the same tables as a local run."""

import re

import pytest
from slurm import SlurmCluster, slurm_cluster, snakemake_command
from test_tiny_study import TABLES, comparable
from workflow_run import REPOSITORY, Run

__all__ = ["slurm_cluster"]

pytestmark = pytest.mark.workflow

PROFILE = REPOSITORY / "profiles" / "slurm"
NO_GPU = [f"{rule}:gpu=0" for rule in ("train_base", "train_adapter", "pool_notes", "finetune_model")]


def test_the_tiny_study_gives_the_same_tables_on_slurm(slurm_cluster: SlurmCluster, tiny_run: Run, tmp_path):
    command = snakemake_command(
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)),
        *("--workflow-profile", str(PROFILE), "--slurm-partition-config", str(PROFILE / "partitions.yaml")),
        *("--set-resources", *NO_GPU),
        *("--configfile", str(REPOSITORY / "config" / "tiny.yaml")),
    )
    done = slurm_cluster.run(*command, cwd=tmp_path, check=False, seconds=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    job_ids = re.findall(r"has been submitted with SLURM jobid (\d+)", done.stderr)
    states = slurm_cluster.states()
    assert len(job_ids) >= 25
    assert {states[job] for job in job_ids} == {"COMPLETED"}
    for name in TABLES:
        local, remote = (
            results / "tiny" / "tables" / f"{name}.csv" for results in (tiny_run.results, tmp_path / "results")
        )
        assert comparable(local) == comparable(remote), name
