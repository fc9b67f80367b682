"""Where a number comes from: code revision, versions, machine.

Versions and machine are those of the process that computes: a job writes them into its own run log. The process that
starts jobs, or that writes a report, may have other packages, or none.
"""

import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clinical_peft import __version__

Environment = Mapping[str, Mapping[str, Any]]
"""`versions` and `machine` of a job."""

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
MODULES = {"scikit-learn": "sklearn"}  # where a package is imported by another name
UNKNOWN = "unknown"
UNKNOWN_ENVIRONMENT: Environment = {
    "versions": dict.fromkeys(("python", "torch", "transformers", "peft"), UNKNOWN),
    "machine": {"processor": UNKNOWN},
}
"""What stands for a job whose run log does not say."""


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
    """Versions of Python, of this library and of the recorded packages that this process imports, or would import."""
    found = {name: _version(name) for name in RECORDED_PACKAGES}
    known = {name: version for name, version in found.items() if version is not None}
    return {"python": platform.python_version(), "clinical-peft": __version__, **known}


def _version(package: str) -> str | None:
    """The version of an imported module, or by the metadata beside the module that would be; None without one.

    Metadata elsewhere on the path belong to another environment: Snakemake appends its own path to that of a script.
    """
    name = MODULES.get(package, package)
    if (stated := getattr(sys.modules.get(name), "__version__", None)) is not None:
        return str(stated)
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    places = [] if spec is None else _places(spec)
    found = next(iter(Distribution.discover(name=package, path=places)), None) if places else None
    return None if found is None else found.version


def _places(spec: ModuleSpec) -> list[str]:
    """The folders that a module lies in; none for a folder of that name without a module in it."""
    return [str(Path(spec.origin).parent.parent)] if spec.origin and spec.has_location else []


def environment() -> dict[str, dict[str, Any]]:
    """Versions and machine of this process."""
    return {"versions": package_versions(), "machine": machine()}


def environments_of(events: Iterable[Mapping[str, Any]]) -> list[Environment]:
    """What a run log says of the processes that computed it, each different one once.

    Args:
        events: As `clinical_peft.runtime.events.read_events` returns them.

    Returns:
        The last process first, then those of an interrupted run that it continued; `UNKNOWN_ENVIRONMENT` for a log
        that does not say.
    """
    header: Mapping[str, Any] = {}
    for event in events:
        header = event if "run" in event else header
    stated = [header.get("system", {}), *reversed(header.get("systems_before", ()))]
    found: list[Environment] = []
    for one in stated:
        environment = {key: one.get(key, UNKNOWN_ENVIRONMENT[key]) for key in UNKNOWN_ENVIRONMENT}
        if environment not in found:
            found.append(environment)
    return found


def together(jobs: Iterable[Iterable[Environment]]) -> dict[str, dict[str, Any]]:
    """Versions and machines of several jobs; where they differ, each value has its number of jobs.

    Args:
        jobs: Of each job, what `environments_of` returned.

    Returns:
        `versions`, by package; `machine`, by property, or, where there are several, by number with the jobs of each.
    """
    listed = [list(found) for found in jobs]
    seen: dict[str, Counter[str]] = {}
    for found in listed:
        names = {name for one in found for name in one["versions"]}
        for name in sorted(names):
            values = {str(one["versions"].get(name, UNKNOWN)) for one in found}
            seen.setdefault(name, Counter()).update(values)
    machines = Counter(text for found in listed for text in {describe_machine(one["machine"]) for one in found})
    if len(machines) == 1:
        machine = dict(listed[0][0]["machine"])
    else:
        ordered = sorted(machines.items(), key=lambda item: (-item[1], item[0]))
        machine = {f"machine {place} ({_jobs(count)})": text for place, (text, count) in enumerate(ordered, start=1)}
    return {"versions": {name: _counted_values(counts) for name, counts in sorted(seen.items())}, "machine": machine}


def environment_tags(jobs: Iterable[Iterable[Environment]]) -> dict[str, str]:
    """Versions, by package, and machine as short strings; see `together`."""
    found = together(jobs)
    return {**found["versions"], "machine": describe_machines(found["machine"])}


def _counted_values(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({_jobs(count)})" for value, count in sorted(counts.items()))


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"


def describe_machines(machine: Mapping[str, Any]) -> str:
    """The machines of several jobs in one line; see `together`."""
    if "processor" in machine or not machine:
        return describe_machine(machine) or UNKNOWN
    return "; ".join(f"{name}: {text}" for name, text in machine.items())


def describe_machine(machine: Mapping[str, Any]) -> str:
    """A machine in one line."""
    cores, memory = machine.get("cores"), machine.get("memory_gib")
    parts = [
        machine.get("accelerators"),
        machine.get("processor"),
        None if cores is None else f"{cores} core{'' if cores == 1 else 's'}",
        None if memory is None else f"{memory} GiB of memory",
        machine.get("system"),
    ]
    return ", ".join(str(part) for part in parts if part)


def machine() -> dict[str, str | int]:
    """Processor, cores, memory, accelerators and operating system of this machine; no host or user name."""
    described: dict[str, str | int] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if sys.platform == "linux":
        described["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    if cards := _accelerators():
        described["accelerators"] = cards
    return described


def _accelerators() -> str:
    """NVIDIA's cards by the driver's word, which needs no library."""
    models: Counter[str] = Counter()
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        found = re.search(r"^Model:\s*(.+?)\s*$", file.read_text(encoding="utf-8"), re.MULTILINE)
        models[found[1] if found else "NVIDIA"] += 1
    return ", ".join(f"{count} × {name}" for name, count in sorted(models.items()))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
