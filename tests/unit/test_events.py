"""Run logs: what is written is read, and a kill in the middle of a line loses that line alone."""

import json
import math

import pytest

from clinical_peft.errors import DataError
from clinical_peft.events import JsonlLog, append_metrics, read_events


def test_a_log_holds_parameters_and_finite_figures(tmp_path):
    log = JsonlLog(tmp_path / "runs" / "a.jsonl", kind="models", name="los/seed0", parent="llama")
    log.params({"lr": 0.1})
    log.metrics({"loss": 2.0, "bad": math.nan}, step=3)
    run, params, metrics = read_events(log.path)
    assert run["run"] == {"kind": "models", "name": "los/seed0", "parent": "llama", "tags": {}}
    assert params["params"] == {"lr": 0.1}
    assert (metrics["metrics"], metrics["step"]) == ({"loss": 2.0}, 3)


def test_undefined_figures_are_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    append_metrics(path, {"auroc": None, "auprc": 0.5})
    assert read_events(path)[0]["metrics"] == {"auprc": 0.5}


def test_a_resumed_log_drops_the_line_that_a_kill_cut(tmp_path):
    log = JsonlLog(tmp_path / "a.jsonl", kind="models", name="n")
    log.metrics({"loss": 1.0}, step=1)
    with log.path.open("a") as handle:
        handle.write('{"metrics": {"loss"')
    assert len(read_events(log.path)) == 2
    resumed = JsonlLog(log.path, kind="models", name="n")
    resumed.metrics({"loss": 0.5}, step=2)
    assert [event.get("step") for event in read_events(log.path)] == [None, 1, None, 2]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"a": 1}) + "\nnot json\n" + json.dumps({"b": 1}) + "\n")
    with pytest.raises(DataError, match="line 2"):
        read_events(path)
