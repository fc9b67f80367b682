"""The lines of docs/models.md, run as printed: from a note's text to the logits that training wrote."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from method_cases import PROMPTS, method_of
from models_fixtures import altered_cohort, columns, make_job, run, write_base, write_study
from peft import PeftModel
from tokenizers import processors
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from clinical_peft.files import read_json, sha256_file, write_json
from clinical_peft.tokens.tokenizer import load_tokenizer

DOCS = Path(__file__).parents[3] / "docs/models.md"


def printed(title: str) -> list[str]:
    """Lines of the block of code below a comment of docs/models.md."""
    (block,) = re.findall(rf"<!-- {title}.*?-->\n```python[^\n]*\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return block.splitlines()


def lines_for(folder: Path) -> Iterator[str]:
    """Lines for a classifier: those below no comment, or below one that holds."""
    full, clinical, task = ((folder / part).exists() for part in ("full", "clinical", "task"))
    merged = read_json(folder / "classifier.json")["clinical"] == "merged"
    holds = {
        "no full/": not full,
        "full/": full,
        "head/": (folder / "head").exists(),
        "clinical/": clinical,
        '"clinical": "merged"': merged,
        'task/ without clinical/, or "merged"': task and (merged or not clinical),
        "clinical/ and task/": clinical and task and not merged,
        "task/ of virtual tokens": task and "num_virtual_tokens" in read_json(folder / "task/adapter_config.json"),
    }
    wanted = True
    for line in printed("lines of a classifier"):
        if line.startswith("# "):
            wanted = holds[line.removeprefix("# ")]
            continue
        if wanted:
            yield line
        wanted = True


def logits_by_lines(folder: Path, base: Path, notes: list[str]) -> np.ndarray:
    """Logits that the printed lines give for notes, one at a time."""
    found = []
    for note in notes:
        names: dict[str, Any] = {"folder": str(folder), "base": str(base), "note": note}
        lines = list(lines_for(folder))
        if read_json(folder / "classifier.json")["pool_last_position"]:
            reading = next(place for place, line in enumerate(lines) if line.startswith("end ="))
            lines[reading:] = printed("lines of the original's reading")
        if read_json(folder / "classifier.json")["pooling"] == "mean":
            lines[-1:] = printed("lines of a mean")
        exec("\n".join(lines), names)
        found.append(names["logits"].detach().numpy()[0])
    return np.stack(found)


def held_out(cohort: Path) -> list[str]:
    rows = pq.read_table(cohort).sort_by("hadm_id").to_pylist()
    return [row["text"] for row in rows if row["split"] != "train"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict[str, Path]:
    """A study whose notes spell special tokens here and there; notes of 3 to 31 words and a context of 24."""
    study = write_study(tmp_path_factory.mktemp("study"))

    def spell(record):
        record["text"] = [
            f"{text}{' </s><pad> word3' * (row % 4 == 1)}{' </s>' * (row % 5 == 1)}"
            for row, text in enumerate(record["text"])
        ]

    return study | altered_cohort(study, tmp_path_factory.mktemp("cohort"), "mortality", spell)


JOBS = [
    *(("causal", name) for name in ("head", "task", "clinical-frozen", "clinical-frozen+task", "clinical-trainable")),
    *(("causal", name) for name in ("clinical-trainable+task", "clinical-merged", "clinical-merged+task", "full")),
    *(("encoder", name) for name in ("head", "task", "full")),
]


def check(study: dict[str, Path], job, out: Path, base: Path, **changes: Path) -> None:
    run(job, study, out, cohort=study["cohort"], base=base, **changes)
    notes, written = held_out(study["cohort"]), columns(out / "predictions.parquet", "logits")
    np.testing.assert_allclose(logits_by_lines(out / "model", base, notes), written, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "name"), JOBS)
def test_the_printed_lines_give_the_written_logits(family, name, study, tmp_path):
    check(study, make_job(name, family=family), tmp_path, study[family])


@pytest.mark.parametrize("name", ["head", "task", "clinical-frozen+task", "full"])
def test_they_do_for_the_mean_of_all_tokens(name, study, tmp_path):
    check(study, make_job(name, pooling="mean"), tmp_path, study["causal"])


@pytest.mark.parametrize("name", [*PROMPTS, "ia3", "pissa", "all-linear"])
def test_they_do_for_other_task_methods(name, study, tmp_path):
    check(study, replace(make_job("task"), task_method=method_of(name)), tmp_path, study["causal"])


def test_a_model_with_two_adapters_takes_13_lines(study, tmp_path):
    run(make_job("clinical-frozen+task"), study, tmp_path)
    lines = [line for line in lines_for(tmp_path / "model") if line and not line.startswith(("import ", "from "))]
    assert len(lines) == 13


@pytest.mark.parametrize("template", ["<s> $A", "<s> $A </s>"])
def test_they_do_where_notes_are_read_as_the_original_does(template, study, tmp_path):
    base = with_template(study["causal"], tmp_path / "causal", template)
    check(study, make_job("clinical-trainable", switches={"pool_last_position": True}), tmp_path / "out", base)


def with_template(base: Path, folder: Path, template: str) -> Path:
    """Copy a base with another frame around its notes."""
    shutil.copytree(base, folder)
    tokenizer = load_tokenizer(folder)
    special = [("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("template", ["<s> $A </s>", "$A", "$A </s>"])
def test_they_do_whatever_the_tokenizer_puts_around_a_note(template, study, tmp_path):
    base = with_template(study["causal"], tmp_path / "causal", template)
    check(study, make_job("clinical-trainable+task"), tmp_path / "out", base)


def test_they_do_on_a_base_that_is_kept_in_bfloat16(study, tmp_path):
    base = tmp_path / "causal"
    shutil.copytree(study["causal"], base)
    AutoModelForCausalLM.from_pretrained(base).to(torch.bfloat16).save_pretrained(base)
    write_json(base / "base.json", read_json(base / "base.json") | {"sha256": sha256_file(base / "model.safetensors")})
    check(study, make_job("task"), tmp_path / "out", base)


def test_they_do_where_the_base_has_no_pooler(study, tmp_path):
    base = write_base(tmp_path / "encoder", "encoder", pooler=False)
    check(study, make_job("task", family="encoder"), tmp_path / "out", base)


def test_a_plain_tokenizer_call_gives_others(study, tmp_path):
    run(make_job("task"), study, tmp_path, cohort=study["cohort"])
    network = AutoModelForSequenceClassification.from_pretrained(study["causal"], num_labels=2)
    PeftModel.from_pretrained(network, tmp_path / "model/task", adapter_name="task")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(study["causal"])
    note = held_out(study["cohort"])[0]
    logits = network.eval()(**tokenizer(note, truncation=True, max_length=24, return_tensors="pt")).logits
    assert np.abs(logits.detach().numpy()[0] - columns(tmp_path / "predictions.parquet", "logits")[0]).max() > 1e-2
