"""Base networks: building them, and loading them from a base folder.

A base folder holds a Hugging Face model (config.json, *.safetensors), its tokenizer (tokenizer.json) and base.json,
which says where the base comes from. Loading never reaches the network, runs no code from the folder and reads no
pickle.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
from transformers.utils import logging

from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json
from clinical_peft.models.checkpoint_files import PREPARE_AGAIN, check_weights, ignored_adapter
from clinical_peft.models.digests import weights_sha256
from clinical_peft.models.four_bit import four_bit_loading
from clinical_peft.models.pooling import POOLINGS
from clinical_peft.recipes import Precision, Shape
from clinical_peft.recipes.families import Family

# With nf4 the matrices are quantised when they are loaded; this is the type of everything else, and on disk.
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "nf4": torch.bfloat16}
HEAD_WEIGHTS = tuple(name for pooling in POOLINGS.values() for name in pooling.new_weights)

logging.disable_progress_bar()


@dataclass(frozen=True)
class BaseIdentity:
    """Which base a folder holds.

    Attributes:
        name: Hub id, or the folder's name for a base that is not on the Hub.
        revision: Commit of a Hub repository, or SHA-256 of the weights.
        family: Kind of network.
    """

    name: str
    revision: str
    family: Family


def read_identity(folder: Path) -> BaseIdentity:
    """Read a base folder's base.json.

    Raises:
        DataError: The file is missing or malformed.
    """
    record = read_json(Path(folder) / "base.json")
    return BaseIdentity(record["name"], record.get("revision") or record["sha256"], record["family"])


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the ids with which a network's configuration has to agree: padding, start and end of text."""
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return {key: value for key, value in ids.items() if value is not None}


def llama_config(shape: Shape, **special: int) -> LlamaConfig:
    """Return the configuration of a LLaMA network of a shape; `special` holds the ids of special tokens."""
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        initializer_range=initializer_range(shape),
        tie_word_embeddings=False,
        use_cache=False,
        **special,
    )


def initializer_range(shape: Shape) -> float:
    """Return the standard deviation of newly initialised weights.

    BERT and LLaMA use 0.02, which suits BERT's width of 768. The variance of a layer's output does not depend on the
    width if that of the weights is inversely proportional to it; a narrow network with 0.02 hardly learns in a short
    training.
    """
    return 0.02 * math.sqrt(768 / shape.hidden_size)


def build_causal(shape: Shape, *, seed: int, special: dict[str, int]) -> LlamaForCausalLM:
    """Build a LLaMA network with newly initialised weights.

    Args:
        shape: Dimensions; `shape.context` becomes the longest position.
        seed: Seed of the weights; PyTorch's global generator is left as it was.
        special: Ids of special tokens, from `special_ids`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(llama_config(shape, **special))


def build_encoder(shape: Shape, *, seed: int, special: dict[str, int]) -> BertForMaskedLM:
    """Build a BERT network with a masked-language-model head and newly initialised weights.

    Args:
        shape: Dimensions; `shape.context` becomes the longest position.
        seed: Seed of the weights; PyTorch's global generator is left as it was.
        special: Ids of special tokens, from `special_ids`.
    """
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        initializer_range=initializer_range(shape),
        # LLaMA has no dropout; without it on attention PyTorch's fused kernel is used.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        use_cache=False,
        **special,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForMaskedLM(config)


def load_causal(folder: Path, *, precision: Precision = "fp32") -> PreTrainedModel:
    """Load a base folder as a causal language model.

    Args:
        folder: Base folder.
        precision: Type of the weights.

    Raises:
        TrainingError: The folder has no safetensors weights, they are not those of its base.json, some are missing in
            them, or nf4 is not possible here.
    """
    _check_folder(folder)
    with quiet_transformers():
        model, info = AutoModelForCausalLM.from_pretrained(folder, **_loading(precision), **ignored_adapter(folder))
    require_weights(folder, info, new=())
    return model


def load_classifier(
    folder: Path,
    classes: int,
    *,
    seed: int,
    precision: Precision = "fp32",
    new: tuple[str, ...] = HEAD_WEIGHTS,
    **settings: Any,
) -> PreTrainedModel:
    """Load a base folder as a sequence classifier with a newly initialised head.

    Args:
        folder: Base folder.
        classes: Outputs of the head.
        seed: Seed of the head (and of a pooler that the base lacks); the global generator is left as it was.
        precision: Type of the weights.
        new: Prefixes of the weights that the folder may lack.
        **settings: Other settings of the network's configuration, for instance dropout rates.

    Raises:
        TrainingError: The folder has no safetensors weights, they are not those of its base.json, some of the base are
            missing in them, transformers has no classifier of its architecture, or nf4 is not possible here.
    """
    _check_folder(folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise TrainingError(
            f"{folder}: transformers has no classifier of architecture {config.model_type}; adapters can be trained on "
            "this base, a model cannot be fine-tuned: choose another base for it"
        )
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=classes, **_loading(precision), **ignored_adapter(folder), **settings
        )
    require_weights(folder, info, new=new)
    return model


def _loading(precision: Precision) -> dict[str, Any]:
    quantised = four_bit_loading() if precision == "nf4" else {}
    return quantised | {
        "dtype": DTYPES[precision],
        "local_files_only": True,
        "trust_remote_code": False,
        "use_safetensors": True,
        "use_cache": False,
        "output_loading_info": True,
    }


def _check_folder(folder: Path) -> None:
    if not any(Path(folder).glob("*.safetensors")):
        raise TrainingError(f"{folder}: expected weights as *.safetensors, found none; pickled weights are not read")
    check_weights(folder, remedy=PREPARE_AGAIN)
    if not (Path(folder) / "base.json").exists():
        return
    expected, found = read_json(Path(folder) / "base.json")["sha256"], weights_sha256(folder)
    if found != expected:
        raise TrainingError(
            f"{folder}: expected the weights of base.json, of SHA-256 {expected}, found {found}; {PREPARE_AGAIN}"
        )


def require_weights(
    folder: Path, info: dict[str, Any], *, new: tuple[str, ...], remedy: str = "prepare the base again"
) -> None:
    """Check that transformers found every weight of a network.

    Args:
        folder: Where the weights were read, for the message.
        info: What `from_pretrained(..., output_loading_info=True)` returned beside the network.
        new: Prefixes of the weights that may be newly initialised.
        remedy: What a user does about it.

    Raises:
        TrainingError: A weight is missing or has another shape.
    """
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(new))
    mismatched = sorted(str(key) for key in info["mismatched_keys"])
    if missing or mismatched:
        raise TrainingError(
            f"{folder}: {len(missing)} weights are missing and {len(mismatched)} have another shape, "
            f"for instance {(missing + mismatched)[0]}; {remedy}"
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' loading reports; what matters in them is checked and raised here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
