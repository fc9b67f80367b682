"""Commands that run the tiny study on a test cluster, under the cluster profile."""

import re
import shutil
from pathlib import Path

import yaml
from slurm import snakemake_command
from workflow_run import REPOSITORY, Run

PROFILE = REPOSITORY / "profiles" / "slurm"
NO_GPU = [f"{rule}:gpu=0" for rule in ("train_base", "train_adapter", "pool_notes", "finetune_model")]
ADAPTER = "tiny-llama-lora"
PERPLEXITY = f"results/tiny/perplexity/{ADAPTER}.json"


def command_in(folder: Path, config: Path, *targets: str, resources: tuple[str, ...] = ()) -> list[str]:
    """Return the command that runs targets of a study in a folder; `resources` are like those of `--set-resources`."""
    return snakemake_command(
        *targets,
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)),
        *("--workflow-profile", str(PROFILE), "--slurm-partition-config", str(PROFILE / "partitions.yaml")),
        *("--set-resources", *NO_GPU, *resources),
        *("--configfile", str(config)),
    )


def submitted(output: str) -> list[str]:
    """Return SLURM's numbers of the jobs that a command submitted."""
    return re.findall(r"has been submitted with SLURM jobid (\d+)", output)


def without_adapter(tiny_run: Run, folder: Path) -> tuple[Path, Path]:
    """Copy the study without its adapter, which is to be trained in more steps; return its results and its config."""
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content["methods"]["lora"]["recipe"] = {"train_tokens": 150_000, "evaluations": 10, "checkpoint_seconds": 0}
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(content))
    results = folder / "results" / "tiny"
    shutil.copytree(tiny_run.results / "tiny", results)
    shutil.rmtree(results / "adapters" / ADAPTER)
    (results / "perplexity" / f"{ADAPTER}.json").unlink()
    return results, config
