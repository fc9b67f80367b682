"""The claims about GPUs: what can be asked of a CPU holds, and a claim that fails is told."""

import importlib
import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def acceptance():
    """The benchmark's main module and that of its setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        yield importlib.import_module("gpu_acceptance"), importlib.import_module("gpu_setting")


def lines_of(acceptance, path, *arguments):
    """Exit code and findings of a run at small size."""
    code = acceptance[0].main(["--small", "--out", str(path), *arguments])
    return code, [json.loads(line) for line in path.read_text().splitlines()]


def test_what_a_cpu_can_be_asked_holds(acceptance, tmp_path):
    code, lines = lines_of(acceptance, tmp_path / "x.jsonl", "--only", "machine", "--only", "equality", "--only", "var")
    assert code == 0
    assert [line["holds"] for line in lines] == [None, None, True]
    assert all({"claim", "holds", "at", "seconds"} <= line.keys() for line in lines)
    found = lines[2]["loss_and_gradients_differ_by"]
    assert len(found) == 4
    assert all(loss < 1e-6 and gradients < 1e-5 for loss, gradients in found.values())


@pytest.mark.slow
def test_every_claim_can_be_asked_at_small_size(acceptance, tmp_path):
    code, lines = lines_of(acceptance, tmp_path / "x.jsonl")
    assert code == 0, [line for line in lines if line["holds"] is False]
    assert sum(line["holds"] is True for line in lines) >= 5
    assert not any("skipped" in line or "error" in line for line in lines)


def test_a_claim_that_ends_with_an_error_does_not_hold(acceptance, tmp_path, monkeypatch):
    main, setting = acceptance

    def fail(_):
        yield setting.Finding("first", True, {})
        raise ValueError("broken")

    monkeypatch.setattr(main, "CLAIMS", (setting.Claim("a", 0, fail), *main.CLAIMS[:1]))
    code, lines = lines_of(acceptance, tmp_path / "x.jsonl")
    assert code == 1
    assert [line["holds"] for line in lines] == [True, False, None]
    assert lines[1]["error"] == "ValueError: broken"
    assert lines[1]["where"].startswith("test_gpu_acceptance.py:")


def test_claims_beyond_the_budget_say_so(acceptance):
    main, setting = acceptance
    claim = setting.Claim("long", 100, lambda _: pytest.fail("asked"))
    (finding,) = main.ask(claim, setting.Setting(small=False, seconds=50))
    assert finding.holds is None
    assert finding.facts["skipped"].startswith("needs 100 s")


def test_a_claim_that_does_not_exist_is_named(acceptance):
    with pytest.raises(SystemExit, match="--only nothing: expected the beginning of one of: machine; varlen kernel"):
        acceptance[0].main(["--small", "--only", "nothing"])
