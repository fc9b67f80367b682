"""A SLURM of two nodes on this machine, by the parts of the one-node cluster."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import slurm
from slurm import SlurmCluster, missing_programs

NAMES = ("n1", "n2")
NODE = "NodeName={name} NodeAddr=127.0.0.1 NodeHostname={{hostname}} Port={port} CPUs=4 RealMemory=64000 Gres=gpu:1\n"


def configuration() -> str:
    """Return the one-node cluster's configuration with two nodes, which have ports, folders and logs of their own."""
    ports = slurm._free_ports(len(NAMES))
    nodes = "".join(NODE.format(name=name, port=port) for name, port in zip(NAMES, ports, strict=True))
    text = re.sub(r"NodeName=.*\n", lambda found: nodes, slurm.SLURM_CONF)
    text = text.replace("SlurmctldHost={node}", "SlurmctldHost={hostname}")
    for ending in ("spool\n", "slurmd.pid", "slurmd.log"):
        text = text.replace(f"/{ending}", f"/%n-{ending}")
    return text


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[SlurmCluster]:
    """A cluster of two nodes, each with four processors and a GPU by name."""
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed (apt-get install slurm-wlm munge): no {', '.join(missing)}")
    # Short, since a Unix socket's path is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as daemons:
        daemons.callback(shutil.rmtree, folder, ignore_errors=True)
        patch.setattr(slurm, "SLURM_CONF", configuration())
        cluster = SlurmCluster(folder, slurm._environment(folder))
        slurm._write_configuration(folder, cpus=4, memory_mb=64_000)
        slurm._start(daemons, cluster, slurm._munged(folder), lambda: (folder / "munge.socket").exists())
        slurm._start(daemons, cluster, ["slurmctld", "-D"], lambda: bool(states(cluster)))
        for name in NAMES:
            (folder / f"{name}-spool").mkdir(mode=0o700)
            command = ["slurmd", "-D", "-N", name]
            slurm._start(daemons, cluster, command, lambda name=name: states(cluster).get(name) == "idle")
        daemons.callback(slurm._cancel_all, cluster)
        yield cluster


def states(cluster: SlurmCluster) -> dict[str, str]:
    """Return the state of every node, such as idle or allocated."""
    lines = cluster.run("sinfo", "--noheader", "--Node", "--format=%N %T", check=False).stdout.splitlines()
    return dict(line.split() for line in lines)
