"""Loading a checkpoint for import: the network below its head, the language model, or its text part."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from clinical_peft.errors import DataError
from clinical_peft.models.bases import DTYPES, quiet_transformers, require_weights
from clinical_peft.models.checkpoint_files import ignored_adapter
from clinical_peft.models.import_checks import require_architecture
from clinical_peft.recipes import Precision
from clinical_peft.recipes.families import Family, find_family

LOCAL = {"local_files_only": True, "trust_remote_code": False}

logger = logging.getLogger(__name__)


def load_network(folder: Path, family: Family, precision: Precision) -> PreTrainedModel:
    """Load a checkpoint's language model, or for an encoder the network below any head.

    Of a network that reads images too (Gemma 3, LLaVA, Mistral 3) the text part is taken, which gives the same logits
    for text.

    Args:
        folder: Checkpoint whose files have been checked.
        family: Kind of network.
        precision: Type of the weights.

    Raises:
        DataError: The architecture cannot be used or loaded, or weights are missing or of another shape.
    """
    config = _config(folder)
    require_architecture(str(folder), config, family)
    if not find_family(family).is_decoder:
        model, drawn = _load(AutoModel, folder, config, precision, new=("pooler.",))
        if drawn:
            # transformers has drawn a pooler at random. Left out here, every classifier draws its own by its seed.
            model.pooler = None
        return model
    model, _ = _load(_causal_class(config), folder, config, precision, new=())
    return _heed_ties(_text_part(model, str(folder)))


def load_source_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a checkpoint's tokenizer.

    Raises:
        DataError: There is none that transformers can read.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, **LOCAL)
    except Exception as error:  # each kind of file has errors of its own
        raise DataError(
            f"{folder}: expected a tokenizer, found none that transformers can read ({type(error).__name__}); save it "
            "as tokenizer.json"
        ) from error


def _config(folder: Path) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, **LOCAL)
    except Exception as error:  # an unknown architecture, code to run, values that contradict each other
        raise DataError(
            f"{folder / 'config.json'}: expected an architecture that the installed transformers knows without running "
            f"code from the folder, found another or a damaged file ({type(error).__name__}); choose another base"
        ) from error


def _causal_class(config: PretrainedConfig) -> Any:
    several_modes = config.get_text_config() is not config
    if several_modes and config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return AutoModelForImageTextToText
    return AutoModelForCausalLM


def _load(
    auto_class: Any, folder: Path, config: PretrainedConfig, precision: Precision, *, new: tuple[str, ...]
) -> tuple[PreTrainedModel, list[str]]:
    """Load a network; return it and the names of weights that transformers drew because the checkpoint has none."""
    options = {"dtype": DTYPES[precision], "use_safetensors": True, "output_loading_info": True}
    try:
        with quiet_transformers():
            model, info = auto_class.from_pretrained(
                folder, config=config, ignore_mismatched_sizes=True, **options, **LOCAL, **ignored_adapter(folder)
            )
    except Exception as error:  # each architecture has errors of its own
        raise DataError(
            f"{folder}: expected a network that the installed transformers can load, found architecture "
            f"{config.model_type}, which ends with {type(error).__name__}; choose another base"
        ) from error
    missing = set(info["missing_keys"])
    head = model.get_output_embeddings()
    drawn_head = [name for name, value in model.named_parameters() if head is not None and value is head.weight]
    if missing.intersection(drawn_head):
        raise DataError(
            f"{folder}: expected the language-model head {drawn_head[0]}, found none (config.json says "
            f"{', '.join(config.architectures or ['no architecture'])}); choose a checkpoint saved with its head"
        )
    require_weights(folder, info, new=new, remedy="choose another checkpoint")
    unused = sorted(info["unexpected_keys"])
    if unused:
        logger.warning(
            "%s: %d tensors belong to no layer of %s, such as %s", folder, len(unused), config.model_type, unused[0]
        )
    return model, sorted(key for key in missing if key.startswith(new)) if new else []


def _text_part(model: PreTrainedModel, where: str) -> PreTrainedModel:
    """Take the language model out of a network of several modes; a language model comes back as it is."""
    config = model.config.get_text_config()
    if config is model.config:
        return model
    with torch.device("meta"), quiet_transformers():
        text = AutoModelForCausalLM.from_config(config)
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    if type(decoder) is not type(text.get_decoder()) or head is None:
        raise DataError(
            f"{where}: expected a network of several modes whose text part can stand alone, found architecture "
            f"{model.config.model_type} with {type(decoder).__name__}; choose another base"
        )
    setattr(text, text.base_model_prefix, decoder)
    text.set_output_embeddings(head)
    text.generation_config = model.generation_config
    text.config.dtype = model.config.dtype
    left: list[nn.Parameter] = [value for value in text.parameters() if value.device.type == "meta"]
    if left:
        raise DataError(
            f"{where}: the text part of {model.config.model_type} has weights of its own; choose another base"
        )
    ids = torch.arange(1, 5)[None]
    with torch.no_grad():
        if not torch.equal(text.eval()(input_ids=ids).logits, model.eval()(input_ids=ids).logits):
            raise DataError(
                f"{where}: expected a network of several modes whose text part gives the same logits alone, found "
                f"architecture {model.config.model_type}; choose another base"
            )
    logger.info("%s: taking the text part of %s, %s", where, type(model).__name__, type(text).__name__)
    return text


def _heed_ties(model: PreTrainedModel) -> PreTrainedModel:
    """Let the configuration say whether head and embedding are one, as the weights do.

    A checkpoint may hold both with different values though its configuration ties them; transformers then loads both,
    and would overwrite the head when the embedding grows.
    """
    head = model.get_output_embeddings()
    if head is not None:
        model.config.tie_word_embeddings = head.weight is model.get_input_embeddings().weight
    return model
