import json
import shutil
from contextlib import nullcontext

import pytest
import torch
from language_fixtures import SHAPE
from safetensors.torch import load_file, save_file

from clinical_peft.errors import TrainingError
from clinical_peft.methods.adalora import AdaLora
from clinical_peft.methods.adaption_prompt import AdaptionPrompt
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.p_tuning import PTuning
from clinical_peft.methods.prefix_tuning import PrefixTuning
from clinical_peft.methods.prompt_tuning import PromptTuning
from clinical_peft.models.adapters import (
    is_of_vocabulary_layer,
    load_adapter,
    read_adapter_tensors,
    save_adapter,
    trainable_parameters,
)
from clinical_peft.models.bases import BaseIdentity, build_causal
from clinical_peft.models.folders import ADAPTER_WEIGHTS
from clinical_peft.models.new_adapters import add_adapter

BASE = BaseIdentity("tiny", "0123", "causal")
STEPS = 12
METHODS = {
    "lora": Lora(r=4, alpha=8, dropout=0.1),
    "rank_stabilised": Lora(r=4, alpha=8, rank_stabilised=True),
    "dora": Lora(r=4, alpha=8, dropout=0.1, dora=True),
    "adalora": AdaLora(init_r=4, target_r=2),
    "adaption_prompt": AdaptionPrompt(adapter_len=4, adapter_layers=2),
    "prefix_tuning": PrefixTuning(num_virtual_tokens=4),
    "prefix_projection": PrefixTuning(num_virtual_tokens=4, prefix_projection=True),
    "prompt_tuning": PromptTuning(num_virtual_tokens=4),
    "p_tuning_lstm": PTuning(num_virtual_tokens=4, hidden_size=16, layers=2),
    "p_tuning_mlp": PTuning(num_virtual_tokens=4, hidden_size=16, encoder="MLP"),
}
PREFIX = "base_model.model."


def network():
    return build_causal(SHAPE, seed=0, special={"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2})


def ids():
    return torch.randint(3, 100, (4, 20), generator=torch.Generator().manual_seed(0))


def trained(method, steps=STEPS):
    """Return an adapted network after some updates, and its losses in evaluation mode before and after."""
    torch.manual_seed(0)
    model = add_adapter(network(), method, total_steps=steps, context=32)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=3e-2)
    losses, hooks = [loss(model)], method.hooks(model)
    for step in range(1, steps + 1):
        model.train()
        value = model(input_ids=ids(), labels=ids(), use_cache=False).loss
        value.backward()
        optimizer.step()
        hooks.after_update(step)
        optimizer.zero_grad()
    return model, [*losses, loss(model)]


@torch.no_grad()
def loss(model):
    return float(model.eval()(input_ids=ids(), labels=ids(), use_cache=False).loss)


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=ids(), use_cache=False).logits


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model, _ = trained(METHODS["lora"])
    folder = tmp_path_factory.mktemp("adapters") / "clinical"
    save_adapter(model, folder, base=BASE, card="card")
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "clinical")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_its_adapter_alone_and_reloads(name, tmp_path):
    frozen = network().state_dict()
    model, (before, after) = trained(METHODS[name])
    assert after < before
    save_adapter(model, tmp_path / "adapter", base=BASE, card="card")
    first, second = (load_adapter(network(), tmp_path / "adapter", base=BASE) for _ in range(2))
    assert torch.equal(logits(first), logits(second))
    # Dropped ranks and a prompt computed once change the order of float sums; elsewhere nothing changes at all.
    tolerance = 1e-5 if name in ("adalora", "p_tuning_lstm") else 0.0
    torch.testing.assert_close(logits(first), logits(model), atol=tolerance, rtol=0.0)
    assert (logits(first)[:, -20:] - logits(network())).abs().max() > 1e-3
    state = {
        key.replace(".base_layer.", ".").replace("self_attn.model.", "self_attn."): value
        for key, value in model.get_base_model().state_dict().items()
    }
    assert all(torch.equal(state[key], value) for key, value in frozen.items())


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Lora(r=4), 2 * 2 * (2 * 4 * 32)),
        (Lora(r=4, dora=True), 2 * 2 * (2 * 4 * 32 + 32)),
        (AdaptionPrompt(adapter_len=4, adapter_layers=2), 2 * (4 * 32 + 1)),
        (PrefixTuning(num_virtual_tokens=4), 4 * 2 * 2 * 32),
        (PromptTuning(num_virtual_tokens=4), 4 * 32),
    ],
)
def test_trainable_parameters_follow_from_the_dimensions(method, expected):
    model = add_adapter(network(), method, total_steps=STEPS, context=32)
    base = sum(parameter.numel() for parameter in network().parameters())
    assert trainable_parameters(model) == (expected, base + expected)


