"""A SLURM cluster with accounting on this machine: MariaDB, slurmdbd, slurmctld and four nodes, two of them with a GPU.

Everything runs as the current user in a temporary folder, on the loopback interface and on free ports. Beside the
packages of `slurm`, Debian has the programs in `slurmdbd` and `mariadb-server`. Jobs belong to account `research`.
Those of partitions `preempt` and `evicted` give way to those of `gpu`, on the same nodes; only the former are queued
again.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

import pytest
import slurm
from slurm import SlurmCluster

PROGRAMS = (*slurm.PROGRAMS, "slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb", "mariadb-install-db")
NODES = ("c1", "c2", "g1", "g2")
ACCOUNT = "research"

SITE = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={database_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/none
MinJobAge=300
SlurmdTimeout=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=cpu Nodes=c[1-2] Default=YES MaxTime=7-0 PriorityTier=5
PartitionName=gpu Nodes=g[1-2] MaxTime=2-0 PriorityTier=10
PartitionName=preempt Nodes=g[1-2] MaxTime=2-0 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=evicted Nodes=g[1-2] MaxTime=2-0 PriorityTier=1 PreemptMode=CANCEL
"""
NODE = "NodeName={node} NodeAddr=127.0.0.1 NodeHostname={hostname} Port={port} CPUs=8 RealMemory=512000{gpu}\n"

