"""Every variant trains exactly what it names, uses every adapter it names, and reloads to the same logits."""

import json
from pathlib import Path

import pytest
import torch
from models_fixtures import ENCODER_LORA, TASK_LORA, make_job, write_base, write_clinical
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, LlamaForCausalLM
from variant_cases import CAUSAL, ENCODER, LORA_PLACES, TASK_DORA, lora_names

from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json
from clinical_peft.models.adapters import load_adapter
from clinical_peft.models.bases import read_identity
from clinical_peft.models.classifiers import build_classifier, check_gradients, frozen_digest
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.saving import load_saved, save_classifier
from clinical_peft.recipes.variants import Variant, variant_of

CLASSES = 3


VARIANTS = [*CAUSAL.values(), *ENCODER.values()]
NAMES = [f"causal:{name}" for name in CAUSAL] + [f"encoder:{name}" for name in ENCODER]


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    bases = {family: write_base(folder / family, family) for family in ("causal", "encoder")}
    bases["encoder without pooler"] = write_base(folder / "no-pooler", "encoder", pooler=False)
    bases["clinical"] = write_clinical(folder / "clinic", bases["causal"])
    return bases


def build(variant: Variant, bases: dict[str, Path], *, seed: int = 1):
    return build_classifier(
        variant, bases[variant.family], bases["clinical"] if variant.clinical else None, classes=CLASSES, seed=seed
    )


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randint(4, 200, (6, 12)), torch.tensor([12, 5, 9, 12, 3, 7]), torch.tensor([0, 1, 2, 0, 1, 2])


def loss_of(classifier) -> torch.Tensor:
    ids, lengths, labels = batch()
    return torch.nn.functional.cross_entropy(classifier.logits(classifier.features(ids, lengths)), labels)


def logits_of(classifier) -> torch.Tensor:
    classifier.network.eval()
    with torch.no_grad():
        ids, lengths, _ = batch()
        return classifier.logits(classifier.features(ids, lengths))


def train(classifier, steps: int = 4) -> None:
    optimizer = torch.optim.AdamW(classifier.trained_parameters().values(), lr=0.05)
    classifier.train_mode()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(classifier).backward()
        optimizer.step()


