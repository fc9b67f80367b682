"""What keeps notes on this machine: private files, no telemetry, no network, no memory dumps.

The libraries read these variables when they are imported, so a script calls `protect_process` first. This module
imports the standard library alone.
"""

import os
import resource
from pathlib import Path

PRIVATE_UMASK = 0o077

# MLflow accepts the word `true` alone for DO_NOT_TRACK; huggingface_hub accepts it too.
NO_TELEMETRY = {
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_MODE": "disabled",
}

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

# The variables of OFFLINE that are ours and not the user's: a job that may download takes back those that the
# process which started it has set.
OURS = "CLINICAL_PEFT_OFFLINE"
TRUE = {"1", "ON", "YES", "TRUE"}

# Progress bars would fill a log with fragments of lines; MLflow looks for git where a node may have none.
QUIET = {
    "GIT_PYTHON_REFRESH": "quiet",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}


def protect_process(*, network: bool = False) -> int:
    """Make this process, and those that it starts, keep what they read to themselves.

    New files and folders are for their owner alone, a crash leaves no image of the memory on disk, no library
    reports its use, and the Hugging Face libraries read local files only.

    Args:
        network: Whether the Hugging Face libraries may download, for a job that fetches a base model. A user's
            own offline settings still hold; those of a parent process that called this function do not.

    Returns:
        The umask that the process had before.
    """
    umask = os.umask(PRIVATE_UMASK)
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard_limit))
    opt_out_of_telemetry()
    os.environ.update(QUIET)
    if network:
        for name in os.environ.pop(OURS, "").split():
            os.environ.pop(name, None)
        return umask
    ours = [name for name in OFFLINE if os.environ.get(name, "").upper() not in TRUE]
    os.environ.update({**OFFLINE, OURS: " ".join([os.environ.get(OURS, ""), *ours]).strip()})
    return umask


def keep_to_owner(folder: Path) -> bool:
    """Let nobody but its owner enter a folder, whatever mode it was made with; one that is missing is left missing.

    Args:
        folder: The folder.

    Returns:
        Whether it is closed to others now: not if it belongs to another user.
    """
    try:
        folder.chmod(0o700)
    except FileNotFoundError:
        return True
    except PermissionError:
        return not folder.stat().st_mode & 0o077
    return True


def opt_out_of_telemetry() -> None:
    """Set the variables that keep libraries from reporting their use."""
    os.environ.update(NO_TELEMETRY)
