"""Write the lock of all dependencies, and the conda environments from it.

`python envs/lock.py` does both. First it resolves pyproject.toml with pip-tools into envs/requirements.lock: exact
versions with hashes, and who needs each package. torch is chosen by hand in envs/torch.lock, without a hash or a local
version, since its builds differ by platform and accelerator. Then it writes envs/*.yaml from the lock: Python and pip
come from conda-forge, everything else, in the locked versions, from pip. The pins stand inside each YAML because a
conda environment's identity is the content of that file and of its post-deploy script. Snakemake keeps the YAML with
every output, so that it has the hashes of the wheels of three platforms alone.

pip takes either a hash for every package of a list or for none. So torch, and what needs it, are not in the list of
their environment. Its post-deploy script installs them, as `make install` does.
"""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
TORCH_LOCK = HERE / "torch.lock"
PYTHON = "3.11"
ENVIRONMENTS = {
    "train": [
        *("accelerate", "datasets", "fastokens", "gguf", "numpy", "nvidia-ml-py", "optuna", "peft", "pyarrow"),
        *("pydantic", "safetensors", "scikit-learn", "tokenizers", "torch", "transformers"),
    ],
    "analysis": [
        *("isal", "jinja2", "matplotlib", "mlflow", "numba", "numpy", "pandas", "pyarrow", "pydantic"),
        *("pyyaml", "safetensors", "scikit-learn", "umap-learn", "xxhash"),
    ],
}
# pip's names of the platforms whose wheels have their hashes in the environments.
PLATFORMS = (
    *(tuple(f"manylinux_2_{glibc}_{machine}" for glibc in (28, 27, 17)) for machine in ("x86_64", "aarch64")),
    ("macosx_14_0_arm64",),
)
# Libraries that one build of torch brings and another does not.
ACCELERATOR = re.compile(r"cuda-|nvidia-|triton$")
BLOCK = re.compile(r"^(?:[A-Za-z0-9._-]+==|# torch\b)[^\n]*\n(?:[ \t]+[^\n]*\n)*", re.MULTILINE)
HEAD = re.compile(r"(?:# )?(?P<name>[A-Za-z0-9._-]+)(?:==(?P<version>[^\s\\]+))?")
HASH = re.compile(r"--hash=\S+")
NEEDED_BY = re.compile(r"^ +# +(?:via +)?(?!-c |via$)([A-Za-z0-9._-]+)", re.MULTILINE)
CONSTRAINT = re.compile(r"^ +# +-c .*\n", re.MULTILINE)
TORCH_LINE = "# torch: its version is in torch.lock"


@dataclass(frozen=True)
class Package:
    """A locked package.

    Attributes:
        name: Canonical name.
        version: Version; None for torch, whose version another file has.
        hashes: pip's options, one for each file that may be installed.
        needed_by: Canonical names of packages that require it.
        text: Its lines in the lock.
    """

    name: str
    version: str | None
    hashes: tuple[str, ...]
    needed_by: frozenset[str]
    text: str

    @property
    def pin(self) -> str:
        """Its requirement."""
        return f"{self.name}=={self.version}"


def compile_lock() -> None:
    """Resolve pyproject.toml with its extras, under the chosen torch; versions change where they must."""
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"]
    command += ["--strip-extras", "--no-emit-find-links", "--no-emit-index-url", "--no-emit-trusted-host"]
    command += ["--no-header", "--extra", "dev", "--extra", "gguf"]
    # Names relative to the checkout: they come into the lock.
    command += ["--constraint", str(TORCH_LOCK.relative_to(HERE.parent)), "--output-file", str(LOCK)]
    subprocess.run([*command, "pyproject.toml"], cwd=HERE.parent, check=True)
    LOCK.write_text(without_builds(LOCK.read_text(encoding="utf-8")), encoding="utf-8")


def without_builds(text: str) -> str:
    """Return a lock without what depends on the build of torch: version, hashes, libraries of its accelerator.

    Args:
        text: The lock as pip-tools writes it.
    """
    text = CONSTRAINT.sub("", text)
    packages = parse(text)
    dropped = {"torch"}
    while found := {
        package.name
        for package in packages.values()
        if package.needed_by <= dropped and ACCELERATOR.match(package.name) and package.name not in dropped
    }:
        dropped |= found
    for package in packages.values():
        if package.name == "torch":
            needed_by = re.sub(r"\A[^\n]*\n(?: +--hash[^\n]*\n)*", f"{TORCH_LINE}\n", package.text)
            text = text.replace(package.text, needed_by)
        elif package.name in dropped:
            text = text.replace(package.text, "")
    return text


def parse(text: str) -> dict[str, Package]:
    """Return the packages of a lock by their canonical names."""
    found = {}
    for block in BLOCK.findall(text):
        head = HEAD.match(block)
        assert head is not None
        name = canonicalize_name(head["name"])
        needed_by = frozenset(map(canonicalize_name, NEEDED_BY.findall(block)))
        found[name] = Package(name, head["version"], tuple(HASH.findall(block)), needed_by, block)
    return found


