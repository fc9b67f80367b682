"""PEFT's fields of the methods that studies can name, with their kinds and defaults.

It is kept in `peft_fields.json`, which is read in PEFT's place where a study is checked, since PEFT imports torch.
`clinical_peft.models.peft_fields` writes it, and a test compares it with the installed PEFT.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).with_name("peft_fields.json")
BY_WORKFLOW = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_type",
    "peft_version",
    "revision",
    "task_type",
}
"""Fields of every configuration, which the workflow or PEFT itself fills in."""


@cache
def peft_fields() -> Mapping[str, Any]:
    """Return the snapshot: `peft` is the version, `methods` holds each method by PEFT's name in lower case.

    A method has `config` (the class of its configuration), `prefix` (of the names of its tensors, or null) and
    `fields`, each with `kind` and `default`.
    """
    found: Mapping[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return found
