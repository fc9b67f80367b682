"""How many tokens a network has positions for."""

from torch import nn
from transformers import PreTrainedModel

POSITION_TABLES = {"position_embeddings", "position_embedding", "embed_positions", "wpe"}


def longest_sequence(model: PreTrainedModel) -> int | None:
    """Return how many tokens a network has positions for; None where positions have no end (ALiBi, recurrent networks).

    Tables of the RoBERTa kind keep their first rows, up to that of padding, for other ends: of 514 rows 512 are left.
    """
    config = model.config.get_text_config()
    stated = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    found = [value for value in stated if isinstance(value, int) and value > 0]
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] in POSITION_TABLES:
            kept = getattr(module, "offset", 0) if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - int(kept))
    return min(found, default=None)