def locked_packages() -> dict[str, Package]:
    """Return the packages of the committed lock."""
    return parse(LOCK.read_text(encoding="utf-8"))


def wheel_hashes(pins: Collection[Package]) -> set[str]:
    """Ask pip which wheel of each package it would install on each of PLATFORMS; return their hashes as its options.

    Args:
        pins: Packages to ask about; what needs torch, and torch, included or not.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON]
    command += [f"--abi={abi}" for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")]
    command += ["--target", "unused", "--report", "-", "--requirement", "/dev/stdin"]
    lines = "".join(" ".join([package.pin, *package.hashes]) + "\n" for package in pins)
    found = set()
    for names in PLATFORMS:
        asked = [*command, *(f"--platform={name}" for name in names)]
        done = subprocess.run(asked, input=lines, text=True, stdout=subprocess.PIPE, check=True)
        archives = [wheel["download_info"]["archive_info"] for wheel in json.loads(done.stdout)["install"]]
        found |= {f"--hash=sha256:{archive['hashes']['sha256']}" for archive in archives}
    return found


def with_hashes(packages: Mapping[str, Package], hashes: Collection[str]) -> dict[str, Package]:
    """Return packages with those of their hashes that are among some."""
    return {
        name: replace(package, hashes=tuple(option for option in package.hashes if option in hashes))
        for name, package in packages.items()
    }


def torch_pin() -> str:
    """Return the requirement of torch."""
    return TORCH_LOCK.read_text(encoding="utf-8").strip()


def closure(names: list[str], packages: Mapping[str, Package], *, dependents: bool = False) -> set[str]:
    """Return some packages and all that they need; with `dependents`, and all that need them.

    Args:
        names: Canonical names.
        packages: Locked packages by name.
        dependents: Whether to go from a package to those that need it.
    """
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if dependents:
            waiting += packages[name].needed_by & packages.keys()
        else:
            waiting += [other.name for other in packages.values() if name in other.needed_by]
    return found


def divided(names: list[str], packages: Mapping[str, Package]) -> tuple[list[Package], list[Package]]:
    """Return what an environment holds: packages that do without torch, and those that need it, torch itself apart."""
    needed = closure(names, packages)
    above_torch = closure(["torch"], packages, dependents=True)
    return (
        [packages[name] for name in sorted(needed - above_torch)],
        [packages[name] for name in sorted((needed & above_torch) - {"torch"})],
    )


def environment(names: list[str], packages: Mapping[str, Package]) -> str:
    """Return the YAML of a conda environment that holds some packages and what they need, those above torch apart."""
    pins = ""
    for package in divided(names, packages)[0]:
        pins += "".join([f"      - {package.pin}\n", *(f"        {option}\n" for option in package.hashes)])
    return (
        "# Written by envs/lock.py from envs/requirements.lock; do not edit.\n"
        "channels:\n  - conda-forge\n"
        f"dependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n{pins}"
    )


def post_deploy(names: list[str], packages: Mapping[str, Package]) -> str | None:
    """Return the script that completes a conda environment with torch and what needs it; None where nothing does."""
    above_torch = divided(names, packages)[1]
    if not above_torch:
        return None
    pins = "".join(" \\\n    ".join([package.pin, *package.hashes]) + "\n" for package in above_torch)
    return (
        "#!/bin/sh\n"
        "# Written by envs/lock.py from envs/requirements.lock and envs/torch.lock; do not edit.\n"
        "# Snakemake runs it in the environment that it has made. pip takes the build of torch that it finds newest;\n"
        "# PIP_EXTRA_INDEX_URL names an index with others.\n"
        "set -eu\n"
        f"python -m pip install {torch_pin()}\n"
        f"python -m pip install --no-deps --require-hashes --requirement /dev/stdin <<'PINS'\n{pins}PINS\n"
    )


def environment_files(packages: Mapping[str, Package]) -> dict[Path, str]:
    """Return the files of every environment with their content.

    Args:
        packages: Locked packages by name, with the hashes that the files shall have.
    """
    found = {}
    for name, names in ENVIRONMENTS.items():
        found[HERE / f"{name}.yaml"] = environment(names, packages)
        script = post_deploy(names, packages)
        if script is not None:
            found[HERE / f"{name}.post-deploy.sh"] = script
    return found


if __name__ == "__main__":
    compile_lock()
    locked = locked_packages()
    used = closure([name for names in ENVIRONMENTS.values() for name in names], locked) - {"torch"}
    hashes = wheel_hashes([locked[name] for name in sorted(used)])
    for path, content in environment_files(with_hashes(locked, hashes)).items():
        path.write_text(content, encoding="utf-8")
