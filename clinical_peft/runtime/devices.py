"""What this machine computes with: GPUs by their driver, and the build of PyTorch, without importing it."""

import importlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

CPU_BUILD = "CPU"


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: Its model.
        memory: Its memory in bytes.
        free: What of it no process uses.
    """

    name: str
    memory: int
    free: int


@dataclass(frozen=True)
class TorchBuild:
    """An installed build of PyTorch.

    Attributes:
        version: Its version.
        accelerator: `CUDA 12.8`, `ROCm 6.2` or `CPU`.
    """

    version: str
    accelerator: str


def gpus() -> list[Gpu]:
    """List NVIDIA's GPUs; none where there is no driver or no `nvidia-ml-py`."""
    if importlib.util.find_spec("pynvml") is None:
        return []
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        memories = [nvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
        return [
            Gpu(nvml.nvmlDeviceGetName(handle), int(memory.total), int(memory.free))
            for handle, memory in zip(handles, memories, strict=True)
        ]
    except nvml.NVMLError:
        return []
    finally:
        nvml.nvmlShutdown()


def torch_build() -> TorchBuild | None:
    """Read which PyTorch is installed from its own record; None where there is none."""
    spec = importlib.util.find_spec("torch")
    record = Path(spec.origin).parent / "version.py" if spec is not None and spec.origin else None
    return read_torch_build(record.read_text(encoding="utf-8")) if record is not None and record.is_file() else None


def read_torch_build(record: str) -> TorchBuild:
    """Read the text of `torch/version.py`."""
    values = dict(re.findall(r"^(\w+)(?:: [^=]+)? = '([^']*)'", record, re.MULTILINE))
    names = {"cuda": "CUDA", "rocm": "ROCm", "hip": "ROCm", "xpu": "XPU"}
    found = next((f"{name} {values[key]}" for key, name in names.items() if key in values), CPU_BUILD)
    return TorchBuild(values.get("__version__", "of unknown version"), found)
