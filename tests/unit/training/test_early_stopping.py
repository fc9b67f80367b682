"""Which weights the training of an adapter keeps, and when it ends early."""

import pytest
from language_fixtures import ADALORA, job, run, unlearning_tokens, weight_bytes


def test_the_weights_with_the_best_validation_are_kept(base, tmp_path):
    tokens = unlearning_tokens(tmp_path, base)
    best = run(tmp_path / "best", base, tokens, job(evaluations=4))
    last = run(tmp_path / "last", base, tokens, job(evaluations=4, switches={"last_epoch": True}))
    perplexities = [point["validation_perplexity"] for point in best["curve"]]
    assert perplexities == [point["validation_perplexity"] for point in last["curve"]]
    assert perplexities == sorted(perplexities)
    assert perplexities[-1] > 1.02 * perplexities[0]
    assert best["kept_update"] == best["curve"][0]["step"]
    assert best["perplexity"]["after"]["validation"] == pytest.approx(perplexities[0], rel=1e-4)
    assert last["perplexity"]["after"]["validation"] == pytest.approx(perplexities[-1], rel=1e-4)


@pytest.mark.parametrize("patience", [1, 3])
def test_training_ends_when_validation_gets_no_better(patience, base, tmp_path):
    tokens = unlearning_tokens(tmp_path, base)
    whole = run(tmp_path / "whole", base, tokens, job(evaluations=6))
    early = run(tmp_path / "early", base, tokens, job(evaluations=6, patience=patience))
    assert early["curve"] == whole["curve"][: 1 + patience]
    assert early["kept_update"] == whole["kept_update"] == whole["curve"][0]["step"]
    assert (early["stopped_early"], whole["stopped_early"]) == (True, False)
    assert early["tokens"]["trained_on"] == early["curve"][-1]["tokens"] < whole["tokens"]["trained_on"]
    assert weight_bytes(tmp_path / "early") == weight_bytes(tmp_path / "whole")


def test_a_run_that_gets_better_is_not_cut_short(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(evaluations=6, patience=1))
    perplexities = [point["validation_perplexity"] for point in result["curve"]]
    assert perplexities == sorted(perplexities, reverse=True)
    assert not result["stopped_early"]


def test_adalora_keeps_patience_until_its_ranks_are_final(base, tmp_path):
    result = run(tmp_path, base, unlearning_tokens(tmp_path, base), job(ADALORA, evaluations=6, patience=1))
    assert sum(result["remaining_ranks"]) == 4 * 2
    assert len(result["curve"]) > 2
