"""Preparing base folders from pretrained networks: a local folder, a GGUF file, the Hugging Face Hub.

Before a base folder takes its place, its files, architecture, head, positions and tokenizer are checked, a few tokens
pass through the network, and the written folder is loaded again and must give the same.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from clinical_peft.errors import DataError
from clinical_peft.models.base_folders import write_base
from clinical_peft.models.bases import DTYPES, load_causal, load_classifier, quiet_transformers
from clinical_peft.models.checkpoint_files import (
    check_checkpoint,
    ignored_adapter,
    require_safetensors,
)
from clinical_peft.models.gguf_files import require_whole_gguf
from clinical_peft.models.import_checks import (
    agree,
    probe,
    probe_ids,
    require_architecture,
    require_finite,
    require_positions_for,
    require_tokenizer,
)
from clinical_peft.models.text_networks import load_network, load_source_tokenizer
from clinical_peft.recipes import Precision
from clinical_peft.recipes.families import Family, find_family

__all__ = [
    "prepare_gguf_base",
    "prepare_hub_base",
    "prepare_local_base",
    "require_safetensors",
    "write_base",
]

HUB_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)


def prepare_local_base(
    folder: Path,
    output: Path,
    *,
    name: str,
    family: Family,
    source: str | None = None,
    precision: Precision = "fp32",
    context: int | None = None,
) -> dict[str, Any]:
    """Prepare a base from a Hugging Face folder on this machine.

    Args:
        folder: Holds config.json, *.safetensors and a tokenizer.
        output: Base folder to write, whole or not at all.
        name: Name of the base in the study.
        family: `causal` keeps the language-model head; `encoder` keeps the network below any head.
        source: Where the weights come from, for the record; the folder's name by default.
        precision: Type in which the weights are stored.
        context: Most tokens that the study reads at once; None if unknown.

    Returns:
        The record that is also written to base.json.

    Raises:
        DataError: There is no such folder, or it holds what cannot be a base of this family: pickled, quantised or
            damaged weights, another architecture, no head, too few positions, a tokenizer of another network.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of a base, found none")
    record = {"name": name, "family": family, "source": source or folder.name, "note": ""}
    return _prepare_folder(folder, output, record, family, precision, context)


def prepare_gguf_base(
    file: Path,
    output: Path,
    *,
    name: str,
    source: str | None = None,
    precision: Precision = "fp32",
    context: int | None = None,
) -> dict[str, Any]:
    """Prepare a causal base from a GGUF file, its quantised weights converted to plain tensors.

    Args:
        file: GGUF file with weights and tokenizer.
        output: Base folder to write, whole or not at all.
        name: Name of the base in the study.
        source: Where the file comes from, for the record; the file's name by default.
        precision: Type in which the weights are stored; float32 keeps the quantised values exactly.
        context: Most tokens that the study reads at once; None if unknown.

    Returns:
        The record that is also written to base.json.

    Raises:
        DataError: The file does not exist, is not whole or holds what cannot be a causal base, or the package `gguf`
            is missing.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError(f"{file}: expected a GGUF file, found none")
    if importlib.util.find_spec("gguf") is None:
        raise DataError("reading a GGUF file needs the package gguf; run `pip install gguf`")
    require_whole_gguf(file)
    options = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(
                file.parent, dtype=DTYPES[precision], **options, **ignored_adapter(file.parent)
            )
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
    except Exception as error:  # each architecture has errors of its own
        raise DataError(
            f"{file}: expected a network that the installed transformers can read from GGUF, found one that ends with "
            f"{type(error).__name__}; use its safetensors repository"
        ) from error
    require_architecture(str(file), model.config, "causal")
    record = {
        "name": name,
        "family": "causal",
        "source": source or file.name,
        "note": f"weights of {file.name} dequantised to {precision}",
    }
    return _write(_forget_quantisation(model), tokenizer, output, record, str(file), precision, context)


def prepare_hub_base(
    repository: str,
    revision: str,
    output: Path,
    *,
    family: Family,
    precision: Precision = "fp32",
    context: int | None = None,
) -> dict[str, Any]:
    """Download a base from the Hugging Face Hub: safetensors, configuration and tokenizer, nothing that runs.

    Args:
        repository: Hub id, for instance `BioMistral/BioMistral-7B`.
        revision: Commit, tag or branch; the commit that it stands for is recorded.
        output: Base folder to write, whole or not at all.
        family: `causal` keeps the language-model head; `encoder` keeps the network below any head.
        precision: Type in which the weights are stored.
        context: Most tokens that the study reads at once; None if unknown.

    Returns:
        The record that is also written to base.json.

    Raises:
        DataError: The repository publishes what cannot be a base of this family; see `prepare_local_base`.
    """
    info = HfApi().model_info(repository, revision=revision)
    require_safetensors([file.rfilename for file in info.siblings or []], where=f"{repository} at {revision}")
    folder = Path(snapshot_download(repository, revision=info.sha, allow_patterns=list(HUB_FILES)))
    record = {
        "name": repository,
        "family": family,
        "source": f"https://huggingface.co/{repository}",
        "revision": info.sha,
        "note": "",
    }
    return _prepare_folder(folder, output, record, family, precision, context)


def _prepare_folder(
    folder: Path,
    output: Path,
    record: Mapping[str, Any],
    family: Family,
    precision: Precision,
    context: int | None,
) -> dict[str, Any]:
    check_checkpoint(folder)
    tokenizer = load_source_tokenizer(folder)
    model = load_network(folder, family, precision)
    return _write(model, tokenizer, output, record, str(folder), precision, context)


def _write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    output: Path,
    record: Mapping[str, Any],
    where: str,
    precision: Precision,
    context: int | None,
) -> dict[str, Any]:
    """Check a network, write it as a base folder, and check that the folder gives the same."""
    family: Family = record["family"]
    require_tokenizer(where, model, tokenizer)
    require_positions_for(where, model, context)
    require_finite(where, model)
    ids = probe_ids(model, tokenizer)
    expected = probe(where, model, ids, family)

    def check(folder: Path) -> None:
        model.to("meta")  # so that memory holds one network
        try:
            if find_family(family).is_decoder:
                again = load_causal(folder, precision=precision)
            else:
                again = load_classifier(folder, 2, seed=0, precision=precision).base_model
        except Exception as error:  # each architecture has errors of its own
            raise _written_otherwise(where, model, f"a folder that ends with {type(error).__name__}") from error
        found = probe(where, again, ids, family)[..., : expected.shape[-1]]
        if not agree(expected.to(again.dtype), found):
            raise _written_otherwise(where, model, "other values")

    return write_base(model, tokenizer, output, record, check=check)


def _written_otherwise(where: str, model: PreTrainedModel, found: str) -> DataError:
    return DataError(
        f"{where}: expected the written base to give the same as the checkpoint, found {found}; the installed "
        f"transformers cannot read back what it writes of {type(model).__name__} with a padding token of its own: "
        "choose another base"
    )


def _forget_quantisation(model: PreTrainedModel) -> PreTrainedModel:
    # A network read from GGUF has plain tensors, but transformers refuses to save it while it remembers the file.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model
