import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_fixtures import SHAPE
from torch.nn import functional

from clinical_peft.models.bases import build_causal, build_encoder
from clinical_peft.training import vocabulary
from clinical_peft.training.language_loss import CausalLoss, MaskedLoss
from clinical_peft.training.vocabulary import linear_cross_entropy

CPU = torch.device("cpu")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(2, 30), st.integers(1, 200), st.sampled_from([1, 8, 64]))
def test_chunked_cross_entropy_equals_the_plain_one(tokens, words, at_once, round_rows):
    """Also where the matrix is padded, as on a GPU."""
    generator = torch.Generator().manual_seed(tokens)
    targets = torch.randint(words, (tokens,), generator=generator)
    inputs = [torch.randn(tokens, 8, generator=generator), torch.randn(words, 8, generator=generator)]
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clinical_peft.training.vocabulary.LOGITS_AT_ONCE", {"cpu": at_once})
        patch.setattr("clinical_peft.training.vocabulary.ROUND_ROWS", {"cpu": round_rows})
        for loss in (linear_cross_entropy, lambda h, w, t: functional.cross_entropy(h @ w.T, t, reduction="sum")):
            hidden, weight = (value.clone().requires_grad_() for value in inputs)
            value = loss(hidden, weight, targets)
            (2 * value).backward()
            results.append((value.detach(), hidden.grad, weight.grad))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)


def test_causal_loss_is_transformers_own_despite_padding():
    network = build_causal(SHAPE, seed=0, special={"pad_token_id": 0}).eval()
    loss = CausalLoss(0, CPU)
    rows = [np.arange(3, 3 + length) for length in (9, 4, 1)]
    together, count = loss(network, rows, key=(0,))
    assert count == 8 + 3
    alone = [loss(network, [row], key=(0,))[0] for row in rows]
    torch.testing.assert_close(together, sum(alone), atol=1e-4, rtol=1e-6)
    ids = torch.from_numpy(rows[0])[None]
    torch.testing.assert_close(alone[0] / 8, network(ids, labels=ids).loss)
    assert network.lm_head.weight.shape == (SHAPE.vocabulary, SHAPE.hidden_size)


def test_masks_depend_on_the_key_alone_and_spare_special_tokens():
    network = build_encoder(SHAPE, seed=0, special={"pad_token_id": 0}).eval()
    loss = MaskedLoss(pad=0, mask=4, special=[0, 1, 2, 3, 4], vocabulary=SHAPE.vocabulary, device=CPU)
    rows = [np.arange(10, 60) for _ in range(40)]
    (first, count), again, other = (loss(network, rows, key=key) for key in ((1, 2), (1, 2), (1, 3)))
    assert torch.equal(first, again[0])
    assert not torch.equal(first, other[0])
    assert count == pytest.approx(0.3 * 40 * 50, rel=0.1)
    assert loss(network, [np.array([1, 2, 3])], key=(0,))[1] == 0


@pytest.mark.parametrize(("rows", "padded"), [(32_000, 32_000), (32_001, 32_064), (50_257, 50_304)])
def test_a_vocabulary_is_padded_to_a_round_number_on_a_gpu(rows, padded):
    meta = torch.device("meta")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vocabulary.ROUND_ROWS, "meta", vocabulary.ROUND_ROWS["cuda"])
        assert vocabulary._padded(torch.empty(rows, 4, device=meta)).shape == (padded, 4)
    assert vocabulary._padded(torch.empty(rows, 4)).shape == (rows, 4)


def test_a_padding_row_of_the_base_takes_no_column_of_the_products(monkeypatch):
    network = build_causal(SHAPE, seed=0, special={"pad_token_id": 0}).eval()
    seen = []

    def product(before, matrix, targets):
        seen.append(len(matrix))
        return linear_cross_entropy(before, matrix, targets)

    monkeypatch.setattr("clinical_peft.training.language_loss.linear_cross_entropy", product)
    CausalLoss(0, CPU, columns=SHAPE.vocabulary - 1)(network, [np.arange(3, 12)], key=(0,))
    assert seen == [SHAPE.vocabulary - 1]
