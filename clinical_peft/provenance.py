"""Where a number comes from: code revision, versions, machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clinical_peft import __version__

RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "datasets",
    "pyarrow",
    "numpy",
    "pandas",
    "scikit-learn",
    "numba",
    "snakemake",
    "mlflow",
)


def git_revision(folder: Path) -> str:
    """Commit of the checkout that `folder` belongs to, with `-dirty` when tracked files differ; else `unknown`.

    An unpacked archive may lie inside a repository of something else, whose commit says nothing about this code: a
    folder of which no file is tracked has no revision.
    """
    try:
        tracked = _git(folder, "ls-files", "--", ".")
        described = _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else ""
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described or "unknown"


def _git(folder: Path, *arguments: str) -> str:
    # Git refuses repositories of other users, whose settings could run programs; this one's programs run already.
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def package_versions() -> dict[str, str]:
    """Versions of Python, of this library and of the recorded packages that are installed."""
    versions = {"python": platform.python_version(), "clinical-peft": __version__}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def machine() -> dict[str, str | int]:
    """Processor, cores, memory and operating system of this machine; no host or user name."""
    described: dict[str, str | int] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if sys.platform == "linux":
        described["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return described


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
