"""The conda environments as plain virtual environments: what they hold, and what scripts can import in them."""

import ast
import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from workflow_run import REPOSITORY

ENVS = REPOSITORY / "envs"

# Imports names in an isolated Python, in which nothing but its own packages and the checkout can be found.
IMPORTER = """
import importlib, json, sys
names, repository, prefix = json.load(sys.stdin)
sys.path[:0] = [repository, repository + "/workflow_scripts"]
for name, member in names:
    module = importlib.import_module(name)
    if member and not hasattr(module, member):
        importlib.import_module(f"{name}.{member}")
files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
packages = [file for file in files if "/site-packages/" in file]
print(json.dumps([len(packages), [file for file in packages if not file.startswith(prefix)]]))
"""


def lock_module() -> ModuleType:
    """`envs/lock.py`."""
    if "lock" not in sys.modules:
        spec = importlib.util.spec_from_file_location("lock", ENVS / "lock.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["lock"] = importlib.util.module_from_spec(spec)  # where its dataclasses look for it
        spec.loader.exec_module(sys.modules["lock"])
    return sys.modules["lock"]


def pip_list(name: str) -> list[str]:
    """What an environment's YAML gives pip: requirements with the hashes of their files."""
    dependencies = yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"]
    found: list[str] = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    return found


def post_deploy(name: str) -> Path | None:
    """The script that completes an environment, if there is one."""
    path = ENVS / f"{name}.post-deploy.sh"
    return path if path.exists() else None


def pins(name: str) -> dict[str, str]:
    """Version of each package in an environment, those of its post-deploy script included."""
    script = post_deploy(name)
    text = "\n".join([*pip_list(name), script.read_text() if script else ""])
    return dict(re.findall(r"(?m)^(?:python -m pip install )?([A-Za-z0-9._-]+)==(\S+)", text))


def scripts_by_environment() -> dict[str, list[Path]]:
    """Scripts of the rules of each environment."""
    found: dict[str, list[Path]] = {}
    for rules in sorted((REPOSITORY / "rules").glob("*.smk")):
        for block in re.split(r"(?m)^rule ", rules.read_text())[1:]:
            script = re.search(r"workflow_scripts/(\w+\.py)", block)
            if script:
                environment = re.search(r'conda:\s*"\.\./envs/(\w+)\.yaml"', block)
                assert environment, f"{script.group(1)} has no conda environment"
                found.setdefault(environment.group(1), []).append(REPOSITORY / "workflow_scripts" / script.group(1))
    return found


@cache
def imported_names(path: Path) -> frozenset[tuple[str, str]]:
    """Module, and member if any, of each absolute import in a file, anywhere in it, those for type checking apart."""
    tree = ast.parse(path.read_text())
    checking = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if node in checking:
            continue
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(node.module, alias.name) for alias in node.names}
    return frozenset(found)


def closure_of(scripts: Iterable[Path]) -> set[tuple[str, str]]:
    """Imports of scripts and of the library's modules that they import, directly or through others."""
    waiting, seen, found = list(scripts), set(), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name, member in imported_names(path):
            found.add((name, member))
            if name.partition(".")[0] == "clinical_peft":
                parts = [name, f"{name}.{member}"] if member else [name]
                files = [REPOSITORY / part.replace(".", "/") for part in parts]
                candidates = [
                    candidate for file in files for candidate in (file.with_suffix(".py"), file / "__init__.py")
                ]
                waiting += [candidate for candidate in candidates if candidate.exists()]
    return found


def import_closure(python: Path, scripts: Iterable[Path]) -> int:
    """Import what scripts need in an isolated Python; the number of modules of packages that came from its own folder.

    Args:
        python: Interpreter of a virtual environment.
        scripts: Scripts of the workflow.
    """
    prefix = f"{python.parent.parent}{os.sep}"
    given = json.dumps([sorted(closure_of(scripts)), str(REPOSITORY), prefix])
    done = subprocess.run(
        [python, "-I", "-c", IMPORTER], input=given, capture_output=True, text=True, check=False, cwd="/", timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count, others = json.loads(done.stdout.splitlines()[-1])
    assert others == []
    return int(count)


def linked_environment(folder: Path, versions: dict[str, str]) -> Path:
    """Make a virtual environment of packages that are installed here: links to the files that each one's record lists.

    Args:
        folder: Folder of the environment, which is made.
        versions: Version by package; what a build of torch brings beyond the lock comes with torch.

    Returns:
        Its interpreter.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    distributions = {name: distribution(name) for name in versions}
    assert {name: found.version.partition("+")[0] for name, found in distributions.items()} == versions
    if "torch" in versions:
        distributions |= libraries_of_torch()
    for found in distributions.values():
        for file in found.files or []:
            if ".." not in file.parts:
                link(Path(str(found.locate_file(file))), site_packages / file)
    return folder / "bin" / "python"


def link(source: Path, target: Path) -> None:
    """Link a file, or copy it where links do not reach. Two packages may share one; compiled ones may be missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        assert source.samefile(target), source
    except FileNotFoundError:
        assert source.suffix == ".pyc", source
    except OSError:
        shutil.copy2(source, target)


def libraries_of_torch() -> dict[str, Distribution]:
    """Installed packages that torch needs and the lock does not hold: the libraries of its accelerator."""
    locked, found = lock_module().locked_packages(), {}
    waiting = ["torch"]
    while waiting:
        for line in distribution(waiting.pop()).requires or []:
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            if (
                name in locked
                or name in found
                or (requirement.marker and not requirement.marker.evaluate({"extra": ""}))
            ):
                continue
            with contextlib.suppress(PackageNotFoundError):
                found[name] = distribution(name)
                waiting.append(name)
    return found
