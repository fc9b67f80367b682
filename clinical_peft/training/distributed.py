"""Several processes that train one network together, on one device each.

Every process runs the same program on the same plan of updates. The rows of an update are shared out by their numbers
of tokens, gradients are summed over processes and divided by the tokens of the whole update, so the loss is weighted by
tokens as in one process, and training differs by rounding alone (and by what dropout draws).

- `ddp` keeps a copy of the network in each process and sums the gradients once per update.
- `fsdp2` shards parameters, gradients and optimizer state with PyTorch's `fully_shard`, block by block, and gathers a
  block when it computes. Before and after training the network is whole on every device, where its perplexities are
  measured, so its weights must fit one; checkpoints gather the trained tensors.

Accelerate's `PartialState` finds out, from the variables of `torchrun`, `accelerate launch` or
`clinical_peft.training.workers`, who takes part, joins the group (nccl on GPUs, else gloo) and picks the device.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn

from clinical_peft.errors import TrainingError
from clinical_peft.methods import METHODS
from clinical_peft.models.digests import tensor_digest
from clinical_peft.recipes import Devices, PretrainJob, Strategy
from clinical_peft.training.batching import Rows

# Environment variable: a file by which the processes of one machine find each other, so that no port is opened.
RENDEZVOUS_FILE = "CLINICAL_PEFT_RENDEZVOUS_FILE"
GRADIENTS_AT_ONCE = 2**24
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Workers:
    """The processes that train together, seen from one of them.

    Attributes:
        rank: Number of this process, from 0.
        world: Number of processes.
        strategy: How they share the network.
        device: Where collective operations happen.
    """

    rank: int = 0
    world: int = 1
    strategy: Strategy = "ddp"
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this is the process that writes outputs, checkpoints and logs."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether the network's parameters are sharded."""
        return self.world > 1 and self.strategy == "fsdp2"

    def share(self, rows: Rows, lengths: npt.NDArray[np.integer]) -> Rows:
        """Choose this process's part of some rows, so that all processes have about as many tokens.

        Args:
            rows: Row numbers, the same in every process.
            lengths: Tokens of every row of the table, indexed by row number.

        Returns:
            Row numbers in the order of `rows`; every row is in the part of exactly one process.
        """
        if self.world == 1:
            return rows
        loads = [0] * self.world
        owner = np.empty(len(rows), dtype=np.int64)
        for place in np.argsort(-lengths[rows].astype(np.int64), kind="stable"):
            owner[place] = loads.index(min(loads))
            loads[owner[place]] += int(lengths[rows[place]])
        return rows[owner == self.rank]

    def idle_passes(self, passes: int) -> int:
        """Return how many more forward and backward passes another process makes than this one with `passes`.

        A sharded network computes only when all processes do, so this one must make as many that do not count. Where
        the network is not sharded there are none. Ask before the first of them: passes communicate.
        """
        return self.largest(passes) - passes if self.sharded else 0

    def largest(self, value: int) -> int:
        """Return the largest value of any process."""
        if self.world == 1:
            return value
        found = torch.tensor(value, device=self.device)
        distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
        return int(found)

    def sums(self, *values: float) -> tuple[float, ...]:
        """Add up values over all processes, in float64."""
        if self.world == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return tuple(total.tolist())

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; sharded gradients are summed in the backward pass."""
        if self.world == 1 or self.sharded:
            return
        parameters = list(parameters)
        present = self.sums(*(float(parameter.grad is not None) for parameter in parameters))
        used = [parameter for parameter, count in zip(parameters, present, strict=True) if count]
        for bucket in _buckets(used):
            grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in bucket]
            flat = torch.cat([grad.reshape(-1) for grad in grads])
            distributed.all_reduce(flat)
            for parameter, part in zip(bucket, flat.split([each.numel() for each in bucket]), strict=True):
                parameter.grad = part.view_as(parameter)

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Collect small tensors of every process, of equal shapes, as `{rank}/{name}`."""
        if self.world == 1:
            return {f"0/{name}": tensor for name, tensor in tensors.items()}
        gathered: dict[str, Tensor] = {}
        for name, tensor in sorted(tensors.items()):
            parts = [torch.empty_like(tensor, device=self.device) for _ in range(self.world)]
            distributed.all_gather(parts, tensor.to(self.device))
            gathered |= {f"{rank}/{name}": part.cpu() for rank, part in enumerate(parts)}
        return gathered

    def own(self, gathered: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's part of what `gather` returned."""
        prefix = f"{self.rank}/"
        return {name.removeprefix(prefix): value for name, value in gathered.items() if name.startswith(prefix)}

    def wait(self) -> None:
        """Wait until every process has arrived."""
        self.sums(0.0)

    def seed_dropout(self, seed: int) -> None:
        """Seed each process but the first differently; the first draws as a single process would."""
        if self.rank:
            torch.manual_seed(int(np.random.default_rng([seed, self.rank]).integers(2**62)))

    def require_equal(self, digest: str) -> None:
        """Check that the processes agree.

        Raises:
            TrainingError: They hold different weights.
        """
        if self.world == 1:
            return
        number = torch.tensor([int(digest[:12], 16)], dtype=torch.int64)
        found = {int(value) for value in self.gather({"digest": number}).values()}
        if len(found) > 1:
            raise TrainingError(
                f"the {self.world} processes hold {len(found)} different sets of weights after training; "
                "check that the devices and libraries of all are the same, or train with one process"
            )


SINGLE_PROCESS = Workers()


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Group parameters of one type into sets of limited size, in order."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        if not buckets or size + parameter.numel() > GRADIENTS_AT_ONCE or parameter.dtype != buckets[-1][-1].dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.numel()
    return buckets


def init_workers(devices: Devices) -> Workers:
    """Join the group of processes that this one was started with.

    Args:
        devices: What the recipe asks for.

    Raises:
        TrainingError: Another number of processes was started, or there are fewer GPUs than processes on a machine.
    """
    started, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if started != devices.processes:
        raise TrainingError(
            f"the recipe's devices.processes is {devices.processes}, but {started} processes were started; make both "
            "equal"
        )
    require_devices(local)
    if started == 1:
        return SINGLE_PROCESS
    from accelerate import PartialState  # type: ignore[import-untyped]

    rendezvous: dict[str, Any] = {}
    if RENDEZVOUS_FILE in os.environ:
        rendezvous = {"init_method": f"file://{os.environ[RENDEZVOUS_FILE]}", "rank": int(os.environ["RANK"])}
        rendezvous["world_size"] = started
    state = PartialState(cpu=not torch.cuda.is_available(), **rendezvous)
    return Workers(state.process_index, state.num_processes, devices.strategy, state.device)


def shutdown_workers() -> None:
    """Leave the group, if this process has joined one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def require_devices(processes: int) -> None:
    """Check that every process of this machine can have a GPU of its own, where there are GPUs.

    Raises:
        TrainingError: There are fewer.
    """
    found = torch.cuda.device_count()
    if 0 < found < processes:
        raise TrainingError(
            f"the recipe's devices.processes asks for {processes} processes on this machine, but {found} GPUs are "
            "visible; lower it, ask the scheduler for more, or use several machines as docs/cluster.md says"
        )


def require_shardable(job: PretrainJob) -> None:
    """Check that a job's method can be trained by the strategy of its recipe.

    Raises:
        TrainingError: It cannot: sharding is for methods whose tensors take part in matrix products of the base alone.
    """
    devices = job.recipe.devices
    if devices.processes == 1 or devices.strategy != "fsdp2":
        return
    if job.recipe.precision == "nf4":
        raise TrainingError(
            f"adapter {job.adapter}: devices.strategy fsdp2 cannot shard a base in four bits; use ddp, or bf16"
        )
    if not job.method.can.shard:
        able = ", ".join(name for name, method in METHODS.items() if method.can.shard)
        raise TrainingError(
            f"adapter {job.adapter}: devices.strategy fsdp2 shards methods of type {able}, found {job.method.title}; "
            "use ddp"
        )


def shard(model: nn.Module, workers: Workers) -> None:
    """Shard a network's parameters over the processes, where the strategy asks for it.

    Blocks are sharded one by one and gathered when they compute; what lies outside stays gathered from forward to
    backward pass. Gradients are summed, not averaged: a loss counts tokens.

    Args:
        model: The network, the same in every process, its trainable parameters of one type.
        workers: Who trains.
    """
    if not workers.sharded:
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(workers.device.type, (workers.world,))
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def prepare_to_save(model: nn.Module, workers: Workers) -> None:
    """Check that all processes hold the same trained weights, whole: a sharded network computes no more afterwards.

    Every process must call it. Frozen parameters stay sharded.

    Raises:
        TrainingError: The processes hold different weights.
    """
    if workers.world == 1:
        return
    if workers.sharded:
        _unshard_trained(model)
    trained = ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
    workers.require_equal(tensor_digest(trained))


def _unshard_trained(model: nn.Module) -> None:
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.requires_grad and _is_sharded(parameter):
                module.register_parameter(name, nn.Parameter(_full(parameter.detach())))


def whole(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor, sharded or not, on the CPU; every process must ask for the same one."""
    return _full(tensor.detach()).cpu().clone()


def like(value: Tensor, parameter: Tensor) -> Tensor:
    """Shard a tensor, the same in every process, as a parameter of its shape is sharded."""
    if not _is_sharded(parameter) or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )


def norm_of(value: Tensor) -> float:
    """Return a norm that may be spread over processes as a number."""
    return float(_full(value))


def _is_sharded(tensor: Tensor) -> bool:
    # The type itself lies in a module whose import takes seconds.
    return hasattr(tensor, "full_tensor")


def _full(tensor: Any) -> Tensor:
    return tensor.full_tensor() if _is_sharded(tensor) else tensor
