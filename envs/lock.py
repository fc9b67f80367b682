"""Write the lock of all dependencies, and the conda environments from it.

`python envs/lock.py lock` resolves pyproject.toml with pip-tools into envs/requirements.lock: exact versions with
hashes. torch is chosen by hand in envs/torch.lock, without a hash or a local version, since its builds differ by
platform and accelerator. `python envs/lock.py environments` writes envs/*.yaml from the lock: Python and pip come from
conda-forge, everything else, in the locked versions, from pip. The pins stand inside each YAML because a conda
environment's identity is the content of that file alone.
"""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
TORCH_LOCK = HERE / "torch.lock"
PYTHON = "3.11"
MODELLING = ["accelerate", "peft", "pyarrow", "safetensors", "tokenizers", "torch", "transformers"]
ENVIRONMENTS = {
    "data": ["isal", "numpy", "pandas", "pyarrow", "pydantic", "xxhash"],
    "train": [
        *MODELLING,
        "datasets",
        "fastokens",
        "gguf",
        "numpy",
        "nvidia-ml-py",
        "optuna",
        "pydantic",
        "scikit-learn",
    ],
    "report": [
        *("jinja2", "matplotlib", "numba", "numpy", "pandas", "pyarrow", "pydantic"),
        *("pyyaml", "safetensors", "scikit-learn", "umap-learn"),
    ],
    "track": ["mlflow", "pydantic"],
}
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\]+)", re.MULTILINE)


def write_lock() -> None:
    """Resolve pyproject.toml with its extras, under the chosen torch."""
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"]
    command += ["--strip-extras", "--no-emit-find-links", "--no-emit-index-url", "--no-emit-trusted-host"]
    command += ["--no-annotate", "--no-header", "--extra", "dev", "--extra", "gguf"]
    command += ["--constraint", str(TORCH_LOCK), "--output-file", str(LOCK)]
    subprocess.run([*command, "pyproject.toml"], cwd=HERE.parent, check=True)
    text = LOCK.read_text(encoding="utf-8")
    torch = re.compile(r"^torch==[^\n]*\n(?:    --hash=\S+(?: \\)?\n)*", re.MULTILINE)
    LOCK.write_text(torch.sub("", text), encoding="utf-8")


def locked_versions() -> dict[str, str]:
    """Return canonical package name -> version of both lock files."""
    text = LOCK.read_text(encoding="utf-8") + TORCH_LOCK.read_text(encoding="utf-8")
    return {canonicalize_name(pin["name"]): pin["version"] for pin in PIN.finditer(text)}


def closure(names: list[str], versions: dict[str, str]) -> list[str]:
    """Return the locked packages that `names` need, themselves included, sorted.

    Dependencies are read from the installed packages. What the lock does not hold is left out: the accelerator
    libraries of torch differ by platform, and torch pins them itself.
    """
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name not in versions:
            continue
        found.add(name)
        try:
            declared = requires(name) or []
        except PackageNotFoundError:
            declared = []
        for line in declared:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return sorted(found)


def environment(names: list[str]) -> str:
    """Return the YAML of a conda environment that holds `names` in the locked versions."""
    versions = locked_versions()
    pins = "".join(f"      - {name}=={versions[name]}\n" for name in closure(names, versions))
    return (
        "# Written by envs/lock.py from envs/requirements.lock; do not edit.\n"
        "channels:\n  - conda-forge\n"
        f"dependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n{pins}"
    )


def write_environments() -> None:
    """Write every environment's YAML."""
    for name, packages in ENVIRONMENTS.items():
        (HERE / f"{name}.yaml").write_text(environment(packages), encoding="utf-8")


if __name__ == "__main__":
    for step in sys.argv[1:] or ["lock", "environments"]:
        {"lock": write_lock, "environments": write_environments}[step]()