def test_merged_lora_equals_base_plus_scaled_product(saved):
    tensors = read_adapter_tensors(saved)
    key = "model.layers.0.self_attn.q_proj"
    product = tensors[f"{PREFIX}{key}.lora_B.weight"] @ tensors[f"{PREFIX}{key}.lora_A.weight"]
    merged = load_adapter(network(), saved, base=BASE).merge_and_unload().get_submodule(key).weight
    torch.testing.assert_close(merged, network().get_submodule(key).weight + 8 / 4 * product)


def test_rank_stabilised_updates_scale_by_root_of_rank(tmp_path):
    model, _ = trained(METHODS["rank_stabilised"])
    save_adapter(model, tmp_path / "adapter", base=BASE, card="card")
    tensors = read_adapter_tensors(tmp_path / "adapter")
    key = "model.layers.0.self_attn.q_proj"
    product = tensors[f"{PREFIX}{key}.lora_B.weight"] @ tensors[f"{PREFIX}{key}.lora_A.weight"]
    merged = load_adapter(network(), tmp_path / "adapter", base=BASE).merge_and_unload().get_submodule(key).weight
    torch.testing.assert_close(merged, network().get_submodule(key).weight + 8 / 4**0.5 * product)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dora_gives_every_row_of_a_weight_its_learned_length(dtype, tmp_path):
    model, _ = trained(METHODS["dora"])
    save_adapter(model, tmp_path / "adapter", base=BASE, card="card")
    tensors = read_adapter_tensors(tmp_path / "adapter")
    key = "model.layers.0.self_attn.q_proj"
    base = network().to(dtype)
    weight = base.get_submodule(key).weight.float()
    loaded = load_adapter(base, tmp_path / "adapter", base=BASE)
    product = tensors[f"{PREFIX}{key}.lora_B.weight"] @ tensors[f"{PREFIX}{key}.lora_A.weight"]
    direction = weight + 8 / 4 * product
    lengths = tensors[f"{PREFIX}{key}.lora_magnitude_vector"]
    assert lengths.dtype == torch.float32
    assert (lengths - weight.norm(dim=1)).abs().max() > 1e-3
    expected = lengths[:, None] * direction / direction.norm(dim=1, keepdim=True)
    merged = loaded.merge_and_unload().get_submodule(key).weight.float()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(merged, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    ("name", "flags"), [("lora", ()), ("dora", ("use_dora",)), ("rank_stabilised", ("use_rslora",))]
)
def test_variants_of_lora_stand_in_pefts_own_configuration(name, flags, tmp_path):
    save_adapter(trained(METHODS[name], 1)[0], tmp_path / "adapter", base=BASE, card="card")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert [flag for flag in ("use_dora", "use_rslora") if config[flag]] == list(flags)


def test_adalora_allocates_to_its_budget(tmp_path):
    model, _ = trained(METHODS["adalora"])
    ranks = METHODS["adalora"].hooks(model).remaining_ranks()
    assert len(ranks) == 4
    assert sum(ranks) == 2 * 4
    assert len(set(ranks)) > 1
    save_adapter(model, tmp_path / "adapter", base=BASE, card="card")
    stored = read_adapter_tensors(tmp_path / "adapter")
    assert sum(tensor.numel() for tensor in stored.values()) == sum(rank * (32 + 32 + 1) for rank in ranks)


def test_adalora_without_allocation_keeps_every_rank():
    model = add_adapter(network(), METHODS["adalora"], total_steps=STEPS, context=32)
    assert METHODS["adalora"].hooks(model).remaining_ranks() == []
    assert trainable_parameters(model)[0] == 4 * 4 * (32 + 32 + 1)


def test_an_adalora_matrix_without_ranks_survives_saving(tmp_path):
    model, _ = trained(AdaLora(init_r=2, target_r=1))
    pattern = model.peft_config["default"].rank_pattern
    first = next(iter(pattern))
    pattern[first] = [False] * len(pattern[first])
    METHODS["adalora"].hooks(model).after_update(STEPS + 1)
    save_adapter(model, tmp_path / "adapter", base=BASE, card="card")
    assert any(tensor.numel() == 0 for tensor in read_adapter_tensors(tmp_path / "adapter").values())
    loaded = load_adapter(network(), tmp_path / "adapter", base=BASE)
    torch.testing.assert_close(logits(loaded), logits(model), atol=1e-5, rtol=0.0)


