"""A real SLURM cluster of one node on this machine, for tests of the cluster profile.

It runs munged, slurmctld and slurmd as the current user in a temporary folder, on the loopback interface and on
free ports, with its own key and without accounting or cgroups. Debian and Ubuntu have the programs in the
packages `slurm-wlm` and `munge`. `slurm_site` has a cluster of four nodes with accounting.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
NODE = "localhost"
START_SECONDS = 30.0

# `config_overrides` lets a node offer more memory than the machine has: nothing enforces it, and a profile's requests
# fit a laptop.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={hostname}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg={mail}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
KillWait=5
ReturnToService=2
GresTypes=gpu
"""

# Without accounting a finished job is known to squeue alone, for MinJobAge seconds.
ONE_NODE = """\
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
NodeName={node} NodeAddr=127.0.0.1 NodeHostname={host} Port={node_port} CPUs={cpus} RealMemory={memory_mb} Gres=gpu:1
PartitionName=cpu Nodes=ALL Default=YES MaxTime=UNLIMITED State=UP
PartitionName=gpu Nodes=ALL MaxTime=UNLIMITED State=UP
"""


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster with the partitions `cpu` (the default) and `gpu`.

    Attributes:
        folder: Configuration, logs and state of its daemons.
        environment: Environment of a process that talks to it.
    """

    folder: Path
    environment: Mapping[str, str]

    def run(
        self, *command: str, cwd: Path | None = None, check: bool = True, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against the cluster and return its result, with output and errors as text."""
        return subprocess.run(
            command, cwd=cwd, env=dict(self.environment), check=check, timeout=seconds, capture_output=True, text=True
        )

    def states(self) -> dict[str, str]:
        """Return the state of every job so far by job id, such as COMPLETED, FAILED, TIMEOUT or RUNNING."""
        lines = self.run("squeue", "--states=all", "--noheader", "--format=%i|%T").stdout.split()
        return dict(line.split("|") for line in lines)

    def job(self, job_id: str) -> dict[str, str]:
        """Return what `scontrol show job` says, such as Partition, TimeLimit, ReqTRES or Restarts."""
        text = self.run("scontrol", "--oneliner", "show", "job", job_id).stdout
        return dict(re.findall(r"(\S+?)=(\S*)", text))


def missing_programs(programs: Sequence[str] = PROGRAMS) -> list[str]:
    """Return those programs that are not installed."""
    return [name for name in programs if shutil.which(name, path=_search_path()) is None]


