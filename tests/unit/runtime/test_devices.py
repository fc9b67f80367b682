"""GPUs and the build of PyTorch."""

import importlib.metadata

import pytest

from clinical_peft.runtime.devices import TorchBuild, gpus, read_torch_build, torch_build

RECORD = "from typing import Optional\n__version__ = '2.13.0{local}'\ndebug = False\n{name}: Optional[str] = {value}\n"


@pytest.mark.parametrize(
    ("local", "name", "value", "accelerator"),
    [
        ("+cpu", "cuda", "None", "CPU"),
        ("+cu128", "cuda", "'12.8'", "CUDA 12.8"),
        ("", "cuda", "'13.0'", "CUDA 13.0"),
        ("+rocm6.4", "hip", "'6.4.1'", "ROCm 6.4.1"),
    ],
)
def test_a_build_names_its_accelerator(local, name, value, accelerator):
    record = RECORD.format(local=local, name=name, value=value)
    assert read_torch_build(record) == TorchBuild(f"2.13.0{local}", accelerator)


def test_the_installed_build_is_found_without_importing_it():
    build = torch_build()
    assert build is not None
    assert build.version.partition("+")[0] == importlib.metadata.version("torch").partition("+")[0]


def test_every_gpu_has_memory():
    assert all(0 <= card.free <= card.memory for card in gpus())
