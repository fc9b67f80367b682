"""One PEFT adapter out of a classifier's clinical and task adapters, by concatenating their ranks (`cat`).

Two LoRA adapters in one forward pass add s1 B1 A1 x + s2 B2 A2 x to what a weight gives. With A the rows of s1 A1 above
those of s2 A2 and B the columns of B1 beside those of B2, one adapter of scale 1 adds B A x, the same. PEFT's
`add_weighted_adapter(combination_type="cat")` does this in a network, but takes scale, rank stabilisation and head from
the first adapter's configuration; here they are each adapter's own. No base is loaded, so none can change.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path, read_json, write_json
from clinical_peft.methods import find_peft_method
from clinical_peft.models.adapters import is_of_vocabulary_layer, read_adapter_config, read_adapter_tensors
from clinical_peft.models.bases import BaseIdentity
from clinical_peft.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from clinical_peft.recipes.variants import CLINICAL, TASK

ROWS, COLUMNS = ".lora_A.weight", ".lora_B.weight"
# What a configuration says of where an adapter sits; a fused one names every place.
ANYWHERE = {"layers_to_transform": None, "layers_pattern": None, "exclude_modules": None}
CARD = """---
library_name: peft
base_model: {base}
---

# A clinical and a task adapter in one

Clinical and task adapter of a classifier with {classes} classes on base {base} at revision {revision}, fused by
concatenating their ranks, with the classification head.

The weights were trained on hospital notes and may reveal them: treat them as credentialed data.
"""


def fuse_adapters(folder: Path, output: Path) -> None:
    """Write a classifier's two adapters and its head as one PEFT folder, whose logits equal theirs within rounding.

    Args:
        folder: Folder of a classifier in which a clinical and a task adapter, both LoRA, are active.
        output: Folder to write, whole or not at all.

    Raises:
        TrainingError: The classifier has not two active adapters, or one is damaged or of a kind that does not add up.
    """
    folder = Path(folder)
    made = read_json(folder / "classifier.json")
    if made.get("active_adapters") != [CLINICAL, TASK]:
        raise TrainingError(
            f"{folder}: expected active adapters {CLINICAL} and {TASK}, found {made.get('active_adapters')}; there is "
            "nothing to fuse"
        )
    base = BaseIdentity(made["base"], made["revision"], made["family"])
    clinical, task = (_lora_record(folder / name, base) for name in (CLINICAL, TASK))
    first, second = (read_adapter_tensors(folder / name) for name in (CLINICAL, TASK))
    first = {key: value for key, value in first.items() if not is_of_vocabulary_layer(key)}
    rank = clinical["r"] + task["r"]
    fused = _concatenated([(first, _scale(clinical)), (second, _scale(task))], rank)
    head = {key: value for key, value in second.items() if key not in fused}
    places = {key.removeprefix("base_model.model.").rsplit(".lora_", 1)[0] for key in fused}
    one = {"r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "use_rslora": False, "target_modules": sorted(places)}
    with atomic_path(Path(output)) as temporary:
        temporary.mkdir()
        save_file(fused | head, temporary / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        write_json(temporary / ADAPTER_CONFIG, task | ANYWHERE | one)
        (temporary / "README.md").write_text(CARD.format(**made), encoding="utf-8")


def _lora_record(folder: Path, base: BaseIdentity) -> dict[str, Any]:
    """Read an adapter's configuration; refuse what is more than a sum of matrix products."""
    read_adapter_config(folder, base=base)
    record: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    more = [key for key in ("use_dora", "lora_bias", "rank_pattern", "alpha_pattern") if record.get(key)]
    method = find_peft_method(record["peft_type"])
    if method is None or not method.can.fuse or record.get("bias", "none") != "none" or more:
        raise TrainingError(
            f"{folder}: expected a LoRA adapter of one rank without bias, found {record['peft_type']} "
            f"{', '.join(more) or 'with bias'}; only LoRA adds up by its ranks"
        )
    return record


def _scale(record: dict[str, Any]) -> float:
    return float(record["lora_alpha"] / (math.sqrt(record["r"]) if record.get("use_rslora") else record["r"]))


def _concatenated(adapters: list[tuple[dict[str, Tensor], float]], rank: int) -> dict[str, Tensor]:
    """Concatenate scaled matrices by rank; where only one adapter changes a weight, zeros fill up the other's ranks."""
    fused: dict[str, Tensor] = {}
    for key in sorted({key for tensors, _ in adapters for key in tensors if key.endswith((ROWS, COLUMNS))}):
        dimension = 0 if key.endswith(ROWS) else 1
        found = [tensors[key] * (scale if dimension == 0 else 1.0) for tensors, scale in adapters if key in tensors]
        joined = torch.cat(found, dim=dimension)
        missing = list(joined.shape)
        missing[dimension] = rank - missing[dimension]
        fused[key] = torch.cat([joined, joined.new_zeros(missing)], dim=dimension)
    return fused
