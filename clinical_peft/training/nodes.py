"""Training one adapter on several nodes of a SLURM job.

The job's process runs on one node. It starts one task a node by `srun`, and each task starts the processes of its node,
as `clinical_peft.training.workers` does on one machine. The processes find each other by a store that the job's process
serves on a free port.

`MASTER_ADDR` in the environment replaces the name of the node under which the others reach it. `NCCL_SOCKET_IFNAME` or
`GLOO_SOCKET_IFNAME` choose the network.
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from clinical_peft.errors import TrainingError
from clinical_peft.runtime import jobs
from clinical_peft.runtime.signals import (
    late_notice_ignored,
    stop_signals_delivered,
    stop_signals_held,
    stop_signals_noted,
)
from clinical_peft.training.launch import STARTED, end_with_input, log_of_node, read_specification
from clinical_peft.training.workers import GRACE_SECONDS, Node, Worker, report, run_workers, search_path, watch

JOB = "SLURM_JOB_ID"
# What identifies the job to `srun`. The rest describes the step that this process runs in, and would decide the new
# step's tasks, memory and GPUs.
IDENTITY = (JOB, "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_CONF", "SLURM_SUBMIT_DIR")
# A notice before `srun`'s task has become Python would end it; the notice is sent again.
TASK = ("sh", "-c", f'trap "" {signal.SIGUSR1.name[3:]}; exec "$@"', "sh")

_log = logging.getLogger(__name__)


def allocated_nodes() -> int:
    """Return the number of nodes of the SLURM job that this process runs in; 1 outside of SLURM.

    The environment of a step describes the step, which has one node. So SLURM is asked; where it gives no answer, the
    processes start on this node, with a warning.
    """
    if JOB not in os.environ or shutil.which("squeue") is None:
        return 1
    asked = ["squeue", "--noheader", f"--jobs={os.environ[JOB]}", "--format=%D"]
    answer = subprocess.run(asked, env=_identity(), capture_output=True, text=True, check=False).stdout.strip()
    if not answer.isdigit():
        _log.warning("squeue does not tell the number of nodes of job %s; training on this one", os.environ[JOB])
        return 1
    return int(answer)


def processes_per_node(processes: int, nodes: int) -> int:
    """Return how many processes each node starts.

    Raises:
        TrainingError: They cannot be divided evenly.
    """
    if processes % nodes:
        raise TrainingError(
            f"the recipe's devices.processes is {processes}, but the SLURM job has {nodes} nodes; make it a "
            "multiple of them, or change `nodes` of train_adapter in the profile"
        )
    return processes // nodes


def run_on_nodes(specification: Path, *, nodes: int, processes: int) -> None:
    """Run the job of a file in processes on all nodes of this SLURM job, and wait for them.

    Args:
        specification: What `AdapterJob.write` wrote.
        nodes: How many nodes.
        processes: How many processes, on all nodes together.

    Raises:
        StoppedError: A signal asked the job to stop, and all processes did.
        TrainingError: A process failed, or the number of processes is no multiple of the number of nodes.
    """
    processes_per_node(processes, nodes)
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address = os.environ.get("MASTER_ADDR") or socket.gethostname()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals_noted())
        store = TCPStore(address, 0, is_master=True, wait_for_workers=False)
        environment = _environment(address, store.port)
        with stop_signals_held():
            step = Worker(0, _command(specification, nodes), environment)
        stack.callback(step.end)
        watch([step], stop)
        report([step], stop, processes=processes)


def _command(specification: Path, nodes: int) -> list[str]:
    # Without a number of CPUs, a step has all of the job's; `--overlap` shares them with the step of this process.
    placed = ["--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--cpu-bind=none"]
    # The others end by themselves when one has failed, and say why.
    ended = ["--kill-on-bad-exit=0", f"--wait={3 * GRACE_SECONDS:.0f}"]
    program = [sys.executable, "-m", "clinical_peft.training.nodes", str(specification)]
    return ["srun", f"--jobid={os.environ[JOB]}", *placed, *ended, *TASK, *program]


def _identity() -> dict[str, str]:
    """Return the environment without what SLURM says of this process's step."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in IDENTITY or not name.startswith(("SLURM_", "SRUN_", "SBATCH_", "SQUEUE_"))
    }


def _environment(address: str, port: int) -> dict[str, str]:
    own = {
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": str(True),
        "PYTHONPATH": search_path(),
        STARTED: "1",
    }
    return _identity() | own


def main(specification: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Run the processes of this node, as a task of `srun`.

    Args:
        specification: What `AdapterJob.write` wrote.
        environment: That of the task.

    Raises:
        SystemExit: See `clinical_peft.runtime.jobs.job`.
    """
    with stop_signals_held(), late_notice_ignored():
        node = Node(number=int(environment["SLURM_NODEID"]), count=int(environment["SLURM_STEP_NUM_NODES"]))
        os.environ["GROUP_RANK"] = str(node.number)
        adapter = read_specification(specification)
        end_with_input()
        recipe = adapter.job.recipe
        with jobs.job(log_of_node(adapter.log_file)), stop_signals_delivered():
            mine = processes_per_node(recipe.devices.processes, node.count)
            run_workers(specification, processes=mine, threads=recipe.threads, node=node)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
