"""Processes keep what they read to themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = """
import json
from clinical_peft.runtime.privacy import protect_process
protect_process(network={network})
from datasets import config
from huggingface_hub import constants
from mlflow.telemetry.utils import is_telemetry_disabled
import resource
print(json.dumps({{
    "mlflow_reports": not is_telemetry_disabled(),
    "hub_reports": not constants.HF_HUB_DISABLE_TELEMETRY,
    "hub_offline": constants.HF_HUB_OFFLINE,
    "datasets_offline": config.HF_DATASETS_OFFLINE,
    "core_bytes": resource.getrlimit(resource.RLIMIT_CORE)[0],
}}))
"""


def run(code: str, tmp_path: Path, **environment: str) -> str:
    """Run code in a process whose environment says nothing about CI, telemetry or being offline."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, text=True, capture_output=True, cwd=tmp_path, env=environment
    ).stdout


def test_libraries_neither_report_nor_download(tmp_path: Path):
    assert json.loads(run(LIBRARIES.format(network=False), tmp_path)) == {
        "mlflow_reports": False,
        "hub_reports": False,
        "hub_offline": True,
        "datasets_offline": True,
        "core_bytes": 0,
    }


def test_a_job_that_fetches_may_download_but_not_report(tmp_path: Path):
    seen = json.loads(run(LIBRARIES.format(network=True), tmp_path))
    assert not seen["hub_offline"]
    assert not seen["datasets_offline"]
    assert not seen["hub_reports"]
    assert not seen["mlflow_reports"]


@pytest.mark.parametrize(("environment", "offline"), [({}, "False"), ({"HF_HUB_OFFLINE": "TRUE"}, "True")])
def test_a_job_that_fetches_is_offline_only_when_its_user_is(environment: dict[str, str], offline: str, tmp_path: Path):
    child = (
        "from clinical_peft.runtime.privacy import protect_process as p; p(network=True)\n"
        "from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"
    )
    workflow = (
        "import subprocess, sys; from clinical_peft.runtime.privacy import protect_process as p; p(); p()\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    assert run(workflow, tmp_path, **environment).strip() == offline


def test_new_files_are_for_their_owner_alone(tmp_path: Path):
    code = (
        "from clinical_peft.runtime.privacy import protect_process as p; p(); open('a', 'w'); import os; os.mkdir('b')"
    )
    run(code, tmp_path)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o700]


def test_importing_the_frame_of_a_job_loads_no_library(tmp_path: Path):
    loaded = run("import sys, clinical_peft.runtime.jobs; print(*sys.modules)", tmp_path).split()
    assert "clinical_peft.runtime.privacy" in loaded
    assert not {"torch", "numpy", "pandas", "pyarrow", "transformers", "mlflow", "pydantic", "yaml"} & set(loaded)
