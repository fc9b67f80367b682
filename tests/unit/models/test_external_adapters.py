"""An adapter that exists already: what is checked of its files, and that it is brought in as it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from method_cases import method_of, token_ids, train_clinical
from models_fixtures import write_base
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from clinical_peft.errors import ClinicalPeftError, DataError, TrainingError
from clinical_peft.files import read_json, sha256_file, write_json
from clinical_peft.models.adapter_sources import CONFIG, WEIGHTS, check_adapter_folder, refuse_stated_base
from clinical_peft.models.adapters import load_adapter
from clinical_peft.models.bases import read_identity
from clinical_peft.models.external_adapters import import_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("bases") / "small", "causal")


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory) -> tuple[Path, torch.Tensor]:
    folder = tmp_path_factory.mktemp("adapters") / "their-lora"
    return folder, train_clinical(folder, base, method_of("lora"))


@pytest.fixture
def theirs(trained, tmp_path) -> Path:
    folder = shutil.copytree(trained[0], tmp_path / "their-lora")
    (folder / "README.md").unlink()
    write_json(folder / CONFIG, read_json(folder / CONFIG) | {"base_model_name_or_path": "/models/x", "revision": None})
    return folder


def test_an_imported_adapter_gives_the_outputs_that_it_gave(base, theirs, trained, tmp_path):
    import_adapter(theirs, tmp_path / "adapters/theirs", base=base, name="theirs")
    imported = tmp_path / "adapters/theirs"
    assert sorted(path.name for path in imported.iterdir()) == ["README.md", CONFIG, WEIGHTS, "origin.json"]
    model = load_adapter(AutoModelForCausalLM.from_pretrained(base), imported, base=read_identity(base))
    with torch.no_grad():
        assert torch.equal(model.eval()(input_ids=token_ids(), use_cache=False).logits, trained[1])
    origin = read_json(imported / "origin.json")
    assert origin["folder"] == "their-lora"
    assert origin["stated_base"] == "/models/x"
    assert origin["sha256"] == {name: sha256_file(theirs / name) for name in (CONFIG, WEIGHTS)}


def changed(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: write_json(folder / CONFIG, read_json(folder / CONFIG) | changes)


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({}, folder / "adapter_model.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, "expected the folder of an adapter, found none; correct path"),
        (lambda folder: (folder / WEIGHTS).unlink(), f"expected {WEIGHTS}, found none; correct path"),
        (pickled, f"expected {WEIGHTS}, found adapter_model.bin; save the adapter as safetensors"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"0" * 40), "fetch the adapter again"),
        (lambda folder: (folder / CONFIG).unlink(), f"{CONFIG}: expected a file, found none"),
        (lambda folder: (folder / CONFIG).write_text("{"), "expected JSON, found a file cut short or damaged"),
        (changed(peft_type="BOFT"), "peft_type: expected one of LORA, .*, found 'BOFT'"),
        (changed(peft_type=None), "peft_type: expected one of .*, found none"),
        (changed(bias="all"), "bias: expected an adapter that changes only layers"),
        (changed(modules_to_save=["lm_head"]), "modules_to_save: expected an adapter that changes only layers"),
        (changed(init_lora_weights="pissa"), r"found one of a base without its part \(pissa\); convert it to LoRA"),
    ],
)
def test_files_of_another_form_are_refused_before_any_job(theirs, change, message):
    change(theirs)
    with pytest.raises(DataError, match=message) as caught:
        check_adapter_folder(theirs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "expected", "agrees"),
    [
        ("owner/llama", "Owner/Llama", True),
        ("owner/llama-2", "owner/llama", False),
        ("/models/llama", "owner/llama", True),
        ("owner/llama", "small", True),
        (None, "owner/llama", True),
    ],
)
def test_a_stated_base_counts_where_it_can_be_compared(stated, expected, agrees):
    assert (refuse_stated_base({"base_model_name_or_path": stated}, expected) is None) == agrees


def with_tensor(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        key = sorted(tensors)[0]
        save_file(tensors | {key: change(tensors[key])}, folder / WEIGHTS)

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_tensor(lambda tensor: tensor[:, :8].clone()), "the adapter does not fit the base"),
        (with_tensor(lambda tensor: tensor * float("nan")), "not finite"),
        (changed(target_modules=["o_proj"]), "missing in the file or in the network"),
    ],
)
def test_an_adapter_that_does_not_fit_leaves_no_folder(base, theirs, tmp_path, change, message):
    change(theirs)
    with pytest.raises((DataError, TrainingError), match=message):
        import_adapter(theirs, tmp_path / "adapters/theirs", base=base, name="theirs")
    assert not (tmp_path / "adapters/theirs").exists()


def test_an_adapter_of_another_hub_base_is_refused(base, theirs, tmp_path):
    hub = shutil.copytree(base, tmp_path / "hub")
    write_json(hub / "base.json", read_json(base / "base.json") | {"name": "owner/llama", "revision": "0123"})
    changed(base_model_name_or_path="owner/llama-2")(theirs)
    with pytest.raises(
        ClinicalPeftError, match=r"adapters.theirs.path: .* found one of owner/llama-2; correct base or path"
    ):
        import_adapter(theirs, tmp_path / "adapters/theirs", base=hub, name="theirs")


def test_the_configuration_of_an_adapter_is_left_as_it_is(base, theirs, tmp_path):
    before = (theirs / CONFIG).read_bytes()
    import_adapter(theirs, tmp_path / "adapters/theirs", base=base, name="theirs")
    assert (theirs / CONFIG).read_bytes() == before
    assert json.loads((tmp_path / "adapters/theirs" / CONFIG).read_text())["revision"] == read_identity(base).revision
