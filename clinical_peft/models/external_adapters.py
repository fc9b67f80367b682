"""Bringing a clinical adapter that exists already into a study, in a folder that names the study's base."""

import logging
from pathlib import Path

from clinical_peft.errors import DataError, TrainingError
from clinical_peft.files import atomic_path, read_json, sha256_file, write_json
from clinical_peft.models.adapter_sources import check_adapter_folder, refuse_stated_base
from clinical_peft.models.adapters import load_adapter
from clinical_peft.models.bases import load_causal, read_identity
from clinical_peft.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS, copy_weights

ORIGIN = "origin.json"
CARD = """---
library_name: peft
base_model: {base}
---

# {name}

A clinical adapter that was trained elsewhere, for base {base} at revision {revision}. What notes it was trained on is
not known here, so no test patient can be found among them.
"""

logger = logging.getLogger(__name__)


def import_adapter(source: Path, output: Path, *, base: Path, name: str) -> None:
    """Check an adapter by loading it onto its base, and write its folder.

    Args:
        source: Folder of the adapter, as PEFT writes it; it is left as it is.
        output: Folder to write, whole or not at all. `origin.json` in it holds digests of what was imported.
        base: Base folder of the study.
        name: Name of the adapter in the study.

    Raises:
        DataError: A file is missing, damaged or of another form, or the adapter says that it is of another base.
        TrainingError: A tensor is missing, not finite, zero where it cannot be after training, or does not fit.
    """
    config, identity = check_adapter_folder(source), read_identity(base)
    stated = config.get("base_model_name_or_path")
    if refusal := refuse_stated_base(config, identity.name):
        raise DataError(f"adapters.{name}.path: {source}: {refusal}; correct base or path")
    if stated != identity.name:
        logger.info("adapter %s: its configuration names no base that could be compared with %s", name, identity.name)
    with atomic_path(output) as temporary:
        temporary.mkdir()
        copy_weights(source, temporary)
        of_base = {"base_model_name_or_path": identity.name, "revision": identity.revision, "inference_mode": True}
        write_json(temporary / ADAPTER_CONFIG, read_json(source / ADAPTER_CONFIG) | of_base)
        try:
            load_adapter(load_causal(base), temporary, base=identity)
        except TrainingError as error:  # which names the copy
            message = str(error).replace(str(temporary), str(source))
            raise TrainingError(f"adapters.{name}.path: {message}") from None
        digests = {file: sha256_file(source / file) for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)}
        write_json(temporary / ORIGIN, {"folder": source.name, "stated_base": stated, "sha256": digests})
        card = CARD.format(name=name, base=identity.name, revision=identity.revision)
        (temporary / "README.md").write_text(card, encoding="utf-8")
