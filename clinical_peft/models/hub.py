"""Adapters to and from the Hugging Face Hub, only when a user asks for exactly that.

What leaves is three files: PEFT's configuration, the weights as safetensors, and the card. Nothing leaves without a
repository in the config, and weights trained on real notes need a second, explicit consent there.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_peft.errors import ConfigError, DataError
from clinical_peft.files import atomic_path, sha256_file

CARD = "README.md"
FILES = ("adapter_config.json", "adapter_model.safetensors")
DEFAULT_REVISION = "main"


@dataclass(frozen=True)
class Shipment:
    """What would leave for one adapter.

    Attributes:
        adapter: Name of the adapter.
        repository: Where to, or None where the config names none.
        files: By name in the repository, the file here.
    """

    adapter: str
    repository: str | None
    files: Mapping[str, Path]

    def listed(self) -> str:
        """The shipment in words: adapter, destination, files and sizes."""
        files = ", ".join(f"{name} ({path.stat().st_size:,} bytes)" for name, path in self.files.items())
        return f"{self.adapter} to {self.repository or 'no repository'}: {files}"


def repository_of(pattern: str | None, adapter: str) -> str | None:
    """The repository of an adapter: the pattern with the adapter's name in place of `{adapter}`."""
    return pattern.replace("{adapter}", adapter) if pattern else None


def plan_shipments(pattern: str | None, adapters: Mapping[str, Path], cards: Mapping[str, Path]) -> list[Shipment]:
    """List what would leave.

    Args:
        pattern: `hub.repository` of the config.
        adapters: Adapter folders, by name.
        cards: Cards, by name of the adapter.

    Raises:
        DataError: A folder lacks a file.
    """
    shipments = []
    for name, folder in adapters.items():
        files = {CARD: cards[name]} | {file: folder / file for file in FILES}
        for path in files.values():
            if not path.is_file():
                raise DataError(f"{path}: expected a file of the adapter {name}, found none; train it again")
        shipments.append(Shipment(name, repository_of(pattern, name), files))
    return shipments


def push_adapters(
    shipments: Sequence[Shipment],
    *,
    private: bool,
    synthetic: bool,
    share_derived_weights: bool,
    endpoint: str | None = None,
) -> list[dict[str, Any]]:
    """Send adapters to their repositories, which are created where they are missing.

    Args:
        shipments: What `plan_shipments` returned.
        private: Refuse a repository that others can read, and create new ones closed.
        synthetic: Whether the adapters were trained on synthetic notes.
        share_derived_weights: Whether the config says that weights of real notes may leave.
        endpoint: Another server than the Hub's.

    Returns:
        Per adapter: adapter, repository, commit, files (SHA-256 by name).

    Raises:
        ConfigError: The config does not allow it; the message names what would leave. Nothing was sent.
        DataError: A server refuses, or a repository is open to others.
    """
    destinations = _destinations(shipments, synthetic=synthetic, share_derived_weights=share_derived_weights)
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=endpoint)
    sent = []
    for repository, shipment in destinations.items():
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            if private and not api.model_info(repository).private:
                raise DataError(
                    f"{repository}: expected a private repository, found one that everybody can read; nothing "
                    "was sent to it. Make it private, or set hub.private to false"
                )
            operations = [CommitOperationAdd(name, str(path)) for name, path in shipment.files.items()]
            commit = api.create_commit(repository, operations, commit_message=f"Add {shipment.adapter}")
        except (HfHubHTTPError, OSError) as error:
            raise _refusal(repository, error) from None
        digests = {name: sha256_file(path) for name, path in shipment.files.items()}
        sent.append(
            {
                "adapter": shipment.adapter,
                "repository": repository,
                "commit": commit.oid,
                "files": digests,
            }
        )
    return sent


def _destinations(
    shipments: Sequence[Shipment], *, synthetic: bool, share_derived_weights: bool
) -> dict[str, Shipment]:
    """Shipments by repository, once the config allows them to leave."""
    listed = "; ".join(shipment.listed() for shipment in shipments)
    repositories = [shipment.repository for shipment in shipments if shipment.repository is not None]
    if len(repositories) < len(shipments):
        raise ConfigError(
            "config: hub.repository: expected owner/name, found none, so nothing was sent. With it, this would leave: "
            f"{listed}"
        )
    if len(set(repositories)) < len(repositories):
        raise ConfigError(
            f"config: hub.repository: {len(repositories)} adapters share {repositories[0]}; put {{adapter}} into "
            "the name"
        )
    if not synthetic and not share_derived_weights:
        raise ConfigError(
            "config: hub.share_derived_weights is false, so nothing was sent: the weights derive from real notes, "
            f"which their data use agreement keeps from others. With it, this would leave: {listed}"
        )
    return dict(zip(repositories, shipments, strict=True))


def pull_adapter(
    adapter: str, *, repository: str | None, revision: str | None, output: Path, endpoint: str | None = None
) -> dict[str, Any]:
    """Fetch an adapter's three files by revision.

    Args:
        adapter: Name of the adapter.
        repository: Where from.
        revision: Commit, tag or branch; None means `main`.
        output: Folder to write.
        endpoint: Another server than the Hub's.

    Returns:
        adapter, repository, commit (resolved), files (SHA-256 by name).

    Raises:
        ConfigError: No repository is configured.
        DataError: The server refuses, or a file is missing there or not whole; weights other than safetensors are
            never fetched.
        TrainingError: A tensor is empty, not finite, or zero where it cannot be after training.
    """
    if repository is None:
        raise ConfigError(f"config: hub.repository: expected owner/name to fetch {adapter} from, found none")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from clinical_peft.models.adapters import require_whole_adapter

    api = HfApi(endpoint=endpoint)
    try:
        found = api.model_info(repository, revision=revision or DEFAULT_REVISION)
        there = {file.rfilename for file in found.siblings or ()}
        missing = [name for name in (*FILES, CARD) if name not in there]
        if missing:
            raise DataError(f"{repository} at {found.sha}: expected an adapter, found no {', '.join(missing)}")
        with atomic_path(output) as folder:
            folder.mkdir(mode=0o700)
            for name in (*FILES, CARD):
                api.hf_hub_download(repository, name, revision=found.sha, local_dir=folder)
            # The Hub's library keeps its own records beside the files.
            shutil.rmtree(folder / ".cache", ignore_errors=True)
            require_whole_adapter(folder, where=f"{repository} at {found.sha}")
    except (HfHubHTTPError, OSError) as error:
        raise _refusal(repository, error) from None
    files = {name: sha256_file(output / name) for name in (*FILES, CARD)}
    return {"adapter": adapter, "repository": repository, "commit": found.sha, "files": files}


def _refusal(repository: str, error: Exception) -> DataError:
    response = getattr(error, "response", None)
    code = f" with status {response.status_code}" if response is not None else ""
    return DataError(
        f"{repository}: the Hub refused or could not be reached ({type(error).__name__}{code}); check the name, the "
        "token in HF_TOKEN and the network"
    )
