"""A job of several processes: stopped while they start, and started by hand on one machine or on several."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from adapter_jobs import adapter_job, together
from language_fixtures import adapter_bytes

from clinical_peft.errors import StoppedError, TrainingError
from clinical_peft.recipes import Devices
from clinical_peft.runtime.events import read_events
from clinical_peft.training.adapter_job import SPECIFICATION, AdapterJob
from clinical_peft.training.distributed import init_workers
from clinical_peft.training.nodes import allocated_nodes, processes_per_node

MODULE = ["-m", "clinical_peft.training.launch"]


@pytest.fixture(scope="module")
def study(base, tokens) -> dict[str, Path]:
    return {"base": base, "tokens": tokens}


@pytest.fixture(scope="module")
def one_machine(study, tmp_path_factory) -> Path:
    """What two processes of one machine make of the job."""
    folder = tmp_path_factory.mktemp("one-machine")
    together(study, folder)
    return folder


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(*command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def interrupted(study: dict[str, Path], folder: Path) -> Path:
    """Leave what an interrupted job leaves once the workflow has deleted its outputs, and return the specification."""
    job = adapter_job(study, folder)
    job.run(lambda log: job.write())
    shutil.rmtree(job.run_log.parent)
    shutil.rmtree(job.work / "finished", ignore_errors=True)
    return job.work / SPECIFICATION


def require_whole(folder: Path, other: Path) -> None:
    """Check what a job started by hand leaves: the outputs of one that the workflow has run."""
    assert adapter_bytes(folder) == adapter_bytes(other)
    assert sorted(path.name for path in (folder / "work").iterdir()) == ["finished"]
    kinds = [
        [sorted(event.keys() - {"time"}) for event in read_events(each / "runs" / "run.jsonl")]
        for each in (folder, other)
    ]
    assert kinds[0] == kinds[1]


# --- stopped while they start


@pytest.mark.parametrize(
    ("stopped_by", "message"),
    [
        (signal.SIGUSR1, "adapter clinical while measuring .*, asked by SIGUSR1"),
        (signal.SIGTERM, "2 processes, asked by SIGTERM while they started"),
    ],
)
def test_a_stop_while_workers_start_is_clean(stopped_by, message, study, tmp_path):
    """It comes before a worker has run its first line; SLURM sends it to the workers as well."""
    specification = tmp_path / "work" / SPECIFICATION

    def stop_all() -> None:
        while not (found := workers_of(specification)):
            time.sleep(0.001)
        for process in (*found, os.getpid()):
            os.kill(process, stopped_by)

    thread = threading.Thread(target=stop_all, daemon=True)
    thread.start()
    with pytest.raises(StoppedError, match=message):
        together(study, tmp_path)
    thread.join()
    assert not (tmp_path / "adapter").exists()
    assert specification.exists()


def workers_of(specification: Path) -> list[int]:
    """Process ids of the workers of a job, from their first moment on."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if str(specification) in arguments:
            found.append(int(process.name))
    return found


# --- started by hand


def test_two_nodes_by_torchrun_equal_one_machine(study, one_machine, tmp_path):
    file = interrupted(study, tmp_path)
    flags = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    nodes = [
        start("-m", "torch.distributed.run", *flags, "--node-rank", str(rank), *MODULE, str(file)) for rank in (0, 1)
    ]
    outputs = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    require_whole(tmp_path, one_machine)
    assert "on " in (tmp_path / "logs" / "job.node1.log").read_text()
    # The workflow's own job then trains nothing.
    shutil.rmtree(tmp_path / "adapter")
    kept = (tmp_path / "perplexity.json").read_bytes()
    (tmp_path / "perplexity.json").unlink()
    together(study, tmp_path)
    assert (tmp_path / "perplexity.json").read_bytes() == kept
    assert adapter_bytes(tmp_path) == adapter_bytes(one_machine)


@pytest.mark.slow
def test_two_nodes_by_accelerate_equal_one_machine(study, one_machine, tmp_path):
    file = interrupted(study, tmp_path)
    # With --cpu accelerate starts one process; with --multi_gpu as many as asked for, whatever they compute on.
    flags = ["--multi_gpu", "--num_processes", "2", "--num_machines", "2", "--mixed_precision", "no"]
    flags += ["--dynamo_backend", "no", "--num_cpu_threads_per_process", "1", "--rdzv_backend", "static"]
    flags += ["--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port())]
    nodes = [
        start("-m", "accelerate.commands.launch", *flags, "--machine_rank", str(rank), *MODULE, str(file))
        for rank in (0, 1)
    ]
    outputs = [node.communicate()[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    require_whole(tmp_path, one_machine)


def test_another_number_of_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(TrainingError, match=r"devices.processes is 2, but 1 processes were started"):
        init_workers(Devices(processes=2))


def test_a_missing_specification_is_one_line(tmp_path):
    alone = start(*MODULE, str(tmp_path / SPECIFICATION))
    output, _ = alone.communicate()
    assert alone.returncode == 1
    assert output.startswith(f"error: {tmp_path / SPECIFICATION}")
    assert len(output.splitlines()) == 1


def test_a_specification_comes_back_as_it_was_written(study, tmp_path):
    job = adapter_job(study, tmp_path)
    assert AdapterJob.read(job.write()) == job


# --- nodes of a SLURM job


def test_processes_are_shared_out_over_nodes(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert allocated_nodes() == 1
    assert processes_per_node(8, 2) == 4
    with pytest.raises(TrainingError, match=r"devices.processes is 3, but the SLURM job has 2 nodes"):
        processes_per_node(3, 2)
