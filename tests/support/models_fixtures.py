"""Tiny random bases, clinical adapters and cohorts on which fine-tuning runs in a second."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import AdaLoraConfig, AdaptionPromptConfig, LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForPreTraining, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from clinical_peft.files import sha256_file, write_json
from clinical_peft.methods.lora import Lora
from clinical_peft.models.adapters import save_adapter
from clinical_peft.models.bases import read_identity
from clinical_peft.recipes import FinetuneJob, FinetuneRecipe
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.runtime.events import NullLog, RunLog
from clinical_peft.training.classification import NetworkTask, prepare
from clinical_peft.training.finetuning import finetune
from clinical_peft.training.task_data import TaskInputs

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
WORDS = [f"word{number}" for number in range(190)] + ["septic", "stable"]
CONTEXT = 24
TASKS = ["mortality", "los", "diagnoses"]
CODES = ["401", "428", "584", "V58", "never"]

TASK_LORA = Lora(r=4, alpha=8)
ENCODER_LORA = Lora(r=4, alpha=8, target_modules=("query", "value"))


def write_tokenizer(folder: Path) -> None:
    """Write a word-level tokenizer that puts a start token before every note."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def write_base(folder: Path, family: str, *, pooler: bool = True) -> Path:
    """Write a base of hidden size 32 with 2 layers and random weights."""
    torch.manual_seed(7)
    size = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    size |= {"num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0}
    network = LlamaForCausalLM(LlamaConfig(**size)) if family == "causal" else BertForPreTraining(BertConfig(**size))
    state = {key: value for key, value in network.state_dict().items() if pooler or "pooler" not in key}
    network.save_pretrained(folder, state_dict=state)
    write_tokenizer(folder)
    digest = sha256_file(folder / "model.safetensors")
    write_json(folder / "base.json", {"name": folder.name, "family": family, "sha256": digest})
    return folder


def write_clinical(
    folder: Path, base: Path, kind: str = "lora", targets: tuple[str, ...] = ("q_proj", "v_proj")
) -> Path:
    """Write a clinical adapter of a language model, every matrix of it away from zero."""
    torch.manual_seed(11)
    network = LlamaForCausalLM.from_pretrained(base)
    modules = list(targets)
    config = {
        "lora": LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=modules),
        "dora": LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=modules, use_dora=True),
        "adalora": AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, target_r=2, total_step=10, target_modules=modules),
        "adaption_prompt": AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=2),
    }[kind]
    model = get_peft_model(network, config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.3)
    save_adapter(model, folder, base=read_identity(base), card="A test adapter.\n")
    return folder


def write_cohort(folder: Path, task: str, *, rows: int = 60, seed: int = 0) -> tuple[Path, Path]:
    """Write a cohort whose label shows in one word of the note, and its label space."""
    draw = random.Random(seed)
    record: dict[str, list] = {"hadm_id": [], "subject_id": [], "split": [], "text": [], "label": []}
    space: list = {"los": [0, 1, 2, 3], "diagnoses": CODES}.get(task, [0, 1])
    for row in range(rows):
        level = row % (4 if task == "los" else 2)
        words = draw.choices(WORDS[: 40 * (level + 1)], k=draw.randint(3, 30))
        words.insert(draw.randint(0, 2), "septic" if level else "stable")
        record["hadm_id"].append(900_000_000 + rows - row)
        record["subject_id"].append(990_000_000 + row)
        record["split"].append("train" if row < rows * 0.6 else "validation" if row < rows * 0.8 else "test")
        record["text"].append(" ".join(words))
        codes = ["401", *(["428"] if level else []), *(["584"] if row % 3 else []), *(["V58"] if row == 0 else [])]
        record["label"].append(codes if task == "diagnoses" else level)
    cohort, classes = folder / f"{task}.parquet", folder / f"{task}.classes.json"
    label = pa.list_(pa.string()) if task == "diagnoses" else pa.int64()
    types = [pa.int64(), pa.int64(), pa.string(), pa.string(), label]
    table = pa.table({key: pa.array(value, kind) for (key, value), kind in zip(record.items(), types, strict=True)})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, cohort)
    write_json(classes, space)
    return cohort, classes


def make_job(
    variant: str = "head", task: str = "mortality", *, family: str = "causal", switches: dict | None = None, **recipe
) -> FinetuneJob:
    """A fine-tuning job, its variant named by its parts, such as `clinical-frozen+task`."""
    parts = variant.split("+")
    mode = next((part.removeprefix("clinical-") for part in parts if part.startswith("clinical-")), None)
    lora = TASK_LORA if family == "causal" else ENCODER_LORA
    settings = {"context": CONTEXT, "epochs": 2, "batch_size": 8, "micro_batch_size": 4, "learning_rate": 1e-2}
    return FinetuneJob(
        model=variant,
        task=task,
        kind="full" if "full" in parts else "adapted",
        family=family,
        clinical="clinic" if mode else None,
        clinical_mode=mode,
        task_method=lora if "task" in parts else None,
        recipe=replace(FinetuneRecipe(learning_rate=1e-2), **(settings | recipe)),
        switches=resolve_switches("corrected", switches or {}),
    )


def write_study(folder: Path) -> dict[str, Path]:
    """Write a base of each family, a clinical adapter of the causal one, and a cohort of each task with its classes."""
    study = {family: write_base(folder / family, family) for family in ("causal", "encoder")}
    study["clinical"] = write_clinical(folder / "clinic", study["causal"])
    for task in TASKS:
        study[task], study[f"{task} classes"] = write_cohort(folder / "cohorts", task)
    return study


def task_inputs(job: FinetuneJob, study: dict[str, Path], **changes: Path) -> TaskInputs:
    """The files of a study that a job reads; `changes` replaces some of them."""
    inputs = TaskInputs(
        cohort=study[job.task],
        classes=study[f"{job.task} classes"],
        base=study[job.family],
        adapter=study["clinical"] if job.clinical else None,
    )
    return replace(inputs, **changes)


def prepared_task(
    job: FinetuneJob, study: dict[str, Path], *, keep_features: bool = True, **changes: Path
) -> NetworkTask:
    """Prepare a job on a study's files; `changes` replaces some of them."""
    return prepare(job, task_inputs(job, study, **changes), keep_features=keep_features)


def run(
    job: FinetuneJob, study: dict[str, Path], out: Path, *, seed: int = 0, log: RunLog | None = None, **changes
) -> dict[str, Any]:
    """Fine-tune in a folder; returns the summary of the run."""
    return finetune(
        prepared_task(job, study, **changes),
        seed=seed,
        work=out / "work",
        predictions=out / "predictions.parquet",
        model_directory=out / "model",
        log=log or NullLog(),
    )


def columns(path: Path, name: str) -> np.ndarray:
    """A column of a table of predictions, as an array."""
    return np.asarray(pq.read_table(path).column(name).to_pylist())


def digests(out: Path) -> dict[str, str]:
    """Digests of a run's outputs; checkpoints hold times, and are no output."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and not path.is_relative_to(out / "work")]
    return {str(path.relative_to(out)): sha256_file(path) for path in files}


def altered_cohort(
    study: dict[str, Path], folder: Path, task: str, edit: Callable[[dict[str, list]], object]
) -> dict[str, Path]:
    """Write a study's cohort with its columns edited; returns the change that `prepared_task` takes."""
    record = pq.read_table(study[task]).to_pydict()
    edit(record)
    pq.write_table(pa.table(record), folder / "cohort.parquet")
    return {"cohort": folder / "cohort.parquet"}
