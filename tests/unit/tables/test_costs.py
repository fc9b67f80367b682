"""The table of costs adds up, and says what a configuration run from scratch would take."""

import pytest
from golden_columns import COLUMNS
from results_fixtures import built

from clinical_peft.tables.render import to_csv, to_latex, to_markdown

LABELS = {name: {"label": name.title()} for name in ("adapter", "head", "lora")}
PERPLEXITY = {"adapter": "adapter", "tokens": {"trained_on": 500}, "forward_tokens": 200, "seconds": 5.0}
PERPLEXITY |= {"evaluation_seconds": 1.0}
POOLED = {"base-128": {"tokens": 1000, "seconds": 1.0}}


def run(model: str, trained: int, forward: int, seconds: float) -> dict:
    passes = {"trained_tokens": trained, "forward_tokens": forward}
    passes |= {"original_trained_tokens": 4000, "original_forward_tokens": 2000}
    return {"model": model, "task": "mortality", "epochs": 2, "seconds": seconds, "passes": passes}


def table(training, pooled=POOLED, adapters=(PERPLEXITY,), **results):
    return built("cost", training=training, pooled=pooled, perplexities=adapters, labels=LABELS, **results)


def rows(found):
    return {record["label"]: record for record in found.records}


def test_costs_add_up():
    tfidf = {"model": "tfidf", "task": "mortality", "seconds": 3.0}
    found = rows(table([run("lora", 3000, 1000, 7.0), run("lora", 3000, 1000, 7.0), run("head", 0, 0, 0.5), tfidf]))
    assert list(found) == ["Adapter", "Notes pooled once: base-128", "Head", "Lora", "Total"]
    lora, head, total = found["Lora"], found["Head"], found["Total"]
    assert (lora["runs"], lora["trained_tokens"], lora["forward_tokens"], lora["step_tokens"]) == (2, 6000, 2000, 7000)
    assert (lora["device_seconds"], lora["original_step_tokens"]) == (14.0, 10_000)
    # 7,000 step tokens took 14 seconds, so 10,000 take 20.
    assert (lora["original_device_seconds"], lora["times_fewer_tokens"]) == (20.0, 1.43)
    assert (head["step_tokens"], head["original_step_tokens"], head["original_device_seconds"]) == (0, 5000, 10.0)
    assert head["times_fewer_tokens"] is None
    adapter = found["Adapter"]
    assert (adapter["trained_tokens"], adapter["forward_tokens"], adapter["step_tokens"]) == (500, 200, 600)
    assert (adapter["device_seconds"], adapter["times_fewer_tokens"]) == (6.0, 1.0)
    assert total["step_tokens"] == 600 + 500 + 7000
    assert total["original_step_tokens"] == 600 + 10_000 + 5000
    assert total["device_seconds"] == pytest.approx(6 + 1 + 14 + 0.5)
    assert total["times_fewer_tokens"] == round(15_600 / 8100, 2)


def passes_over(train: int, held_out: int, *, context: int = 64, epochs: int = 2) -> dict[str, int]:
    """Tokens of a run whose notes all fill the context."""
    forward = (epochs + 1) * held_out * context
    trained = dict.fromkeys(("trained_tokens", "original_trained_tokens"), epochs * train * context)
    return {**trained, "forward_tokens": forward, "original_forward_tokens": forward}


def test_tokens_do_not_tell_the_hidden_size_of_a_split():
    metrics = [{"model": "lora", "task": "mortality", "recipe": {"recipe": {"context": 64}}}]

    def found(train: int, held_out: int, size: int | None) -> dict:
        statistics = [{"task": "mortality", "train": size, "validation": size, "test": size}]
        runs = [run("lora", 0, 0, 7.0) | {"passes": passes_over(train, held_out)}]
        return rows(table(runs, statistics=statistics, metrics=metrics))

    assert found(117, 48, None) == found(123, 48, None) == found(117, 46, None)
    assert found(117, 48, 117) != found(123, 48, 123)


def test_peak_memory_is_the_largest_and_energy_adds_up():
    adapter = PERPLEXITY | {"peak_memory_bytes": 6_000_000_000, "energy_joules": 7200.0}
    pooled = {"base-128": POOLED["base-128"] | {"peak_memory_bytes": 2_500_000_000, "energy_joules": 3600.0}}
    runs = [
        run("lora", 3000, 1000, 7.0) | {"peak_memory_bytes": size, "energy_joules": 1800.0}
        for size in (3_000_000_000, 4_000_000_000)
    ]
    found = rows(table(runs, pooled, [adapter]))
    assert [found[label]["peak_memory_gb"] for label in ("Adapter", "Lora", "Total")] == [6.0, 4.0, 6.0]
    assert [found[label]["energy_wh"] for label in ("Adapter", "Lora", "Total")] == [2.0, 1.0, 4.0]


def test_unmeasured_cost_is_missing_and_not_a_smaller_sum():
    adapter = PERPLEXITY | {"peak_memory_bytes": 6_000_000_000, "energy_joules": None}
    runs = [run("lora", 1, 1, 7.0) | {"peak_memory_bytes": 3_000_000_000}, run("lora", 1, 1, 7.0)]
    built_table = table(runs, POOLED, [adapter])
    found = rows(built_table)
    assert found["Adapter"]["peak_memory_gb"] == 6.0
    assert all(found[label]["energy_wh"] is None for label in found)
    assert found["Lora"]["peak_memory_gb"] is found["Total"]["peak_memory_gb"] is None
    assert built_table.rows[-1][-2:] == ("–", "–")


def test_without_a_direct_run_nothing_is_estimated():
    assert rows(table([run("head", 0, 0, 0.5)]))["Head"]["original_device_seconds"] is None


def test_a_study_without_networks_has_an_empty_table():
    found = table([], {}, [])
    assert found.records == ()
    assert to_csv(found).splitlines() == [",".join(COLUMNS["cost"].split())]


def test_every_form_has_every_row():
    found = table([run("lora", 3000, 1000, 7.0)])
    assert len(to_csv(found).splitlines()) == 1 + len(found.records)
    assert all(label in text for label in rows(found) for text in (to_markdown(found), to_latex(found)))
