"""Claims about several GPUs of one machine: they train as one does, and faster."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from gpu_setting import Claim, Finding, Setting, distance
from pretraining_case import FIRST_ID, LORA, SEED, SHAPES

from clinical_peft.models.adapters import read_adapter_tensors
from clinical_peft.recipes import Devices, LanguageRecipe, PretrainJob, Strategy
from clinical_peft.recipes.job_records import as_record
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.tokens.shards import tokenise
from clinical_peft.training.adapter_job import AdapterJob, train_adapter

STRATEGIES: tuple[Strategy, ...] = ("ddp", "fsdp2")
SALT = "claim"
# Of what an evaluation measures, and of the trained weights, by whether there is a GPU.
LOSS_WITHIN = {True: 1e-2, False: 1e-4}
WEIGHTS_WITHIN = {True: 5e-2, False: 1e-2}
SMALL_NOTES, NOTES = 300, 4000


def several(setting: Setting) -> Iterator[Finding]:
    """Train an adapter in one process and in several, on a GPU each, or at small size on the processor."""
    processes = torch.cuda.device_count() if setting.gpu else 2
    claims = {strategy: f"several processes ({strategy}) train as one does" for strategy in STRATEGIES}
    if processes < 2 or not (setting.gpu or setting.small):
        for claim in claims.values():
            yield Finding(claim, None, {"why": "needs two GPUs", "found": torch.cuda.device_count()})
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = setting.base(folder / "base", setting.precision)
        tokens = _tokens(setting, folder, base)
        alone = _train(setting, folder / "alone", base, tokens, Devices())
        for strategy, claim in claims.items():
            devices = Devices(processes=processes, strategy=strategy)
            found = _train(setting, folder / strategy, base, tokens, devices)
            losses = [[point["validation_perplexity"] for point in each["curve"]] for each in (found, alone)]
            apart = max(abs(np.log(mine) / np.log(other) - 1) for mine, other in zip(*losses, strict=True))
            weights = distance(found["weights"], alone["weights"])
            holds = apart < LOSS_WITHIN[setting.gpu] and weights < WEIGHTS_WITHIN[setting.gpu]
            speed = found["tokens_per_second"] / alone["tokens_per_second"]
            facts = {"processes": processes, "losses_differ_by": apart, "weights_differ_by": weights, "speedup": speed}
            yield Finding(claim, bool(holds), facts | {"peak_bytes": found["peak_memory_bytes"]})


def _tokens(setting: Setting, folder: Path, base: Path) -> Path:
    """Write notes of words that the base's tokenizer has, and tokenise them."""
    draw = np.random.default_rng(SEED)
    count, most = SMALL_NOTES if setting.small else NOTES, SHAPES[setting.middle].vocabulary
    notes = [draw.integers(FIRST_ID, most, draw.integers(8, setting.context)) for _ in range(count)]
    table = {
        "note_id": [f"note-{number}" for number in range(count)],
        "subject_id": list(range(count)),
        "text": [" ".join(f"w{word}" for word in note) for note in notes],
    }
    pq.write_table(pa.table(table), folder / "notes.parquet")
    tokenise(folder / "notes.parquet", base, folder / "tokens", context=setting.context, split_salt=SALT)
    return folder / "tokens"


def _train(setting: Setting, folder: Path, base: Path, tokens: Path, devices: Devices) -> dict[str, Any]:
    """Train an adapter, and return what its perplexity file holds and its weights."""
    recipe = LanguageRecipe(
        learning_rate=1e-3,
        context=setting.context,
        epochs=1,
        batch_tokens=32 * setting.context,
        micro_batch_tokens=4 * setting.context,
        evaluations=2,
        precision=setting.precision,
        checkpoint_seconds=1e9,
        devices=devices,
    )
    job = PretrainJob(
        adapter="claim",
        method=LORA,
        recipe=recipe,
        seed=SEED,
        split_salt=SALT,
        general_salt=SALT,
        switches=resolve_switches("corrected", {}),
    )
    train_adapter(
        AdapterJob(
            job=job,
            record=as_record(job),
            base=base,
            tokens=tokens,
            general=None,
            adapter=folder / "adapter",
            perplexity=folder / "perplexity.json",
            run_log=folder / "run.jsonl",
            work=folder / "work",
            log_file=folder / "job.log",
            folder=folder,
        )
    )
    found: dict[str, Any] = json.loads((folder / "perplexity.json").read_text())
    return found | {"weights": read_adapter_tensors(folder / "adapter")}


CLAIMS = (Claim("several GPUs", 90, several),)
