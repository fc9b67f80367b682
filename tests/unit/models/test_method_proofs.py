"""What every method of the catalogue, every form of LoRA and all virtual tokens can do, on networks of width 32."""

from pathlib import Path

import pytest
import torch
from method_cases import LORAS, PROMPTS, SMALL, method_of, token_ids, train_clinical
from models_fixtures import write_base
from peft import PeftModel
from transformers import AutoModelForCausalLM

from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json, sha256_file
from clinical_peft.methods import METHODS
from clinical_peft.methods.catalogue import CATALOGUE
from clinical_peft.methods.lora import Lora
from clinical_peft.models.adapters import load_adapter, read_adapter_tensors
from clinical_peft.models.bases import read_identity
from clinical_peft.models.classifiers import build_classifier, check_gradients, frozen_digest
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.saving import load_saved, save_classifier
from clinical_peft.recipes.classifier_adapters import refuse_task
from clinical_peft.recipes.variants import Variant

CLASSES = 3
LENGTHS = torch.tensor([12, 5, 9, 12, 3, 7])
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
ADAPTERS = [*SMALL, *LORAS]
# Parts of a base come back by another path of float sums; elsewhere nothing changes at all.
WITHIN = {name: 1e-5 for name in (*LORAS, *PROMPTS) if name.startswith(("pissa", "olora", "p_tuning"))}


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {family: write_base(folder / family, family) for family in ("causal", "encoder")}


@pytest.fixture(scope="module")
def clinical(bases, tmp_path_factory):
    """Folders of trained clinical adapters by case, and their logits; each is trained once."""
    folder, found = tmp_path_factory.mktemp("clinical"), {}

    def trained(name: str) -> tuple[Path, torch.Tensor]:
        if name not in found:
            place = folder / str(len(found))
            found[name] = (place, train_clinical(place, bases["causal"], method_of(name)))
        return found[name]

    return trained


def language_model(base: Path):
    return AutoModelForCausalLM.from_pretrained(base)


@torch.no_grad()
def logits_of(model) -> torch.Tensor:
    return model.eval()(input_ids=token_ids(), use_cache=False).logits


@torch.no_grad()
def class_logits(network, family: str) -> torch.Tensor:
    pooling = find_pooling(family)
    return pooling.logits(network.eval(), pooling.features(network, token_ids(), LENGTHS, last_position=False))


def train(classifier) -> None:
    optimizer = torch.optim.AdamW(classifier.trained_parameters().values(), lr=0.05)
    classifier.train_mode()
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(classifier).backward()
        optimizer.step()


def loss_of(classifier) -> torch.Tensor:
    logits = classifier.logits(classifier.features(token_ids(), LENGTHS))
    return torch.nn.functional.cross_entropy(logits, LABELS)


def built(bases, family: str, task: str | None, *, mode=None, folder: Path | None = None):
    method = None if task is None else method_of(task, family)
    variant = Variant(family=family, clinical=mode, task_method=method)
    return build_classifier(variant, bases[family], folder, classes=CLASSES, seed=1)


