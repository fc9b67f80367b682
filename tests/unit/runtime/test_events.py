"""Run logs: what is written is read, and a kill in the middle of a line loses that line alone."""

import json
import math
import resource

import pytest

from clinical_peft.errors import DataError
from clinical_peft.runtime.events import JsonlLog, append_metrics, read_events


def test_a_log_holds_parameters_and_finite_metrics(tmp_path):
    log = JsonlLog(tmp_path / "runs" / "a.jsonl", kind="models", name="los/seed0", parent="llama")
    log.params({"lr": 0.1})
    log.metrics({"loss": 2.0, "bad": math.nan}, step=3)
    run, params, metrics = read_events(log.path)
    assert run["run"] == {"kind": "models", "name": "los/seed0", "parent": "llama", "tags": {}}
    assert params["params"] == {"lr": 0.1}
    assert (metrics["metrics"], metrics["step"]) == ({"loss": 2.0}, 3)


def test_undefined_metrics_are_dropped(tmp_path):
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


def steps_of(path):
    return [event.get("step") for event in read_events(path) if "metrics" in event]


def test_a_log_is_made_again_from_its_kept_copy_and_rewound(tmp_path):
    path, kept = tmp_path / "a.jsonl", tmp_path / "work" / "run.jsonl"
    log = JsonlLog(path, kind="models", name="n", kept=kept)
    log.params({"lr": 0.1})
    for step in (1, 2, 3):
        log.metrics({"loss": 1.0 / step}, step=step)
    log.metrics({"seconds": 5.0})
    times = [event["time"] for event in read_events(path) if event.get("step") in (1, 2)]
    path.unlink()
    again = JsonlLog(path, kind="models", name="n", kept=kept)
    again.params({"lr": 0.1})
    again.rewind(2)
    assert steps_of(path) == [1, 2]
    assert [event["time"] for event in read_events(path) if "metrics" in event] == times
    assert [next(iter(event)) for event in read_events(path)[:2]] == ["run", "params"]
    again.metrics({"loss": 0.2}, step=3)
    assert steps_of(path) == steps_of(kept) == [1, 2, 3]
    assert path.read_bytes() == kept.read_bytes()


def test_a_new_log_forgets_the_metrics_of_another_recipe(tmp_path):
    log = JsonlLog(tmp_path / "a.jsonl", kind="models", name="n")
    log.params({"lr": 0.1, "stale": 1})
    log.metrics({"loss": 1.0}, step=1)
    again = JsonlLog(log.path, kind="models", name="n")
    again.params({"lr": 0.2})
    again.metrics({"before": 7.0})
    again.rewind(0)
    events = read_events(log.path)
    assert [event["params"] for event in events if "params" in event] == [{"lr": 0.2}]
    assert [event["metrics"] for event in events if "metrics" in event] == [{"before": 7.0}]


def test_metrics_of_steps_wait_for_room_on_the_disk(tmp_path):
    log = JsonlLog(tmp_path / "a.jsonl", kind="models", name="n")
    size = log.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, limits[1]))
        log.metrics({"loss": 1.0}, step=1)
        assert log.path.stat().st_size == size
        with pytest.raises(OSError, match="File too large"):
            log.metrics({"seconds": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.metrics({"loss": 0.5}, step=2)
    assert steps_of(log.path) == [1, None, 2]


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"a": 1}) + "\nnot json\n" + json.dumps({"b": 1}) + "\n")
    with pytest.raises(DataError, match="line 2"):
        read_events(path)
