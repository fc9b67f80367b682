"""The model card of a trained adapter: what it is, how it was trained, its perplexities, and how to load it."""

from collections.abc import Mapping
from typing import Any

from clinical_peft.models.bases import BaseIdentity
from clinical_peft.recipes import PretrainJob

ADAPTER_USE = """from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("path/to/base"), "path/to/this/folder")"""

NETWORK_USE = """from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")"""


ROWS_USE = """

The adapter changes the layers of the vocabulary, in which the base here has one row more than the network that it was
made from, for padding. To load the adapter onto that network, give it the row first:
`model.resize_token_embeddings({rows})`."""


def adapter_card(
    job: PretrainJob, identity: BaseIdentity, result: Mapping[str, Any], *, rows: int | None = None
) -> str:
    """Return the README.md of an adapter, or of a network that was trained whole.

    Args:
        job: What was trained, and how.
        identity: The base.
        result: Metrics as in the perplexity file; measured times are not shown, so that the card is reproducible.
        rows: See `clinical_peft.models.base_folders.rows_to_load_onto`.
    """
    whole = job.method.trains_every_weight
    kind = "All weights of the language model" if whole else "An adapter for the language model"
    return f"""---
base_model: {identity.name}
library_name: {"transformers" if whole else "peft"}
tags:
- clinical-peft
---

# {job.adapter}

{kind} `{identity.name}` (revision `{identity.revision}`), trained on the corpus
`{result["corpus"]}` with {method_name(job)} by next-token prediction.

It derives from the notes it was trained on: share it only as their data use agreement allows.

## Settings

{_settings(job, result)}

## Perplexity per token

| text | base | {"after training" if whole else "with this adapter"} |
|---|---|---|
{_perplexities(result)}

## Use

```python
{NETWORK_USE if whole else ADAPTER_USE}
```{"" if rows is None else ROWS_USE.format(rows=rows)}
"""


def method_name(job: PretrainJob) -> str:
    """Return the display label of a job's method."""
    name = job.method.title
    return f"{name} on a base in four bits (NF4)" if job.recipe.precision == "nf4" else name


def _settings(job: PretrainJob, result: Mapping[str, Any]) -> str:
    recipe, settings = job.recipe, sorted(job.method.record().keys() - {"type"})
    lines = [f"{key}: {getattr(job.method, key)}" for key in settings]
    lines += [
        f"optimizer: AdamW, learning rate {recipe.learning_rate}, weight decay {recipe.weight_decay}",
        f"context: {recipe.context} tokens",
        f"seed: {job.seed}",
        f"updates: {result['updates']}, of which the weights after {result['kept_update']} are kept",
        f"tokens trained on: {result['tokens']['trained_on']:,}"
        + (f", {recipe.replay:.0%} of them general text" if recipe.replay else ""),
        f"trainable parameters: {result['trainable_parameters']:,} of {result['total_parameters']:,}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _perplexities(result: Mapping[str, Any]) -> str:
    rows = {f"notes, {split}": value for split, value in result["perplexity"]["before"].items()}
    after = {f"notes, {split}": value for split, value in result["perplexity"]["after"].items()}
    if result["general"] is not None:
        name = f"general text ({result['general']['corpus']})"
        rows[name], after[name] = (result["general"]["perplexity"][when] for when in ("before", "after"))
    return "\n".join(f"| {name} | {value:.3f} | {after[name]:.3f} |" for name, value in rows.items())