@pytest.mark.parametrize(("variant", "names"), VARIANTS, ids=NAMES)
def test_trains_exactly_the_named_parameters(variant, names, bases):
    classifier = build(variant, bases)
    check_gradients(classifier, loss_of(classifier))
    before = {name: value.detach().clone() for name, value in classifier.network.named_parameters()}
    frozen = frozen_digest(classifier)
    train(classifier)
    changed = {name for name, value in classifier.network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == names
    assert set(classifier.trained_parameters()) == names
    assert frozen_digest(classifier) == frozen


@pytest.mark.parametrize("family", ["causal", "encoder"])
def test_full_trains_every_weight(family, bases):
    classifier = build(Variant(family=family, full=True), bases)
    check_gradients(classifier, loss_of(classifier))
    before = {name: value.detach().clone() for name, value in classifier.network.named_parameters()}
    train(classifier)
    assert not [name for name, value in classifier.network.named_parameters() if torch.equal(value, before[name])]


@pytest.mark.parametrize("mode", ["frozen", "trainable"])
def test_both_adapters_take_part_in_the_forward_pass(mode, bases):
    classifier = build(Variant(family="causal", clinical=mode, task_method=TASK_LORA), bases)
    train(classifier)
    both = logits_of(classifier)
    for absent in ("clinical", "task"):
        with torch.no_grad():
            kept = {
                name: value.clone()
                for name, value in classifier.network.named_parameters()
                if f"lora_B.{absent}" in name
            }
            assert len(kept) == len(LORA_PLACES)
            for name, value in classifier.network.named_parameters():
                if name in kept:
                    value.zero_()
            assert (logits_of(classifier) - both).abs().max() > 1e-3
            for name, value in classifier.network.named_parameters():
                if name in kept:
                    value.copy_(kept[name])
    torch.testing.assert_close(logits_of(classifier), both, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["frozen", "trainable"])
def test_switch_leaves_the_task_adapter_out(mode, bases):
    job = make_job(f"clinical-{mode}+task", switches={"task_adapter_inactive": True})
    variant = variant_of(job)
    classifier = build(variant, bases)
    assert variant.active == ("clinical",)
    task = {name: value for name, value in classifier.network.named_parameters() if ".task." in name}
    assert set(task) == lora_names("task", LORA_PLACES)
    for value in task.values():
        value.requires_grad_(True)  # no gradient arrives even where one is asked for
        value.data.fill_(0.5)
    without = logits_of(build(Variant(family="causal", clinical=mode), bases))
    torch.testing.assert_close(logits_of(classifier), without, rtol=0, atol=0)
    loss_of(classifier).backward()
    assert all(value.grad is None for value in task.values())


def test_switch_does_not_concern_a_single_adapter():
    switches = {"task_adapter_inactive": True}
    assert variant_of(make_job("task", switches=switches)).active == ("task",)
    assert variant_of(make_job("clinical-merged+task", switches=switches)).active == ("task",)


def test_gradient_check_notices_a_thawed_and_a_frozen_parameter(bases):
    classifier = build(CAUSAL["clinical-frozen+task"][0], bases)
    parameters = dict(classifier.network.named_parameters())
    parameters["model.layers.0.self_attn.q_proj.lora_B.clinical.weight"].requires_grad_(True)
    with pytest.raises(TrainingError, match=r"1 parameters .*q_proj\.lora_B\.clinical"):
        check_gradients(classifier, loss_of(classifier))
    classifier = build(CAUSAL["clinical-trainable+task"][0], bases)
    classifier.adapted.base_model.set_adapter("task")
    with pytest.raises(TrainingError, match=r"8 parameters .*lora_A\.clinical"):
        check_gradients(classifier, loss_of(classifier))


def test_the_seed_decides_head_and_adapter_alone(bases):
    def tensors(variant, seed):
        return build(variant, bases, seed=seed).trained_parameters()

    torch.manual_seed(1)
    first = tensors(CAUSAL["clinical-frozen+task"][0], 5)
    torch.manual_seed(2)
    again, other = tensors(CAUSAL["clinical-frozen+task"][0], 5), tensors(CAUSAL["clinical-frozen+task"][0], 6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_B" not in name)
    head = tensors(CAUSAL["head"][0], 5)["score.weight"]
    assert torch.equal(head, first["score.modules_to_save.task.weight"])


def test_merged_computes_what_the_frozen_adapter_does(bases):
    ids, lengths, _ = batch()
    features = [
        build(Variant(family="causal", clinical=mode), bases).features(ids, lengths)
        for mode in ("frozen", "merged", None)
    ]
    torch.testing.assert_close(features[0], features[1], rtol=1e-5, atol=1e-5)
    assert (features[0] - features[2]).abs().max() > 0.1


@pytest.mark.parametrize("family", ["causal", "encoder"])
def test_scores_do_not_depend_on_padding_or_batch(family, bases):
    classifier = build(Variant(family=family), bases)
    classifier.network.eval()
    ids, lengths, _ = batch()
    together = classifier.features(ids, lengths)
    wider = classifier.features(torch.nn.functional.pad(ids, (0, 9), value=0), lengths)
    refilled = ids.clone()
    refilled[1, 5:] = 17
    alone = torch.cat(
        [classifier.features(ids[row : row + 1, :n], lengths[row : row + 1]) for row, n in enumerate(lengths)]
    )
    for other in (wider, classifier.features(refilled, lengths), alone):
        torch.testing.assert_close(together, other, rtol=1e-5, atol=2e-6)


def test_last_position_pools_the_padding(bases):
    classifier = build(Variant(family="causal"), bases)
    ids, lengths, _ = batch()
    right, last = (classifier.features(ids, lengths, last_position=flag) for flag in (False, True))
    full = lengths == ids.shape[1]
    torch.testing.assert_close(right[full], last[full])
    assert ((right - last).abs().amax(dim=1) > 1e-3).tolist() == (~full).tolist()


def test_frozen_parts_run_without_dropout(bases, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", bases["causal"])
    config = read_json(clinical / "adapter_config.json") | {"lora_dropout": 0.5}
    (clinical / "adapter_config.json").write_text(json.dumps(config))
    for mode, same in (("frozen", True), ("trainable", False)):
        variant = Variant(family="causal", clinical=mode, task_method=TASK_LORA)
        classifier = build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1)
        classifier.train_mode()
        ids, lengths, _ = batch()
        assert torch.equal(classifier.features(ids, lengths), classifier.features(ids, lengths)) is same
    encoder = build(Variant(family="encoder"), bases)
    encoder.train_mode()
    assert torch.equal(encoder.features(ids, lengths), encoder.features(ids, lengths))


def reload_plainly(folder: Path, base: Path):
    """Load a classifier as docs/models.md prints it; `test_reload_lines.py` runs the lines themselves."""
    full, head, clinical, task = (folder / part for part in ("full", "head", "clinical", "task"))
    network = AutoModelForSequenceClassification.from_pretrained(full if full.exists() else base, num_labels=CLASSES)
    if head.exists():
        network.load_state_dict(load_file(head / "model.safetensors"), strict=False)
    model = PeftModel.from_pretrained(network, clinical, adapter_name="clinical") if clinical.exists() else None
    if model and read_json(folder / "classifier.json")["clinical"] == "merged":
        network, model = model.merge_and_unload(), None
    if task.exists() and model:
        model.load_adapter(task, adapter_name="task")
        model.base_model.set_adapter(["clinical", "task"])
    elif task.exists():
        PeftModel.from_pretrained(network, task, adapter_name="task")
    return network.eval()


FULL = [Variant(family=family, full=True) for family in ("causal", "encoder")]


@pytest.mark.parametrize(
    "variant", [variant for variant, _ in VARIANTS] + FULL, ids=[*NAMES, "causal:full", "encoder:full"]
)
def test_reload_gives_identical_logits(variant, bases, tmp_path):
    classifier = build(variant, bases)
    train(classifier)
    trained = logits_of(classifier)
    base = bases[variant.family]
    save_classifier(classifier, tmp_path / "model", base=base, card="A test.\n", context=12)
    assert not list((tmp_path / "model").rglob("*.bin"))
    ids, lengths, _ = batch()
    for network in (load_saved(tmp_path / "model", base), reload_plainly(tmp_path / "model", base)):
        with torch.no_grad():
            features = find_pooling(variant.family).features(network, ids, lengths, last_position=False)
            assert (find_pooling(variant.family).logits(network, features) - trained).abs().max() == 0.0
            ids_with_padding = ids.masked_fill(torch.arange(12) >= lengths[:, None], 0)
            mask = (torch.arange(12) < lengths[:, None]).long()
            ours = network(input_ids=ids_with_padding, attention_mask=mask).logits
        torch.testing.assert_close(ours, trained, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", [None, ENCODER_LORA], ids=["head", "task"])
def test_reload_of_an_encoder_whose_base_has_no_pooler(task, bases, tmp_path):
    base = bases["encoder without pooler"]
    classifier = build_classifier(Variant(family="encoder", task_method=task), base, None, classes=CLASSES, seed=9)
    train(classifier)
    save_classifier(classifier, tmp_path / "model", base=base, card="A test.\n", context=12)
    ids, lengths, _ = batch()
    for network in (load_saved(tmp_path / "model", base), reload_plainly(tmp_path / "model", base)):
        features = find_pooling("encoder").features(network, ids, lengths, last_position=False)
        assert (find_pooling("encoder").logits(network, features) - logits_of(classifier)).abs().max() == 0.0


def test_frozen_adapter_is_saved_byte_for_byte(bases, tmp_path):
    classifier = build(CAUSAL["clinical-frozen+task"][0], bases)
    train(classifier)
    save_classifier(classifier, tmp_path / "model", base=bases["causal"], card="A test.\n", context=12)
    name = "adapter_model.safetensors"
    assert (tmp_path / "model/clinical" / name).read_bytes() == (bases["clinical"] / name).read_bytes()


@pytest.mark.parametrize(
    ("kind", "mode", "task", "message"),
    [
        ("adaption_prompt", "frozen", None, "found ADAPTION_PROMPT, which belongs to the language model"),
        ("adalora", "trainable", None, "set clinical_mode to merged"),
        ("adalora", "frozen", TASK_LORA, "set clinical_mode to merged"),
    ],
)
def test_unusable_clinical_adapters_are_refused(kind, mode, task, message, bases, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", bases["causal"], kind)
    variant = Variant(family="causal", clinical=mode, task_method=task)
    with pytest.raises(TrainingError, match=message):
        build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1)


def test_adalora_adapter_can_be_merged_or_stay_frozen(bases, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", bases["causal"], "adalora")
    ids, lengths, _ = batch()
    features = []
    for mode, task in (("frozen", None), ("merged", None), ("merged", TASK_LORA)):
        variant = Variant(family="causal", clinical=mode, task_method=task)
        classifier = build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1)
        check_gradients(classifier, loss_of(classifier))
        features.append(classifier.features(ids, lengths))
    torch.testing.assert_close(features[0], features[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features[0], features[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["frozen", "trainable", "merged"])
@pytest.mark.parametrize("task", [None, TASK_LORA], ids=["head", "task"])
def test_a_clinical_dora_adapter_serves_every_variant(mode, task, bases, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", bases["causal"], "dora")
    variant = Variant(family="causal", clinical=mode, task_method=task)
    classifier = build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1)
    magnitudes = {f"{place}.lora_magnitude_vector.clinical.weight" for place in LORA_PLACES}
    assert (magnitudes <= classifier.trained_parameters().keys()) == (mode == "trainable")
    merged = Variant(family="causal", clinical="merged")
    reference = build_classifier(merged, bases["causal"], clinical, classes=CLASSES, seed=1)
    ids, lengths, _ = batch()
    torch.testing.assert_close(
        classifier.features(ids, lengths), reference.features(ids, lengths), rtol=1e-5, atol=1e-5
    )
    check_gradients(classifier, loss_of(classifier))
    train(classifier)
    trained = logits_of(classifier)
    save_classifier(classifier, tmp_path / "model", base=bases["causal"], card="A test.\n", context=12)
    for network in (
        load_saved(tmp_path / "model", bases["causal"]),
        reload_plainly(tmp_path / "model", bases["causal"]),
    ):
        with torch.no_grad():
            features = find_pooling("causal").features(network, ids, lengths, last_position=False)
        assert (find_pooling("causal").logits(network, features) - trained).abs().max() == 0.0


@pytest.mark.parametrize("task", [None, TASK_LORA], ids=["head", "task"])
@pytest.mark.parametrize(
    ("kind", "mode"), [("lora", "frozen"), ("lora", "trainable"), ("lora", "merged"), ("adalora", "merged")]
)
def test_an_adapted_vocabulary_layer_is_dropped(kind, mode, task, bases, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", bases["causal"], kind, ("q_proj", "v_proj", "lm_head"))
    variant = Variant(family="causal", clinical=mode, task_method=task)
    classifier = build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1)
    check_gradients(classifier, loss_of(classifier))
    train(classifier)
    trained = logits_of(classifier)
    save_classifier(classifier, tmp_path / "model", base=bases["causal"], card="A test.\n", context=12)
    ids, lengths, _ = batch()
    with torch.no_grad():
        network = load_saved(tmp_path / "model", bases["causal"])
        features = find_pooling("causal").features(network, ids, lengths, last_position=False)
        assert torch.equal(find_pooling("causal").logits(network, features), trained)
        body = LlamaForCausalLM.from_pretrained(bases["causal"])
        language_model = load_adapter(body, clinical, base=read_identity(bases["causal"]))
        before = build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1).network.base_model
        states = language_model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(before(input_ids=ids).last_hidden_state, states, rtol=1e-5, atol=1e-5)


def test_an_adapter_of_the_vocabulary_layer_alone_is_refused(bases, tmp_path):
    clinical = write_clinical(tmp_path / "clinic", bases["causal"], "lora", ("lm_head",))
    variant = Variant(family="causal", clinical="frozen")
    with pytest.raises(TrainingError, match="the adapter changes only the vocabulary layer"):
        build_classifier(variant, bases["causal"], clinical, classes=CLASSES, seed=1)


@pytest.mark.parametrize("mode", ["frozen", "trainable"])
def test_a_dora_task_adapter_does_not_follow_a_clinical_one(mode, bases):
    with pytest.raises(TrainingError, match="task adapter: DoRA cannot follow a clinical adapter"):
        build(Variant(family="causal", clinical=mode, task_method=TASK_DORA), bases)


def test_errors_of_a_user(bases, tmp_path):
    with pytest.raises(TrainingError, match="expected a base of family encoder, found causal"):
        build_classifier(Variant(family="encoder"), bases["causal"], None, classes=2, seed=1)
    with pytest.raises(TrainingError, match="the adapter does not fit the base, which has no layer q_proj"):
        build_classifier(Variant(family="encoder", task_method=TASK_LORA), bases["encoder"], None, classes=2, seed=1)
    with pytest.raises(TrainingError, match="clinical adapter: expected frozen"):
        build_classifier(Variant(family="causal", clinical="frozen"), bases["causal"], None, classes=2, seed=1)
    with pytest.raises(TrainingError, match="has no network"):
        variant_of(make_job("head", family=None))
    other = write_base(tmp_path / "other", "causal")
    with pytest.raises(TrainingError, match="belongs to base"):
        build_classifier(Variant(family="causal", clinical="frozen"), other, bases["clinical"], classes=2, seed=1)
