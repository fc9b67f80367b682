"""What the training of an adapter reads, checked before the first step, and the run that it makes."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json
from clinical_peft.models.base_folders import scored_tokens
from clinical_peft.models.bases import BaseIdentity, read_identity
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.families import find_family
from clinical_peft.recipes.job_records import read_record
from clinical_peft.runtime.events import RunLog
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.attention import layout_of
from clinical_peft.training.distributed import SINGLE_PROCESS, Workers
from clinical_peft.training.general_text import GeneralRows, RowsWithReplay, read_general_text
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.language_run import LanguageRun
from clinical_peft.training.perplexities import GENERAL_SPLIT


@dataclass(frozen=True, kw_only=True)
class LanguageInputs:
    """What the training of an adapter reads.

    Attributes:
        base: Base folder of a causal network.
        identity: What `base` holds.
        shards: Tokens of the corpus.
        general: Corpus of general text, or None.
        text: As much of `general` as is measured and replayed; None where there is none or none is wanted.
    """

    base: Path
    identity: BaseIdentity
    shards: TokenShards
    general: Path | None
    text: GeneralRows | None


def read_inputs(
    job: PretrainJob, *, base: Path, shards: TokenShards, general: Path | None, measured: int
) -> LanguageInputs:
    """Read and check the inputs of a job.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        base: Base folder.
        shards: Tokens of the corpus.
        general: Corpus of general text, or None.
        measured: Tokens of general text on which forgetting is measured, about.

    Raises:
        TrainingError: Base, tokens and recipe do not fit each other, or there is no general text to replay.
    """
    identity = read_identity(base)
    _require_fit(job, identity, shards, base)
    text = _general_text(job, general, base, shards, measured=measured)
    return LanguageInputs(base=Path(base), identity=identity, shards=shards, general=general, text=text)


def language_run(
    job: PretrainJob,
    inputs: LanguageInputs,
    network: PreTrainedModel,
    device: torch.device,
    *,
    work: Path,
    log: RunLog,
    workers: Workers = SINGLE_PROCESS,
    on_evaluation: Callable[[Sequence[Mapping[str, Any]]], None] = lambda curve: None,
) -> LanguageRun:
    """Describe the training of an adapter.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        inputs: From `read_inputs`.
        network: The base, loaded.
        device: Where it is.
        work: Folder for checkpoints.
        log: Where metrics are reported.
        workers: The processes that train together.
        on_evaluation: See `clinical_peft.training.loop.TrainingRun`.
    """
    shards, replayed = inputs.shards, inputs.text if job.recipe.replay else None
    decides: dict[str, Any] = {"job": read_record(job), "base": asdict(inputs.identity), "tokens": shards.summary}
    if replayed is not None:
        decides["replayed"] = replayed.fingerprint()
    loss = CausalLoss(
        shards.summary["pad_token_id"],
        device,
        packed=layout_of(network, job.recipe, job.method, device) == "packed",
        columns=scored_tokens(inputs.base, network),
    )
    return LanguageRun(
        title=f"adapter {job.adapter}",
        recipe=job.recipe,
        seed=job.seed,
        shards=shards if replayed is None else RowsWithReplay(shards, replayed),
        loss=loss,
        device=device,
        work=work,
        identity=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        log=log,
        salt=job.split_salt,
        switches=job.switches,
        rate_factor=job.method.rate_factor,
        workers=workers,
        on_evaluation=on_evaluation,
    )


def _general_text(
    job: PretrainJob, file: Path | None, base: Path, shards: TokenShards, *, measured: int
) -> GeneralRows | None:
    """Read as much general text as is measured and replayed; None where there is none or none is wanted."""
    recipe = job.recipe
    if recipe.replay and file is None:
        raise TrainingError(
            f"adapter {job.adapter}: replay is {recipe.replay}, but the study has no general text; set "
            "data.general_corpus, or replay to 0"
        )
    if file is None or not (measured or recipe.replay):
        return None
    clinical = shards.summary["splits"]["train"]["tokens"] * recipe.epochs
    clinical = min(clinical, recipe.train_tokens or clinical)
    replayed = math.ceil(clinical * recipe.replay / (1 - recipe.replay))
    wanted = {"train": replayed, GENERAL_SPLIT: measured}
    return read_general_text(file, base, context=recipe.context, salt=job.general_salt, wanted=wanted)


def _require_fit(job: PretrainJob, identity: BaseIdentity, shards: TokenShards, base: Path) -> None:
    if not find_family(identity.family).is_decoder:
        raise TrainingError(f"{base}: expected a causal base to pretrain an adapter, found family {identity.family}")
    summary = shards.summary
    vocabulary = read_json(Path(base) / "base.json")["vocabulary"]
    if summary["vocabulary"] != vocabulary:
        raise TrainingError(
            f"{shards.folder}: the tokens have a vocabulary of {summary['vocabulary']}, but the base in {base} has "
            f"{vocabulary}; tokenise the corpus with this base"
        )
    if summary["context"] > job.recipe.context:
        raise TrainingError(
            f"{shards.folder}: the tokens were cut at {summary['context']}, but the recipe's context is "
            f"{job.recipe.context}; tokenise the corpus again"
        )
