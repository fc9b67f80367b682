"""Files of bases that are not whole or not plain: one line. An adapter beside them: the network's own weights."""

import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoint_fixtures import ROWS, build, write_checkpoint
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from clinical_peft.errors import ClinicalPeftError, DataError
from clinical_peft.models.bases import load_causal, load_classifier
from clinical_peft.models.pretrained import prepare_gguf_base, prepare_hub_base, prepare_local_base
from clinical_peft.tokens.tokenizer import load_tokenizer

IDS = torch.arange(2, 26).reshape(2, 12)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint in one file."""
    return write_checkpoint(tmp_path_factory.mktemp("whole") / "source", build("llama"))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """A checkpoint in several files and an index."""
    folder = tmp_path_factory.mktemp("sharded") / "source"
    return write_checkpoint(folder, build("llama"), max_shard_size="40KB")


def truncate(file, by=1):
    file.write_bytes(file.read_bytes()[:-by])


def keep(file, size):
    file.write_bytes(file.read_bytes()[:size])


def last_shard(folder):
    return max(folder.glob("model-*.safetensors"))


def configure(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def swap(folder):
    first, *_, last = sorted(folder.glob("model-*.safetensors"))
    held = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(held)


def pack(folder, name="model.layers.0.self_attn.q_proj.qweight", dtype=torch.int32):
    tensors = load_file(folder / "model.safetensors") | {name: torch.ones(4, 4, dtype=dtype)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


WHOLE = {
    "pointer": (lambda f: (f / "model.safetensors").write_text(POINTER), r"model\.safetensors: .*a Git LFS pointer"),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), r"model\.safetensors: .*found an empty file"),
    "truncated": (lambda f: truncate(f / "model.safetensors"), r"model\.safetensors: expected [\d,]+ bytes, found"),
    "header cut": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:99]),
        r"model\.safetensors: expected .*a damaged file",
    ),
    "too long": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes() + b"x"),
        r"model\.safetensors: expected [\d,]+ bytes, found",
    ),
    "a page": (lambda f: (f / "model.safetensors").write_text("<html>not found</html>"), r"found another format"),
    "tokenizer pointer": (
        lambda f: (f / "tokenizer.json").write_text(POINTER),
        r"tokenizer\.json: .*a Git LFS pointer",
    ),
    "tokenizer empty": (lambda f: (f / "tokenizer.json").write_text(""), r"tokenizer\.json: .*an empty file"),
    "tokenizer cut": (lambda f: truncate(f / "tokenizer.json", 50), r"tokenizer\.json: expected JSON"),
    "no tokenizer": (lambda f: [file.unlink() for file in f.glob("tokenizer*")], "expected a tokenizer, found none"),
    "config cut": (lambda f: truncate(f / "config.json", 50), r"config\.json: expected JSON"),
    "config pointer": (lambda f: (f / "config.json").write_text(POINTER), r"config\.json: .*a Git LFS pointer"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json: expected the configuration"),
    "gptq": (
        lambda f: configure(f, quantization_config={"quant_method": "gptq", "bits": 4}),
        r"config\.json: expected plain weights, found quantization_config \(gptq\)",
    ),
    "bnb": (lambda f: configure(f, quantization_config={"quant_method": "bitsandbytes"}), r"\(bitsandbytes\)"),
    "mlx": (lambda f: configure(f, quantization={"group_size": 64, "bits": 4}), r"found quantization \(of unknown"),
    "text part": (lambda f: configure(f, text_config={"quantization_config": {"quant_method": "awq"}}), r"\(awq\)"),
    "qweight": (pack, r"model\.safetensors: expected plain weights, found packed tensor .*qweight \(I32\)"),
    "float8": (lambda f: pack(f, "lm_head.weight", torch.float8_e4m3fn), r"packed tensor lm_head\.weight \(F8_E4M3\)"),
    "only other names": (
        lambda f: (f / "model.safetensors").rename(f / "consolidated.safetensors"),
        r"expected model\.safetensors or model\.safetensors\.index\.json, found consolidated",
    ),
    "gguf alone": (lambda f: (f / "model.safetensors").rename(f / "m.gguf"), r"found m\.gguf; .*kind gguf"),
    "adapter alone": (
        lambda f: (f / "model.safetensors").rename(f / "adapter_model.safetensors"),
        "expected a network, found only an adapter; merge it",
    ),
}
SHARDED = {
    "shard pointer": (
        lambda f: last_shard(f).write_text(POINTER),
        r"model-\d+-of-\d+\.safetensors: .*LFS pointer",
    ),
    "shard missing": (
        lambda f: last_shard(f).unlink(),
        r"model-\d+-of-\d+\.safetensors: expected a shard",
    ),
    "shard truncated": (lambda f: truncate(last_shard(f)), r"model-\d+-of-\d+\.safetensors: expected [\d,]+ bytes"),
    "shards swapped": (swap, r"model-\d+-of-\d+\.safetensors: expected tensor .*found none"),
    "index cut": (lambda f: truncate(f / "model.safetensors.index.json", 9), r"index\.json: expected JSON"),
    "index pointer": (lambda f: (f / "model.safetensors.index.json").write_text(POINTER), "a Git LFS pointer"),
    "index empty": (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "weight_map: expected file names"),
    "no index": (lambda f: (f / "model.safetensors.index.json").unlink(), r"index\.json, found model-00001"),
}


def one_line(call, expected):
    with pytest.raises(ClinicalPeftError, match=expected) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


@pytest.mark.parametrize("damage", [*WHOLE, *SHARDED])
def test_an_import_names_the_damaged_file(damage, whole, sharded, tmp_path):
    harm, expected = (WHOLE | SHARDED)[damage]
    shutil.copytree(whole if damage in WHOLE else sharded, tmp_path / "source")
    harm(tmp_path / "source")
    one_line(lambda: prepare_local_base(tmp_path / "source", tmp_path / "b", name="x", family="causal"), expected)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("damage", ["pointer", "empty", "truncated", "shard missing", "shard truncated"])
@pytest.mark.parametrize("load", [load_causal, lambda folder: load_classifier(folder, 2, seed=0)])
def test_a_damaged_base_of_a_study_is_one_line(load, damage, whole, sharded, tmp_path):
    harm, expected = (WHOLE | SHARDED)[damage]
    shutil.copytree(whole if damage in WHOLE else sharded, tmp_path / "base")
    harm(tmp_path / "base")
    one_line(lambda: load(tmp_path / "base"), f"{expected}.*prepare the base again")


@pytest.mark.parametrize("damage", ["tokenizer pointer", "tokenizer empty", "tokenizer cut"])
def test_a_damaged_tokenizer_of_a_study_is_one_line(damage, whole, tmp_path):
    harm, expected = WHOLE[damage]
    shutil.copytree(whole, tmp_path / "base")
    harm(tmp_path / "base")
    one_line(lambda: load_tokenizer(tmp_path / "base"), f"{expected}.*prepare the base again")


def test_whole_shards_are_read(sharded, tmp_path):
    assert len(list(sharded.glob("*.safetensors"))) > 1
    prepare_local_base(sharded, tmp_path / "base", name="x", family="causal")
    expected = AutoModelForCausalLM.from_pretrained(sharded)(input_ids=IDS).logits
    torch.testing.assert_close(load_causal(tmp_path / "base")(input_ids=IDS).logits[..., :ROWS], expected)


# --- an adapter beside the weights -----------------------------------------------------------------------------------


def put_adapter_beside(folder, base_name="no/such-base"):
    """Put an adapter's files beside a network's own weights, as merging into them leaves it."""
    adapted = get_peft_model(build("llama"), LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 1.0)
    adapted.save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base_name}))


def load_as_local(folder, output, monkeypatch):
    prepare_local_base(folder, output, name="x", family="causal")


def load_as_hub(folder, output, monkeypatch):
    files = [SimpleNamespace(rfilename=file.name) for file in folder.iterdir()]
    info = SimpleNamespace(sha="abc", siblings=files)
    monkeypatch.setattr("clinical_peft.models.pretrained.HfApi.model_info", lambda self, name, revision: info)
    monkeypatch.setattr("clinical_peft.models.pretrained.snapshot_download", lambda *_, **__: str(folder))
    prepare_hub_base("org/model", "main", output, family="causal")


@pytest.mark.parametrize("prepare", [load_as_local, load_as_hub])
def test_an_adapter_beside_merged_weights_is_ignored(prepare, whole, tmp_path, caplog, monkeypatch):
    shutil.copytree(whole, tmp_path / "source")
    put_adapter_beside(tmp_path / "source")
    prepare(tmp_path / "source", tmp_path / "base", monkeypatch)
    assert "ignoring adapter_config.json beside the network's own weights" in caplog.text
    assert (tmp_path / "base" / "model.safetensors").exists()
    assert not (tmp_path / "base" / "adapter_config.json").exists()
    expected = AutoModelForCausalLM.from_pretrained(whole)(input_ids=IDS).logits
    torch.testing.assert_close(load_causal(tmp_path / "base")(input_ids=IDS).logits[..., :ROWS], expected)


def test_an_adapter_in_the_base_of_a_study_is_ignored(whole, tmp_path, caplog):
    shutil.copytree(whole, tmp_path / "base")
    before = load_causal(tmp_path / "base")(input_ids=IDS).logits
    features = load_classifier(tmp_path / "base", 2, seed=0)(input_ids=IDS[:1]).logits
    put_adapter_beside(tmp_path / "base")
    caplog.set_level(logging.WARNING)
    assert torch.equal(load_causal(tmp_path / "base")(input_ids=IDS).logits, before)
    assert torch.equal(load_classifier(tmp_path / "base", 2, seed=0)(input_ids=IDS[:1]).logits, features)
    assert caplog.text.count("ignoring adapter_config.json") == 2


# --- GGUF ------------------------------------------------------------------------------------------------------------


def write_gguf(file):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(64)
    writer.add_tensor("token_embd.weight", np.ones((ROWS, 32), np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


GGUF = {
    "pointer": (lambda file: file.write_text(POINTER), "a Git LFS pointer"),
    "empty": (lambda file: file.write_bytes(b""), "an empty file"),
    "another format": (lambda file: file.write_text("<html></html>"), "cut short or of another format"),
    "cut": (lambda file: truncate(file, 5000), r"expected [\d,]+ bytes, found [\d,]+, so it is cut short"),
    "header cut": (lambda file: file.write_bytes(file.read_bytes()[:40]), "cut short or of another format"),
    # transformers takes LLaMA-7B's sizes for those that are missing, which fills the memory of a workstation.
    "without sizes": (lambda file: None, "expected the network's block_count and embedding_length in the metadata"),
}


@pytest.mark.parametrize("damage", GGUF)
def test_a_damaged_gguf_file_is_one_line(damage, tmp_path):
    write_gguf(tmp_path / "m.gguf")
    harm, expected = GGUF[damage]
    harm(tmp_path / "m.gguf")
    one_line(lambda: prepare_gguf_base(tmp_path / "m.gguf", tmp_path / "b", name="x"), rf"m\.gguf: .*{expected}")


def test_a_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"m\.gguf: expected a GGUF file, found none"):
        prepare_gguf_base(tmp_path / "m.gguf", tmp_path / "b", name="x")
