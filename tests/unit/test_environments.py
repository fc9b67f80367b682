"""The conda environments: written from the lock, and enough for the rules that use them."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ENVS = REPOSITORY / "envs"
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "huggingface_hub": "huggingface-hub",
    "umap": "umap-learn",
}


def lock_module():
    spec = importlib.util.spec_from_file_location("lock", ENVS / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(name: str) -> dict[str, str]:
    dependencies = yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"]
    lines = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    return dict(line.split("==") for line in lines)


def scripts_by_environment() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for rules in (REPOSITORY / "rules").glob("*.smk"):
        for block in re.split(r"(?m)^rule ", rules.read_text())[1:]:
            script = re.search(r"workflow_scripts/(\w+\.py)", block)
            if script:
                environment = re.search(r'conda:\s*"\.\./envs/(\w+)\.yaml"', block)
                assert environment, f"{script.group(1)} has no conda environment"
                found.setdefault(environment.group(1), []).append(REPOSITORY / "workflow_scripts" / script.group(1))
    return found


def imported_names(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, anywhere in it, those for type checking apart."""
    tree = ast.parse(path.read_text())
    checking = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in checking:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def third_party_imports(script: Path) -> set[str]:
    """Third-party packages that a script imports, directly or through the library."""
    waiting, seen, packages = [script], set(), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imported_names(path):
            top = name.partition(".")[0]
            if top == "clinical_peft":
                file = REPOSITORY / (name.replace(".", "/") + ".py")
                package = REPOSITORY / name.replace(".", "/") / "__init__.py"
                waiting += [candidate for candidate in (file, package) if candidate.exists()]
            elif top not in sys.stdlib_module_names and top != "script_entry":
                packages.add(DISTRIBUTIONS.get(top, top))
    return packages


@pytest.mark.parametrize("name", sorted(scripts_by_environment()))
def test_an_environment_covers_what_its_rules_import(name):
    for script in scripts_by_environment()[name]:
        assert third_party_imports(script) <= set(pins(name)), script.name


@pytest.mark.parametrize("name", sorted(path.stem for path in ENVS.glob("*.yaml")))
def test_an_environment_names_only_channels_that_exist(name):
    # `nodefaults` was once a word and is a channel's name to conda now, which answers "not found".
    assert yaml.safe_load((ENVS / f"{name}.yaml").read_text())["channels"] == ["conda-forge"]


def test_the_environment_that_trains_can_read_a_gpus_sensors():
    assert "nvidia-ml-py" in pins("train")
    assert importlib.util.find_spec("pynvml")


@pytest.mark.parametrize("name", sorted(path.stem for path in ENVS.glob("*.yaml")))
def test_an_environment_never_differs_from_the_lock(name):
    versions = lock_module().locked_versions()
    assert pins(name).items() <= versions.items()


def test_the_committed_environments_are_what_the_lock_gives():
    lock = lock_module()
    for name, packages in lock.ENVIRONMENTS.items():
        assert (ENVS / f"{name}.yaml").read_text() == lock.environment(packages), "run `make lock`"


def test_training_code_needs_only_what_a_gpu_node_has():
    allowed = {"torch", "transformers", "peft", "accelerate", "pyarrow", "numpy", "safetensors", "tokenizers"}
    training = [
        REPOSITORY / "clinical_peft/training" / f"{name}.py" for name in ("language", "classification", "launch")
    ]
    for script in (*training, REPOSITORY / "benchmarks/frozen_rows.py"):
        needed = third_party_imports(script)
        assert needed <= allowed, (script.name, needed - allowed)


def test_torch_is_locked_without_hash_or_local_version():
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+\n", (ENVS / "torch.lock").read_text())
    assert "torch==" not in (ENVS / "requirements.lock").read_text()