@contextmanager
def one_node_cluster(*, cpus: int | None = None, memory_mb: int = 256_000) -> Iterator[SlurmCluster]:
    """Start a cluster and stop it, with all its jobs, when the block ends.

    Args:
        cpus: Processors that jobs can ask for; all of the machine by default.
        memory_mb: Memory that jobs can ask for. Nothing enforces it.

    Yields:
        The cluster, ready to take jobs.

    Raises:
        RuntimeError: A daemon ended or the node is not ready in time; the message holds the ends of their logs.
    """
    # Short, since a Unix socket's path is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    (node_port,) = free_ports(1)
    own = ONE_NODE.format(
        node=NODE, host=hostname(), node_port=node_port, cpus=cpus or os.cpu_count() or 1, memory_mb=memory_mb
    )
    cluster = configured_cluster(folder, own)
    try:
        with ExitStack() as daemons:
            start_munge(daemons, cluster)
            start(daemons, cluster, ["slurmctld", "-D"], lambda: node_states(cluster) != {})
            start(daemons, cluster, ["slurmd", "-D", "-N", NODE], lambda: node_states(cluster) == {NODE: "idle"})
            try:
                yield cluster
            finally:
                cancel_all(cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster that the tests of a session share."""
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed (apt-get install slurm-wlm munge): no {', '.join(missing)}")
    with one_node_cluster() as cluster:
        yield cluster


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _environment(folder: Path) -> dict[str, str]:
    # A test started inside another cluster's job must not inherit that job.
    foreign = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    path = os.pathsep.join([str(folder / "bin"), _search_path()])
    return {**inherited, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}


def configured_cluster(folder: Path, own: str) -> SlurmCluster:
    """Write the files that the daemons of a cluster read.

    Args:
        folder: Folder of the cluster.
        own: Lines of its slurm.conf about accounting, nodes and partitions.
    """
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(mode=0o700)
    _write_srun(folder)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    (controller_port,) = free_ports(1)
    values = {
        "folder": folder,
        "hostname": hostname(),
        "user": getuser(),
        "mail": shutil.which("true"),
        "controller_port": controller_port,
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values) + own, encoding="utf-8")
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n", encoding="utf-8")
    # No plugin above uses cgroups. Before 23.02 one must load all the same, and version 1 loads on any host.
    plugin = "disabled" if _version() >= (23, 2) else "cgroup/v1"
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n", encoding="utf-8")
    return SlurmCluster(folder, _environment(folder))


def hostname() -> str:
    """Name by which SLURM's daemons know this machine."""
    return socket.gethostname().split(".")[0]


def _write_srun(folder: Path) -> None:
    # snakemake-executor-plugin-slurm-jobstep runs srun without SLURM_CONF, which would look in /etc/slurm.
    srun = folder / "bin" / "srun"
    program = shutil.which("srun", path=_search_path())
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {program} "$@"\n', encoding="utf-8")
    srun.chmod(0o700)


def _version() -> tuple[int, int]:
    program = shutil.which("slurmctld", path=_search_path()) or "slurmctld"
    text = subprocess.run([program, "-V"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None:
        raise RuntimeError(f"slurmctld -V: expected a version, found {text!r}")
    return int(found[1]), int(found[2])


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start_munge(daemons: ExitStack, cluster: SlurmCluster) -> None:
    """Start the daemon that the others trust each other by."""
    # --force: the folder above, /tmp, is writable by all, and the socket is private to this user.
    files = {"key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed", "socket": "socket"}
    flags = [f"--{flag}={cluster.folder}/munge.{end}" for flag, end in files.items()]
    start(daemons, cluster, ["munged", "--foreground", "--force", *flags], (cluster.folder / "munge.socket").exists)


def start(
    daemons: ExitStack, cluster: SlurmCluster, command: list[str], ready: Callable[[], bool]
) -> "subprocess.Popen[bytes]":
    """Start a daemon, wait until it is ready, and stop it when the stack closes.

    Raises:
        RuntimeError: It ended or is not ready in time.
    """
    name = "-".join([command[0], *command[3:4]]) if command[1:3] == ["-D", "-N"] else command[0]
    output = daemons.enter_context((cluster.folder / f"{name}.out").open("w"))
    program = shutil.which(command[0], path=_search_path()) or command[0]
    # Its own session: Ctrl-C at the terminal must reach the tests, which then stop the daemons in order.
    process = subprocess.Popen(
        [program, *command[1:]],
        env=dict(cluster.environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    daemons.callback(stop, process)
    wait_until(lambda: ready() or process.poll() is not None)
    if process.poll() is not None or not ready():
        raise RuntimeError(f"{name} did not become ready:\n{_log_ends(cluster.folder)}")
    return process


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a daemon and wait for its end."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def node_states(cluster: SlurmCluster) -> dict[str, str]:
    """State of every node by its name, such as idle or down; nothing while the controller does not answer."""
    lines = cluster.run("sinfo", "--noheader", "--Node", "--format=%N|%T", check=False).stdout.split()
    return {node: state.strip("*") for node, _, state in (line.partition("|") for line in lines)}


def cancel_all(cluster: SlurmCluster) -> None:
    """End all jobs."""
    running = [job for job, state in cluster.states().items() if state in {"PENDING", "RUNNING", "COMPLETING"}]
    if running:
        cluster.run("scancel", *running, check=False)
        wait_until(lambda: not cluster.run("squeue", "--noheader", check=False).stdout.strip())


def wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> bool:
    """Wait until a condition holds; return whether it does."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return met


def _log_ends(folder: Path) -> str:
    files = sorted([*folder.glob("*.log"), *folder.glob("*.out")])
    return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-1500:]}" for file in files)


def snakemake_command(*arguments: str) -> list[str]:
    """Return the command that runs this environment's snakemake on a test cluster.

    The cluster has no accounting, so that squeue tells the states of jobs, and its jobs are short.
    """
    # A check that finds nothing finished makes the next wait ten seconds longer: just over a short job's time is best.
    seconds = "8"
    flags = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", seconds]
    flags += ["--seconds-between-status-checks", seconds, "--max-status-checks-per-second", "1", "--latency-wait", "5"]
    return [sys.executable, "-m", "snakemake", "--executor", "slurm", *flags, *arguments]
