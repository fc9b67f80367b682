"""Pooled features equal those of a whole forward pass, in value and in gradient."""

import pytest
import torch
from models_fixtures import write_base
from transformers import AutoModelForSequenceClassification

from clinical_peft.models import encoding
from clinical_peft.models.encoding import pooled_features


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    base = write_base(tmp_path_factory.mktemp("bases") / "causal", "causal")
    return AutoModelForSequenceClassification.from_pretrained(base, num_labels=3).eval()


def notes() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([12, 1, 7])
    ids = torch.randint(4, 200, (3, 12), generator=generator)
    return ids.masked_fill(torch.arange(12) >= lengths[:, None], 0), lengths


@pytest.mark.parametrize("last_position", [False, True])
def test_features_and_gradients_equal_those_of_every_position(last_position, network):
    ids, lengths = notes()
    mask = (torch.arange(12) < lengths[:, None]).long()
    results = []
    for short in (True, False):
        network.zero_grad()
        if short:
            features = pooled_features(network, "causal", ids, lengths, last_position=last_position)
        else:
            states = network.model(input_ids=ids, attention_mask=mask).last_hidden_state
            features = states[:, -1] if last_position else states[torch.arange(3), lengths - 1]
        features.square().sum().backward()
        results.append((features.detach(), {name: value.grad for name, value in network.model.named_parameters()}))
    (ours, our_gradients), (whole, gradients) = results
    torch.testing.assert_close(ours, whole, rtol=1e-5, atol=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_the_last_layer_ends_at_one_position_of_each_note(network):
    shapes = []
    handle = network.model.norm.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    pooled_features(network, "causal", *notes(), last_position=False)
    handle.remove()
    assert shapes == [(3, 1, 32)]


def test_the_network_is_as_before_afterwards(network):
    names = [name for name, _ in network.named_modules()]
    with pytest.raises(IndexError):
        pooled_features(network, "causal", torch.tensor([[4, 10**6]]), torch.tensor([2]), last_position=False)
    assert [name for name, _ in network.named_modules()] == names


def test_layers_of_another_architecture_compute_every_position(network, monkeypatch):
    ids, lengths = notes()
    short = pooled_features(network, "causal", ids, lengths, last_position=False)
    monkeypatch.setattr(encoding, "LlamaDecoderLayer", torch.nn.Linear)
    whole = pooled_features(network, "causal", ids, lengths, last_position=False)
    torch.testing.assert_close(short, whole, rtol=1e-5, atol=1e-6)
