"""A clinical and a task adapter in one PEFT folder give the logits of both in one forward pass."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models_fixtures import TASK_LORA, make_job, run, write_clinical
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json, sha256_file
from clinical_peft.models.adapters import quiet_peft, read_adapter_tensors
from clinical_peft.models.fusing import fuse_adapters
from clinical_peft.models.saving import load_saved

WIDER = ("q_proj", "v_proj", "o_proj")


def train(
    study: dict[str, Path], out: Path, name: str = "clinical-frozen+task", task_method=TASK_LORA, **changes
) -> Path:
    """Fine-tune a classifier with two adapters; return its folder."""
    run(replace(make_job(name), task_method=task_method), study, out, **changes)
    return out / "model"


def logits(network) -> Tensor:
    torch.manual_seed(3)
    with torch.no_grad():
        return network.eval()(input_ids=torch.randint(4, 200, (6, 12))).logits


def with_fused(study: dict[str, Path], folder: Path, classes: int = 2) -> tuple[torch.nn.Module, PeftModel]:
    """Load a fused folder with plain transformers and PEFT."""
    network = AutoModelForSequenceClassification.from_pretrained(study["causal"], num_labels=classes)
    before = {name: value.clone() for name, value in network.state_dict().items() if name != "score.weight"}
    with quiet_peft():
        model = PeftModel.from_pretrained(network, folder)
    after = {name.replace(".base_layer", ""): value for name, value in network.state_dict().items()}
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    return network, model


@pytest.mark.parametrize("mode", ["frozen", "trainable"])
@pytest.mark.parametrize(
    "method",
    [
        TASK_LORA,
        replace(TASK_LORA, r=6, alpha=5, dropout=0.1, target_modules=WIDER),
        replace(TASK_LORA, rank_stabilised=True),
    ],
    ids=["same places", "other rank, scale and places", "rank stabilised"],
)
def test_the_fused_adapter_gives_the_logits_of_both(mode, method, study, tmp_path):
    model = train(study, tmp_path, f"clinical-{mode}+task", method)
    expected = logits(load_saved(model, study["causal"]))
    kept = {path: sha256_file(path) for path in model.rglob("*") if path.is_file()}
    fuse_adapters(model, tmp_path / "fused")
    assert kept == {path: sha256_file(path) for path in model.rglob("*") if path.is_file()}
    network, adapted = with_fused(study, tmp_path / "fused")
    torch.testing.assert_close(logits(network), expected, rtol=1e-5, atol=1e-5)
    assert read_json(tmp_path / "fused/adapter_config.json")["r"] == 4 + method.r
    with quiet_peft():
        merged = adapted.merge_and_unload()
    assert not [name for name in merged.state_dict() if "lora" in name]
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)


def test_a_rank_stabilised_clinical_adapter_keeps_its_scale(study, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", study["causal"])
    config = clinical / "adapter_config.json"
    config.write_text(json.dumps(read_json(config) | {"use_rslora": True}))
    model = train(study, tmp_path, adapter=clinical)
    fuse_adapters(model, tmp_path / "fused")
    expected = logits(load_saved(model, study["causal"]))
    torch.testing.assert_close(logits(with_fused(study, tmp_path / "fused")[0]), expected, rtol=1e-5, atol=1e-5)


def test_an_adapted_vocabulary_layer_is_not_fused(study, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", study["causal"], targets=("q_proj", "v_proj", "lm_head"))
    model = train(study, tmp_path, adapter=clinical)
    fuse_adapters(model, tmp_path / "fused")
    assert not any("lm_head" in key for key in read_adapter_tensors(tmp_path / "fused"))
    expected = logits(load_saved(model, study["causal"]))
    torch.testing.assert_close(logits(with_fused(study, tmp_path / "fused")[0]), expected, rtol=1e-5, atol=1e-5)


def test_the_tensors_are_those_of_peft(study, tmp_path):
    model = train(study, tmp_path, task_method=replace(TASK_LORA, target_modules=WIDER))
    fuse_adapters(model, tmp_path / "fused")
    network = AutoModelForSequenceClassification.from_pretrained(study["causal"], num_labels=2)
    with quiet_peft():
        adapted = PeftModel.from_pretrained(network, model / "clinical", adapter_name="clinical")
        adapted.load_adapter(model / "task", adapter_name="task")
        adapted.base_model.add_weighted_adapter(["clinical", "task"], [1.0, 1.0], "both", combination_type="cat")
    theirs = {
        f"base_model.model.{name.replace('.both', '')}": value
        for name, value in network.state_dict().items()
        if ".both." in name and "lora_" in name
    }
    ours = read_adapter_tensors(tmp_path / "fused")
    assert ours.keys() - theirs.keys() == {"base_model.model.score.weight"}
    assert theirs
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())


def test_a_classifier_is_the_same_bytes_with_a_warning_card(study, tmp_path):
    model = train(study, tmp_path)
    for name in "ab":
        fuse_adapters(model, tmp_path / name)
    for file in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert "treat them as credentialed data" in (tmp_path / "a/README.md").read_text()


@pytest.mark.parametrize("name", ["task", "clinical-frozen", "clinical-merged+task"])
def test_a_classifier_without_two_active_adapters_is_refused(name, study, tmp_path):
    method = TASK_LORA if "task" in name else None
    model = train(study, tmp_path, name, method)
    with pytest.raises(TrainingError, match="expected active adapters clinical and task, found"):
        fuse_adapters(model, tmp_path / "fused")
    assert not (tmp_path / "fused").exists()


def test_an_adapter_that_is_more_than_a_sum_is_refused(study, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", study["causal"], "dora")
    model = train(study, tmp_path, adapter=clinical)
    with pytest.raises(
        TrainingError, match="clinical: expected a LoRA adapter of one rank without bias, found LORA use_dora"
    ):
        fuse_adapters(model, tmp_path / "fused")
