"""The training of an adapter after an interruption."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from language_fixtures import ADALORA, LORA, adapter_bytes, job, run

from clinical_peft.runtime.events import NullLog


class Killer(NullLog):
    """A run log that ends the process at an evaluation."""

    def __init__(self, step):
        self.step = step

    def metrics(self, values, step=None):
        if step is not None and step >= self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_a_killed_run_goes_on_to_the_same_bytes(method, base, tokens, tmp_path):
    this_job = job({"lora": LORA, "adalora": ADALORA}[method], evaluations=5)
    whole = run(tmp_path / "whole", base, tokens, this_job)
    often = replace(this_job, recipe=replace(this_job.recipe, checkpoint_seconds=0.0))
    killed = subprocess.run(
        [sys.executable, __file__, method, str(base), str(tokens), str(tmp_path / "killed")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "support")},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "killed" / "adapter").exists()
    steps = []

    class Steps(NullLog):
        def metrics(self, values, step=None):
            steps.append(step)

    resumed = run(tmp_path / "killed", base, tokens, often, Steps())
    assert min(step for step in steps if step) > whole["curve"][0]["step"]
    for name, content in adapter_bytes(tmp_path / "whole").items():
        assert adapter_bytes(tmp_path / "killed")[name] == content
    assert resumed["curve"] == whole["curve"]
    assert resumed["perplexity"] == whole["perplexity"]


def test_a_checkpoint_of_another_recipe_is_not_resumed(base, tokens, tmp_path):
    class Stop(NullLog):
        def metrics(self, values, step=None):
            if step is not None and step >= 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", base, tokens, job(checkpoint_seconds=0.0, evaluations=8), Stop())
    assert (tmp_path / "a" / "work" / "checkpoint.safetensors").exists()
    run(tmp_path / "a", base, tokens, job(learning_rate=2e-2))
    run(tmp_path / "b", base, tokens, job(learning_rate=2e-2))
    assert adapter_bytes(tmp_path / "a") == adapter_bytes(tmp_path / "b")


if __name__ == "__main__":
    # The process that test_a_killed_run_goes_on_to_the_same_bytes kills.
    kind, base_folder, tokens_folder, output_folder = sys.argv[1:]
    method = {"lora": LORA, "adalora": ADALORA}[kind]
    killed_job = job(method, evaluations=5, checkpoint_seconds=0.0)
    run(Path(output_folder), Path(base_folder), Path(tokens_folder), killed_job, Killer(step=8))