def test_orthogonality_penalty_is_what_peft_adds_to_a_loss():
    model = add_adapter(network(), METHODS["adalora"], total_steps=STEPS, context=32)
    with_penalty = model(input_ids=ids(), labels=ids(), use_cache=False).loss
    without = model.get_base_model()(input_ids=ids(), labels=ids(), use_cache=False).loss
    torch.testing.assert_close(METHODS["adalora"].hooks(model).penalty(), with_penalty - without, atol=1e-5, rtol=1e-5)


def test_other_methods_have_no_penalty():
    assert METHODS["lora"].hooks(trained(METHODS["lora"], 1)[0]).penalty() is None


def test_a_trainable_reload_can_be_trained_on(saved):
    model = load_adapter(network(), saved, base=BASE, trainable=True)
    before = trainable_parameters(model)[0]
    assert before > 0
    model(input_ids=ids(), labels=ids(), use_cache=False).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_a_frozen_reload_has_nothing_to_train(saved):
    assert trainable_parameters(load_adapter(network(), saved, base=BASE))[0] == 0


def test_saved_files_are_pefts_and_name_no_local_folder(saved):
    assert sorted(file.name for file in saved.iterdir()) == ["README.md", "adapter_config.json", ADAPTER_WEIGHTS]
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert config["revision"] == "0123"
    assert "/" not in json.dumps(config)


@pytest.mark.parametrize("other", [BaseIdentity("other", "0123", "causal"), BaseIdentity("tiny", "4567", "causal")])
def test_an_adapter_of_another_base_is_refused(saved, other):
    with pytest.raises(TrainingError, match="belongs to base tiny at revision 0123"):
        load_adapter(network(), saved, base=other)


def rewrite(folder, change):
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    change(tensors)
    save_file(tensors, folder / ADAPTER_WEIGHTS)


KEY = f"{PREFIX}model.layers.1.self_attn.v_proj.lora_B.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(KEY), "1 tensors of the adapter are missing"),
        (lambda tensors: tensors.update({f"{PREFIX}model.extra.lora_A.weight": torch.ones(4, 32)}), "1 tensors"),
        (lambda tensors: tensors.update({KEY: torch.full((32, 4), float("nan"))}), "not finite"),
        (lambda tensors: tensors.update({KEY: torch.zeros(0)}), "is empty"),
        (lambda tensors: tensors.update({KEY.replace("_B", "_A"): torch.zeros(4, 32)}), "lora_A.weight is zero"),
        (lambda tensors: tensors.update({k: v * 0 for k, v in tensors.items() if "_B" in k}), "does nothing: every"),
        (lambda tensors: tensors.update({KEY: torch.zeros(32, 5)}), "does not fit the base"),
        (lambda tensors: tensors.clear(), "has no tensors"),
    ],
)
def test_tensors_that_are_not_the_adapters_are_refused(copied, change, message):
    rewrite(copied, change)
    with pytest.raises(TrainingError, match=message):
        load_adapter(network(), copied, base=BASE)


