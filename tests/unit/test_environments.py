"""The conda environments: written from the lock, and enough for the rules that use them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from plain_environments import (
    ENVS,
    closure_of,
    import_closure,
    linked_environment,
    lock_module,
    pins,
    pip_list,
    post_deploy,
    scripts_by_environment,
)
from workflow_run import REPOSITORY

NAMES = sorted(scripts_by_environment())
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "huggingface_hub": "huggingface-hub",
    "umap": "umap-learn",
}
LOCK = """\
accelerate==1.0 \\
    --hash=sha256:{0}
    # via
    #   -c envs/torch.lock
    #   clinical-peft (pyproject.toml)
nvidia-cublas==13.0 \\
    --hash=sha256:{0}
    # via
    #   nvidia-cudnn-cu13
    #   torch
nvidia-cudnn-cu13==9.1 \\
    --hash=sha256:{0}
    # via torch
nvidia-ml-py==13.6 \\
    --hash=sha256:{0}
    # via clinical-peft (pyproject.toml)
sympy==1.14 \\
    --hash=sha256:{0} \\
    --hash=sha256:{1}
    # via torch
torch==2.13.0 \\
    --hash=sha256:{0}
    # via
    #   -c envs/torch.lock
    #   accelerate
    #   clinical-peft (pyproject.toml)
""".format("0" * 64, "1" * 64)


def third_party_imports(script: Path) -> set[str]:
    """Third-party packages that a script imports, directly or through the library."""
    tops = {name.partition(".")[0] for name, _ in closure_of([script])}
    return {DISTRIBUTIONS.get(top, top) for top in tops - {*sys.stdlib_module_names, "clinical_peft", "script_entry"}}


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_covers_what_its_rules_import(name):
    for script in scripts_by_environment()[name]:
        assert third_party_imports(script) <= set(pins(name)), script.name


@pytest.mark.parametrize("name", NAMES)
def test_scripts_import_what_their_environment_holds(name, tmp_path):
    python = linked_environment(tmp_path / name, pins(name))
    assert import_closure(python, scripts_by_environment()[name]) > 500


def test_a_package_missing_from_an_environment_is_noticed(tmp_path):
    numpy_alone = {"numpy": pins("analysis")["numpy"]}
    python = linked_environment(tmp_path / "short", numpy_alone)
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        import_closure(python, [REPOSITORY / "workflow_scripts" / "extract_notes.py"])


def test_there_are_two_environments_and_rules_use_both():
    assert NAMES == sorted(path.stem for path in ENVS.glob("*.yaml")) == ["analysis", "train"]


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_names_only_channels_that_exist(name):
    # `nodefaults` was once a word and is a channel's name to conda now, which answers "not found".
    assert yaml.safe_load((ENVS / f"{name}.yaml").read_text())["channels"] == ["conda-forge"]


def test_the_environment_that_trains_can_read_a_gpus_sensors():
    assert "nvidia-ml-py" in pins("train")
    assert importlib.util.find_spec("pynvml")


def test_the_committed_environments_are_what_the_lock_gives():
    lock = lock_module()
    text = "".join(path.read_text() for name in NAMES for path in (ENVS / f"{name}.yaml", post_deploy(name)) if path)
    files = lock.environment_files(lock.with_hashes(lock.locked_packages(), set(HASH.findall(text))))
    assert len(files) == 3
    assert [path.name for path, content in files.items() if path.read_text() != content] == [], "run `make lock`"


@pytest.mark.parametrize("name", NAMES)
def test_every_package_but_torch_has_a_hash_of_the_lock(name):
    packages = lock_module().locked_packages()
    script = post_deploy(name)
    rest = script.read_text().replace("\\\n", " ").splitlines() if script else []
    lines = [*pip_list(name), *(line for line in rest if re.match(r"[a-z0-9-]+==", line))]
    assert {line.split("==")[0] for line in lines} == set(pins(name)) - {"torch"}
    for line in lines:
        assert HASH.findall(line), line
        assert set(HASH.findall(line)) <= set(packages[line.split("==")[0]].hashes)


def test_snakemake_keeps_little_of_an_environment_per_output():
    assert all((ENVS / f"{name}.yaml").stat().st_size < 20_000 for name in NAMES)


def test_a_lock_is_the_same_whatever_build_of_torch_is_at_hand():
    lock = lock_module()
    text = lock.without_builds(LOCK)
    packages = lock.parse(text)
    assert set(packages) == {"accelerate", "nvidia-ml-py", "sympy", "torch"}
    assert (packages["torch"].version, packages["torch"].hashes) == (None, ())
    assert packages["torch"].needed_by == {"accelerate", "clinical-peft"}
    assert packages["sympy"].pin == "sympy==1.14"
    assert len(packages["sympy"].hashes) == 2
    assert "torch.lock\n    # via\n    #   accelerate\n" in text
    assert lock.without_builds(text) == text


def test_torch_and_what_needs_it_follow_the_hashed_list():
    lock = lock_module()
    packages = lock.parse(lock.without_builds(LOCK))
    below, above = lock.divided(["accelerate", "nvidia-ml-py"], packages)
    assert [package.name for package in below] == ["nvidia-ml-py", "sympy"]
    assert [package.name for package in above] == ["accelerate"]
    assert lock.post_deploy(["nvidia-ml-py"], packages) is None
    script = lock.post_deploy(["accelerate"], packages)
    assert script.index("torch==") < script.index("accelerate==1.0")


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


def index_of(folder: Path, version: str) -> str:
    """A package index that has one torch."""
    wheel = folder / "torch" / f"torch-{version}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        about = f"torch-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>')
    return folder.as_uri()


def test_an_extra_index_gives_torch_the_build_of_a_driver(tmp_path):
    usual = index_of(tmp_path / "usual", "2.13.0")
    others = index_of(tmp_path / "others", "2.13.0+cu126")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    for extra, expected in (("", "2.13.0"), (others, "2.13.0+cu126")):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        given = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": usual, "PIP_EXTRA_INDEX_URL": extra}
        done = subprocess.run(
            [*command, "torch==2.13.0"], env={**kept, **given}, capture_output=True, text=True, check=True
        )
        (chosen,) = json.loads(done.stdout)["install"]
        assert chosen["metadata"]["version"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_pip_installs_an_environments_list(name, tmp_path, capsys):
    """As conda does it: its list as a file of requirements; then, as Snakemake does it, the post-deploy script."""
    folder = tmp_path / name
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("\n".join(pip_list(name)))
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    start = time.monotonic()
    subprocess.run([python, "-m", "pip", "install", "-U", "-r", requirements, "--exists-action=b"], check=True)
    if script := post_deploy(name):
        subprocess.run(["sh", shutil.copy(script, tmp_path)], env=environment, check=True)
    seconds = time.monotonic() - start
    subprocess.run([python, "-m", "pip", "check"], check=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    with capsys.disabled():
        print(f"\n{name}: {seconds:.0f} s, {size / 1e9:.2f} GB")
    assert import_closure(python, scripts_by_environment()[name]) > 500
