"""A saved head that is missing, cut or another than the saved one is refused by name."""

import math
from pathlib import Path

import pytest
import torch
from models_fixtures import write_base
from safetensors.torch import load_file, save_file

from clinical_peft.errors import TrainingError
from clinical_peft.models.classifiers import build_classifier
from clinical_peft.models.saving import load_saved, save_classifier
from clinical_peft.recipes.variants import Variant

CLASSES = 3


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {family: write_base(folder / family, family) for family in ("causal", "encoder")}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda tensors, key: tensors.clear(), "tensor {key} is missing"),
        (lambda tensors, key: tensors[key].fill_(math.nan), "tensor {key} holds values that are not finite"),
        (lambda tensors, key: tensors.update({key: torch.ones(7, 32)}), r"tensor {key}: expected shape \(\d, 32\)"),
        (lambda tensors, key: tensors.update(strange=torch.ones(1)), "tensor strange belongs to no head"),
    ],
    ids=["empty", "nan", "shape", "strange"],
)
@pytest.mark.parametrize(("family", "key"), [("causal", "score.weight"), ("encoder", "classifier.weight")])
def test_a_head_that_is_not_the_saved_one_is_refused(family, key, fault, message, bases, tmp_path):
    base, folder = bases[family], tmp_path / "model"
    classifier = build_classifier(Variant(family=family), base, None, classes=CLASSES, seed=9)
    save_classifier(classifier, folder, base=base, card="", context=12)
    tensors = load_file(folder / "head" / "model.safetensors")
    fault(tensors, key)
    save_file(tensors, folder / "head" / "model.safetensors")
    named = message.format(key="classifier.bias" if "missing" in message and family == "encoder" else key)
    with pytest.raises(TrainingError, match=named):
        load_saved(folder, base)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_head_that_cannot_be_read_is_refused(damage, bases, tmp_path):
    base, folder = bases["causal"], tmp_path / "model"
    classifier = build_classifier(Variant(family="causal"), base, None, classes=CLASSES, seed=9)
    save_classifier(classifier, folder, base=base, card="", context=12)
    file = folder / "head" / "model.safetensors"
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[:20])
    with pytest.raises(TrainingError, match=r"model\.safetensors: no readable head"):
        load_saved(folder, base)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda tensors: tensors.pop("score.weight"), "1 weights are missing .* for instance score.weight"),
        (
            lambda tensors: tensors["score.weight"].fill_(math.inf),
            "tensor score.weight holds values that are not finite",
        ),
    ],
    ids=["missing", "infinite"],
)
def test_a_whole_network_without_its_head_is_refused(fault, message, bases, tmp_path):
    base, folder = bases["causal"], tmp_path / "model"
    classifier = build_classifier(Variant(family="causal", full=True), base, None, classes=CLASSES, seed=9)
    save_classifier(classifier, folder, base=base, card="", context=12)
    file = folder / "full" / "model.safetensors"
    tensors = load_file(file)
    fault(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=message):
        load_saved(folder, base)