def test_pickled_and_damaged_adapters_are_refused(copied):
    (copied / ADAPTER_WEIGHTS).write_bytes((copied / ADAPTER_WEIGHTS).read_bytes()[:100])
    with pytest.raises(TrainingError, match="damaged file"):
        load_adapter(network(), copied, base=BASE)
    (copied / ADAPTER_WEIGHTS).rename(copied / "adapter_model.bin")
    with pytest.raises(TrainingError, match="pickled adapters are not read"):
        load_adapter(network(), copied, base=BASE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-10], "not valid JSON"),
        (lambda text: "\udcff", "not valid JSON"),
        (lambda text: "[]", "expected a JSON object, found list"),
        (lambda text: edited(text, peft_type=None), "peft_type: expected one of .*LORA.*, found None"),
        (lambda text: text.replace("peft_type", "kind"), "peft_type: expected one of .*, found none"),
        (lambda text: edited(text, peft_type="LORRA"), "found 'LORRA'"),
        (lambda text: edited(text, peft_type={}), "found {}"),
        (lambda text: edited(text, r="four"), "r: expected int, found 'four'"),
        (lambda text: edited(text, r=True), "r: expected int, found True"),
        (lambda text: edited(text, lora_alpha=[8]), r"lora_alpha: expected int or float, found \[8\]"),
        (lambda text: edited(text, target_modules=3), "target_modules: expected str or list, found 3"),
        (lambda text: edited(text, rank_pattern=[1]), r"rank_pattern: expected dict, found \[1\]"),
        (lambda text: edited(text, layers_to_transform="x"), "adapter_config.json: PEFT cannot"),
        (lambda text: edited(text, r=-1), "does not fit the base"),
    ],
)
def test_malformed_configurations_are_refused_by_name(copied, change, message):
    file = copied / "adapter_config.json"
    file.write_bytes(change(file.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(TrainingError, match=message):
        load_adapter(network(), copied, base=BASE)


def edited(text, **changes):
    return json.dumps(json.loads(text) | changes)


def test_rank_patterns_pass_the_check_of_empty_tensors(copied):
    file = copied / "adapter_config.json"
    file.write_text(edited(file.read_text(), rank_pattern={"layers.1.self_attn.v_proj": 4}))
    load_adapter(network(), copied, base=BASE)


def test_one_matrix_that_nothing_reached_may_stay_zero(copied):
    rewrite(copied, lambda tensors: tensors.update({KEY: torch.zeros(32, 4)}))
    load_adapter(network(), copied, base=BASE)


@pytest.mark.parametrize("name", METHODS)
def test_an_untrained_adapter_is_refused_where_it_shows(name, tmp_path):
    fresh = add_adapter(network(), METHODS[name], total_steps=STEPS, context=32)
    with torch.no_grad():
        for parameter_name, parameter in fresh.named_parameters():
            if "lora_E" in parameter_name:
                parameter.zero_()
    is_recognised = name in ("lora", "rank_stabilised", "dora", "adalora", "adaption_prompt")
    with pytest.raises(TrainingError, match="does nothing") if is_recognised else nullcontext():
        save_adapter(fresh, tmp_path / "adapter", base=BASE, card="card")
        load_adapter(network(), tmp_path / "adapter", base=BASE)


def test_a_whole_network_is_no_adapter(tmp_path):
    (tmp_path / "base.json").write_text("{}")
    with pytest.raises(TrainingError, match="found a whole network, as full fine-tuning writes it"):
        load_adapter(network(), tmp_path, base=BASE)


def test_a_tensor_that_is_not_finite_is_not_saved(tmp_path):
    model, _ = trained(METHODS["lora"], 1)
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).fill_(float("inf"))
    with pytest.raises(TrainingError, match="not finite"):
        save_adapter(model, tmp_path / "adapter", base=BASE, card="card")
    assert not (tmp_path / "adapter").exists()


def test_names_that_peft_would_mix_up_are_refused(saved):
    with pytest.raises(TrainingError, match="must not contain 'lora'"):
        load_adapter(network(), saved, base=BASE, adapter_name="clinical_LoRA")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (AdaptionPrompt(adapter_len=4, adapter_layers=30), "adapter_layers is 30, but the base has 2 layers"),
        (PromptTuning(num_virtual_tokens=40), "40 virtual tokens and a context of 32 tokens make 72 positions"),
        (Lora(target_modules=("no_such_module",)), "does not fit the base"),
    ],
)
def test_methods_that_do_not_fit_the_base_are_refused(method, message):
    with pytest.raises(TrainingError, match=message):
        add_adapter(network(), method, total_steps=STEPS, context=32)


def test_a_context_beyond_the_positions_of_the_base_is_refused():
    with pytest.raises(TrainingError, match="context is 65 tokens, but the base has 64 positions"):
        add_adapter(network(), METHODS["lora"], total_steps=STEPS, context=65)


@pytest.mark.parametrize(
    ("method", "steps", "message"),
    [
        (AdaLora(init_r=4, target_r=4), 100, "target_r below init_r"),
        (AdaLora(initial_ratio=0.5, final_ratio=0.5), 100, "leave no room"),
        (AdaLora(), 1, "leave no room"),
    ],
)
def test_adalora_settings_that_cannot_allocate_are_refused(method, steps, message):
    with pytest.raises(TrainingError, match=message):
        method.peft_config(total_steps=steps)


@pytest.mark.parametrize(
    ("key", "is_of_it"),
    [
        (f"{PREFIX}lm_head.lora_A.weight", True),
        ("lm_head.lora_E", True),
        (f"{PREFIX}model.layers.0.self_attn.q_proj.lora_A.weight", False),
        ("base_model.lora_shared", False),
    ],
)
def test_a_matrix_that_layers_share_is_not_of_the_vocabulary(key, is_of_it):
    assert is_of_vocabulary_layer(key) is is_of_it