SLURMDBD = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={database_port}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={storage_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""


@dataclass(frozen=True)
class SlurmSite(SlurmCluster):
    """A running cluster with accounting.

    Attributes:
        stack: Ends all its daemons when it closes.
        daemons: Processes by name: slurmdbd, slurmctld, and slurmd by node.
    """

    stack: ExitStack
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def stop_accounting(self) -> None:
        """End slurmdbd: from now on sacct fails."""
        slurm.stop(self.daemons.pop("slurmdbd"))

    def start_accounting(self) -> None:
        """Start slurmdbd."""
        self.daemons["slurmdbd"] = slurm.start(self.stack, self, ["slurmdbd", "-D"], lambda: _answers(self))

    def stop_controller(self) -> None:
        """End slurmctld: from now on no job can be submitted, and jobs that run go on."""
        slurm.stop(self.daemons.pop("slurmctld"))

    def start_controller(self) -> None:
        """Start slurmctld."""
        command = ["slurmctld", "-D"]
        self.daemons["slurmctld"] = slurm.start(self.stack, self, command, lambda: slurm.node_states(self) != {})

    def kill_node(self, node: str) -> None:
        """End a node's daemon and what runs there, as a power cut does: nothing there says goodbye."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        running = self._processes_on(node)
        # A step's own daemon, its parent, would report what ends before it.
        for pid in [*(_parent(pid) for pid in running), *running]:
            if pid > 1:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=power")

    def _processes_on(self, node: str) -> list[int]:
        """Processes of jobs on a node, by what SLURM puts into their environment."""
        wanted = {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={self.folder}/slurm.conf".encode()}
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if wanted <= set(path.read_bytes().split(b"\0")):
                    found.append(int(path.parent.name))
        return found

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        command = ["slurmd", "-D", "-N", node]
        self.daemons[node] = slurm.start(self.stack, self, command, lambda: node in slurm.node_states(self))
        if slurm.node_states(self)[node] == "down":
            self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        slurm.wait_until(lambda: slurm.node_states(self)[node] == "idle")

    def run_now(self, job_id: str) -> None:
        """Let a job start that was queued again, which SLURM holds back for two minutes."""
        self.run("scontrol", "update", f"JobId={job_id}", "StartTime=now", check=False)

    def submit_urgent(self) -> str:
        """Submit a job that needs both nodes with a GPU, and return its number."""
        flags = ["--partition=gpu", "--nodes=2", "--exclusive", "--output=/dev/null"]
        return self.run("sbatch", "--parsable", *flags, "--wrap=sleep 600").stdout.strip()

    def limit_submission(self, jobs: int) -> None:
        """Limit how many jobs of the account may be in the queue; -1 takes the limit away."""
        self.run("sacctmgr", "-i", "modify", "account", ACCOUNT, "set", f"MaxSubmitJobs={jobs}")

    def account_states(self, job_id: str) -> list[str]:
        """States of a job as sacct says them, such as CANCELLED by 0; of one that was queued again, of every run."""
        lines = self.run("sacct", "-X", "-D", "-n", "-P", "-j", job_id, "-o", "State").stdout
        return lines.splitlines()


@contextmanager
def site() -> Iterator[SlurmSite]:
    """Start the cluster and stop it, with all its jobs, when the block ends.

    Raises:
        RuntimeError: A daemon ended or is not ready in time; the message holds the ends of their logs.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    database_port, storage_port, *ports = slurm.free_ports(2 + len(NODES))
    nodes = "".join(
        NODE.format(node=node, hostname=slurm.hostname(), port=port, gpu=" Gres=gpu:1" if node[0] == "g" else "")
        for node, port in zip(NODES, ports, strict=True)
    )
    own = SITE.format(folder=folder, database_port=database_port)
    cluster = slurm.configured_cluster(folder, nodes + own)
    (folder / "gres.conf").write_text("NodeName=g[1-2] Name=gpu File=/dev/null\n", encoding="utf-8")
    password = secrets.token_hex(8)
    try:
        with ExitStack() as stack:
            found = SlurmSite(folder, cluster.environment, stack)
            slurm.start_munge(stack, found)
            _start_database(found, storage_port, password)
            settings = {"database_port": database_port, "storage_port": storage_port, "password": password}
            _write_private(folder / "slurmdbd.conf", SLURMDBD, {**settings, "folder": folder, "user": getuser()})
            found.start_accounting()
            _add_account(found)
            found.start_controller()
            for node in NODES:
                found.start_node(node)
            try:
                yield found
            finally:
                slurm.cancel_all(found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def slurm_site() -> Iterator[SlurmSite]:
    """A cluster with accounting that the tests of a session share."""
    if missing := slurm.missing_programs(PROGRAMS):
        packages = "slurm-wlm munge slurmdbd mariadb-server"
        pytest.skip(f"SLURM with accounting is not installed (apt-get install {packages}): no {', '.join(missing)}")
    with site() as cluster:
        yield cluster


def _start_database(cluster: SlurmSite, port: int, password: str) -> None:
    folder, user = cluster.folder, getuser()
    data = ["--no-defaults", f"--user={user}", f"--datadir={folder}/database"]
    install = ["mariadb-install-db", *data, "--auth-root-authentication-method=normal", "--skip-test-db"]
    cluster.run(*install, seconds=300)
    socket = folder / "db.socket"
    # The least that serves: nothing need survive a crash.
    small = ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
    address = [f"--socket={socket}", f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
    slurm.start(cluster.stack, cluster, ["mariadbd", *data, *small, *address], socket.exists)
    create = (
        f"CREATE DATABASE slurm_acct_db; GRANT ALL ON slurm_acct_db.* TO slurm@127.0.0.1 IDENTIFIED BY '{password}'"
    )
    cluster.run("mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "--execute", create)


def _parent(pid: int) -> int:
    """A process's parent, if it is a step's daemon; 0 otherwise."""
    with suppress(OSError):
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if Path(f"/proc/{parent}/comm").read_text().strip() == "slurmstepd":
            return parent
    return 0


def _write_private(path: Path, form: str, values: Mapping[str, object]) -> None:
    path.touch(mode=0o600)
    path.write_text(form.format(**values), encoding="utf-8")


def _answers(cluster: SlurmSite) -> bool:
    return cluster.run("sacctmgr", "-n", "show", "cluster", check=False).returncode == 0


def _add_account(cluster: SlurmSite) -> None:
    cluster.run("sacctmgr", "-i", "add", "cluster", "test")
    cluster.run("sacctmgr", "-i", "add", "account", ACCOUNT, "Cluster=test")
    cluster.run("sacctmgr", "-i", "add", "user", getuser(), f"Account={ACCOUNT}", f"DefaultAccount={ACCOUNT}")