def test_every_method_of_the_catalogue_has_a_case():
    assert set(SMALL) == set(CATALOGUE)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_clinical_adapter_reloads_and_merges(name, bases, clinical):
    folder, trained = clinical(name)
    base, method = bases["causal"], method_of(name)
    identity, plain = read_identity(base), logits_of(language_model(base))
    assert (trained - plain).abs().max() > 1e-3
    loaded = load_adapter(language_model(base), folder, base=identity)
    assert (logits_of(loaded) - trained).abs().max() <= WITHIN.get(name, 0.0)
    by_peft = PeftModel.from_pretrained(language_model(base), folder)
    assert torch.equal(logits_of(by_peft), logits_of(loaded))
    assert method.can.merge
    torch.testing.assert_close(logits_of(loaded.merge_and_unload(safe_merge=True)), trained, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_new_clinical_adapter_is_zero_where_it_says(name, bases):
    if name in ("init false", "orthogonal", "olora") or name.startswith("pissa"):
        pytest.skip("initial values that are not zero")
    torch.manual_seed(0)
    model = add_adapter(language_model(bases["causal"]), method_of(name), total_steps=4, context=24)
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    parts = method_of(name).start_at_zero
    assert trained
    assert all((not value.any()) == any(part in key for part in parts) for key, value in trained.items())


@pytest.mark.parametrize("family", ["causal", "encoder"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_a_task_adapter_trains_alone_and_reloads(name, family, bases, tmp_path):
    check_task_adapter(built(bases, family, name), family, bases, tmp_path, within=WITHIN.get(name, 0.0))


@pytest.mark.parametrize("name", PROMPTS)
def test_virtual_tokens_are_learned_on_a_task(name, bases, tmp_path):
    classifier = built(bases, "causal", name)
    check_task_adapter(classifier, "causal", bases, tmp_path, within=WITHIN.get(name, 0.0))
    # PEFT's own forward pass takes the last position of a note.
    with torch.no_grad():
        own = torch.cat(
            [
                classifier.complete_network(input_ids=token_ids()[row : row + 1, :length], use_cache=False).logits
                for row, length in enumerate(LENGTHS.tolist())
            ]
        )
    torch.testing.assert_close(class_logits(classifier.network, "causal"), own, rtol=1e-5, atol=1e-5)


def check_task_adapter(classifier, family, bases, folder: Path, *, within: float) -> None:
    """Check gradients, frozen weights and reload of a classifier with a task adapter."""
    check_gradients(classifier, loss_of(classifier))
    before = {name: value.detach().clone() for name, value in classifier.network.named_parameters()}
    frozen, base = frozen_digest(classifier), sha256_file(bases[family] / "model.safetensors")
    train(classifier)
    changed = {name for name, value in classifier.network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == set(classifier.trained_parameters())
    assert len(changed) > 1
    assert frozen_digest(classifier) == frozen
    save_classifier(classifier, folder / "model", base=bases[family], card="A test.\n", context=12)
    reloaded = class_logits(load_saved(folder / "model", bases[family]), family)
    assert (reloaded - class_logits(classifier.network, family)).abs().max() <= within
    assert sha256_file(bases[family] / "model.safetensors") == base


STACKED = [name for name in ADAPTERS if method_of(name).can.follow]


@pytest.mark.parametrize("mode", ["frozen", "trainable"])
@pytest.mark.parametrize("name", STACKED)
def test_a_task_adapter_follows_a_clinical_one(name, mode, bases, clinical, tmp_path):
    folder, _ = clinical(name)
    classifier = built(bases, "causal", name, mode=mode, folder=folder)
    assert classifier.adapted.base_model.active_adapters == ["clinical", "task"]
    check_task_adapter(classifier, "causal", bases, tmp_path, within=WITHIN.get(name, 0.0))
    both = class_logits(classifier.network, "causal")
    for absent in ("clinical", "task"):
        classifier.adapted.base_model.set_adapter([{"clinical": "task", "task": "clinical"}[absent]])
        assert (class_logits(classifier.network, "causal") - both).abs().max() > 1e-4


@pytest.mark.parametrize("name", [*SMALL, *PROMPTS, "pissa"])
def test_a_task_adapter_comes_after_a_merged_one(name, bases, clinical, tmp_path):
    folder, _ = clinical("vera")
    classifier = built(bases, "causal", name, mode="merged", folder=folder)
    check_task_adapter(classifier, "causal", bases, tmp_path, within=WITHIN.get(name, 0.0))


def test_only_methods_that_say_so_cannot_be_stacked(bases, clinical):
    assert [name for name in ADAPTERS if name not in STACKED] == ["ln_tuning", "dora"]
    for name in ("ln_tuning", "dora"):
        with pytest.raises(TrainingError, match=r"cannot follow|nor share a network"):
            built(bases, "causal", name, mode="frozen", folder=clinical(name)[0])


def test_two_types_share_no_network(bases, clinical):
    with pytest.raises(TrainingError, match="of type loha cannot share a network with a clinical adapter of type VERA"):
        built(bases, "causal", "loha", mode="frozen", folder=clinical("vera")[0])
    refusal = refuse_task(METHODS["loha"], "frozen", family="causal", clinical=METHODS["vera"])
    assert refusal.endswith("set clinical_mode to merged, or choose a task adapter of type vera")


def test_virtual_tokens_need_a_decoder_alone(bases, clinical):
    for name in PROMPTS:
        with pytest.raises(TrainingError, match="before a note's first token, which an encoder pools; use a decoder"):
            built(bases, "encoder", name)
        with pytest.raises(TrainingError, match="cannot follow a clinical adapter"):
            built(bases, "causal", name, mode="frozen", folder=clinical("lora")[0])


@pytest.mark.parametrize("name", ["pissa", "pissa, rank-stabilised", "pissa, patterns", "olora"])
def test_parts_of_the_base_are_saved_as_plain_lora(name, bases, clinical):
    folder, _ = clinical(name)
    record, tensors = read_json(folder / "adapter_config.json"), read_adapter_tensors(folder)
    assert (record["init_lora_weights"], record["r"]) == (True, 8)
    ranks = {tensor.shape[0] for key, tensor in tensors.items() if "lora_A" in key}
    assert ranks == ({8, 4} if "patterns" in name else {8})


def test_a_frozen_adapter_has_no_layer_dropout_beside_a_trained_one(bases, clinical, tmp_path):
    folder = tmp_path / "clinic"
    method = type(method_of("loha"))(r=4, module_dropout=0.5, rank_dropout=0.5)
    train_clinical(folder, bases["causal"], method)
    classifier = built(bases, "causal", "loha", mode="frozen", folder=folder)
    classifier.train_mode()
    first, second = (classifier.features(token_ids(), LENGTHS) for _ in range(2))
    assert torch.equal(first, second)


def test_a_pattern_that_fits_no_layer_is_refused(bases):
    with pytest.raises(TrainingError, match="rank_pattern: qproj: the base has no such layer; correct the name"):
        add_adapter(language_model(bases["causal"]), Lora(rank_pattern={"qproj": 2}), total_steps=4, context=24)
    variant = Variant(family="causal", task_method=Lora(alpha_pattern={"(": 2}))
    with pytest.raises(TrainingError, match=r"alpha_pattern: \(: no regular expression"):
        build_classifier(variant, bases["causal"], None, classes=CLASSES, seed=1)


def test_layers_that_peft_cannot_adapt_end_in_one_line(bases):
    method = type(METHODS["lokr"])(target_modules=("embed_tokens",))
    with pytest.raises(TrainingError, match=r"^lokr: the adapter does not fit the base: ") as caught:
        add_adapter(language_model(bases["causal"]), method, total_steps=4, context=24)
    assert "\n" not in str(caught.value)
