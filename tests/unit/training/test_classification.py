"""Fine-tuning end to end on tiny networks: predictions, choice of epoch, invariance."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from models_fixtures import (
    CODES,
    CONTEXT,
    TASKS,
    altered_cohort,
    columns,
    make_job,
    prepared_task,
    run,
)
from safetensors.torch import load_file

from clinical_peft.files import sha256_file, write_json
from clinical_peft.methods.lora import Lora
from clinical_peft.models.classifiers import trained_names
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.saving import load_saved
from clinical_peft.runtime.events import JsonlLog, NullLog, read_events
from clinical_peft.training import classification, fitting
from clinical_peft.training.finetuning import finetune

JOBS = ["head", "task", "clinical-frozen", "clinical-frozen+task", "clinical-trainable", "clinical-trainable+task"]
JOBS += ["clinical-merged+task", "full"]


@pytest.mark.parametrize("name", JOBS)
def test_every_variant_learns_a_task(name, study, tmp_path):
    summary = run(make_job(name, epochs=4), study, tmp_path)
    assert summary["curve"][-1]["train_loss"] < summary["curve"][0]["train_loss"]
    # Features of a random network tell less than those of a trained one.
    floor = 0.7 if name in ("head", "clinical-frozen") else 0.8
    assert summary["curve"][summary["best_epoch"] - 1]["validation_auroc"] > floor
    trained = [part for part, mark in (("clinical", "clinical-trainable"), ("task", "task")) if mark in name]
    assert summary["trained_adapters"] == trained
    assert summary["features_kept"] == (name in ("head", "clinical-frozen"))
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("family", "name"), [("causal", "task"), ("encoder", "task"), ("encoder", "full")])
def test_predictions_follow_the_contract(family, name, task, study, tmp_path):
    run(make_job(name, task, family=family), study, tmp_path)
    table, cohort = pq.read_table(tmp_path / "predictions.parquet"), pq.read_table(study[task]).sort_by("hadm_id")
    assert table.schema.names == ["hadm_id", "subject_id", "split", "label", "scores", "logits"]
    assert {table.schema.field(name).type.value_type for name in ("scores", "logits")} == {pa.float32()}
    assert table.schema.field("hadm_id").type == pa.int64()
    rows = [row for row in cohort.drop("text").to_pylist() if row["split"] != "train"]
    assert table.select(["hadm_id", "subject_id", "split", "label"]).to_pylist() == rows
    scores, logits = (columns(tmp_path / "predictions.parquet", name) for name in ("scores", "logits"))
    classes = {"mortality": 2, "los": 4, "diagnoses": len(CODES)}[task]
    assert scores.shape == logits.shape == (len(rows), classes)
    if task == "diagnoses":
        np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    else:
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
        odds = np.log(scores[:, 1] / scores[:, 0])
        np.testing.assert_allclose(odds, logits[:, 1] - logits[:, 0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("family", "name"), [("encoder", "task"), ("encoder", "full"), ("causal", "task")])
def test_1266_labels_survive_training_and_reload(family, name, study, tmp_path):
    codes = [f"{number:05d}" for number in range(1266)]

    def relabel(record):
        record["label"] = [codes[row::7] for row in range(len(record["label"]))]

    changes = altered_cohort(study, tmp_path, "diagnoses", relabel)
    write_json(tmp_path / "classes.json", codes)
    job = make_job(name, "diagnoses", family=family, epochs=1)
    summary = run(job, study, tmp_path, classes=tmp_path / "classes.json", **changes)
    assert summary["optimizer_steps"] == 5
    assert summary["classes_without_training_rows"] == 0
    scores, logits = (columns(tmp_path / "predictions.parquet", column) for column in ("scores", "logits"))
    assert scores.shape == logits.shape == (24, 1266)
    network = load_saved(tmp_path / "model", study[family])
    prepared = prepared_task(job, study, classes=tmp_path / "classes.json", **changes)
    assert prepared.data.targets.sum(axis=0).min() > 0
    with torch.no_grad():
        ids, lengths = prepared.notes.batch(prepared.data.rows("validation", "test"))
        found = find_pooling(family).logits(
            network, find_pooling(family).features(network, ids, lengths, last_position=False)
        )
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)
    assert len({tuple(column) for column in logits.T}) == 1266


def test_saved_model_gives_the_written_logits(study, tmp_path):
    job = make_job("clinical-trainable+task")
    run(job, study, tmp_path)
    prepared = prepared_task(job, study)
    network = load_saved(tmp_path / "model", study["causal"])
    rows = prepared.data.rows("validation", "test")
    with torch.no_grad():
        ids, lengths = prepared.notes.batch(rows)
        logits = find_pooling("causal").logits(
            network, find_pooling("causal").features(network, ids, lengths, last_position=False)
        )
    np.testing.assert_allclose(logits, columns(tmp_path / "predictions.parquet", "logits"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["causal", "encoder"])
@pytest.mark.parametrize("task", TASKS)
def test_kept_features_equal_direct_ones(family, task, study, tmp_path):
    job = make_job("head", task, family=family)
    summaries = [run(job, study, tmp_path / str(keep), keep_features=keep) for keep in (True, False)]
    assert [summary["features_kept"] for summary in summaries] == [True, False]
    logits = [columns(tmp_path / str(keep) / "predictions.parquet", "logits") for keep in (True, False)]
    np.testing.assert_allclose(logits[0], logits[1], rtol=0, atol=1e-5)


def test_seeds_share_features_and_differ(study, tmp_path):
    prepared = prepared_task(make_job("clinical-frozen"), study)
    for seed in (0, 1):
        place = tmp_path / str(seed)
        arguments = {"work": place / "work", "predictions": place / "p.parquet", "model_directory": place / "model"}
        finetune(prepared, seed=seed, log=NullLog(), **arguments)
    assert len(prepared.features) == 1
    first, second = (columns(tmp_path / seed / "p.parquet", "logits") for seed in "01")
    assert np.abs(first - second).max() > 1e-3
    alone = tmp_path / "alone"
    run(make_job("clinical-frozen"), study, alone, seed=1)
    assert sha256_file(alone / "predictions.parquet") == sha256_file(tmp_path / "1" / "p.parquet")


def test_best_epoch_by_validation_is_kept_or_the_last_by_switch(study, tmp_path):
    # So high a learning rate that a later epoch is worse than an earlier one.
    job = make_job("task", epochs=4, learning_rate=0.2, selection="loss", schedule="constant")
    best = run(job, study, tmp_path / "best")
    losses = [point["validation_loss"] for point in best["curve"]]
    assert best["best_epoch"] == int(np.argmin(losses)) + 1 < 4
    shorter = replace(job, recipe=replace(job.recipe, epochs=best["best_epoch"], warmup_ratio=0.0))
    longer = replace(job, recipe=replace(job.recipe, warmup_ratio=0.0))
    if run(longer, study, tmp_path / "longer")["best_epoch"] == best["best_epoch"]:
        run(shorter, study, tmp_path / "shorter")
        names = [columns(tmp_path / name / "predictions.parquet", "logits") for name in ("longer", "shorter")]
        np.testing.assert_array_equal(*names)
    last = run(replace(job, switches=job.switches | {"last_epoch": True}), study, tmp_path / "last")
    assert (last["best_epoch"], last["selected_by"]) == (4, "last")
    before, after = (columns(tmp_path / name / "predictions.parquet", "logits") for name in ("best", "last"))
    assert np.abs(before - after).max() > 1e-2


def test_undefined_auroc_falls_back_to_the_loss(study, tmp_path):
    table = pq.read_table(study["mortality"])
    rows = table.select(["split", "label"]).to_pylist()
    labels = [0 if row["split"] == "validation" else row["label"] for row in rows]
    pq.write_table(table.set_column(4, "label", [labels]), tmp_path / "one.parquet")
    summary = run(make_job("head"), study, tmp_path, cohort=tmp_path / "one.parquet")
    assert summary["selected_by"] == "loss"
    assert {point["validation_auroc"] for point in summary["curve"]} == {None}


def test_validation_without_positives_falls_back_to_the_loss(study, tmp_path):
    def clear(record):
        for row, split in enumerate(record["split"]):
            if split == "validation":
                record["label"][row] = []

    changes = altered_cohort(study, tmp_path, "diagnoses", clear)
    summary = run(make_job("head", "diagnoses"), study, tmp_path, **changes)
    assert summary["selected_by"] == "loss"
    assert {point["validation_auroc"] for point in summary["curve"]} == {None}


@pytest.mark.parametrize("name", ["task", "head"])
def test_micro_batches_do_not_change_the_result(name, study, tmp_path):
    for size in (2, 8):
        run(make_job(name, "los", micro_batch_size=size), study, tmp_path / str(size))
    first, second = (columns(tmp_path / size / "predictions.parquet", "logits") for size in "28")
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-4)


def test_switches_change_the_result_as_named(study, tmp_path):
    def logits(name, switches, task="mortality"):
        out = tmp_path / f"{name}-{'-'.join(switches)}-{task}"
        run(make_job(name, task, switches=dict.fromkeys(switches, True)), study, out)
        return columns(out / "predictions.parquet", "logits"), columns(out / "predictions.parquet", "scores")

    plain = logits("clinical-frozen+task", ())[0]
    inactive = logits("clinical-frozen+task", ("task_adapter_inactive",))[0]
    np.testing.assert_array_equal(inactive, logits("clinical-frozen", ())[0])
    assert np.abs(plain - inactive).max() > 1e-3
    for switch in ("pool_last_position", "warmup_as_steps", "schedule_in_micro_steps"):
        assert np.abs(logits("clinical-frozen+task", (switch,))[0] - plain).max() > 1e-5, switch
    raw, scores = logits("task", ("multilabel_softmax",), "diagnoses")
    np.testing.assert_allclose(scores, torch.softmax(torch.tensor(raw), 1), rtol=1e-5)


def test_head_learning_rate_concerns_the_head_alone(study):
    job = make_job("clinical-trainable+task", head_learning_rate=0.5)
    classifier = classification.build_classifier(
        classification.variant_of(job), study["causal"], study["clinical"], classes=2, seed=0
    )
    groups = fitting.head_and_adapter_groups(classifier, job.recipe)
    by_rate = {group["lr"]: sum(p.numel() for p in group["params"]) for group in groups}
    assert by_rate[0.5] == 2 * 32
    assert sum(by_rate.values()) == sum(
        parameter.numel()
        for name, parameter in classifier.network.named_parameters()
        if name in trained_names(classifier.network, classifier.variant)
    )


def test_each_adapter_is_trained_with_the_rates_of_its_method(study):
    job = make_job("clinical-trainable+task", learning_rate=0.1, head_learning_rate=0.5)
    classifier = classification.build_classifier(
        classification.variant_of(job), study["causal"], study["clinical"], classes=2, seed=0
    )
    names = {id(parameter): name for name, parameter in classifier.trained_parameters().items()}
    methods = (("task", Lora(loraplus_lr_ratio=2.0)), ("clinical", Lora(loraplus_lr_ratio=4.0)))
    for given, expected in ((methods, {"task": 0.2, "clinical": 0.4}), (methods[1:], {"task": 0.1, "clinical": 0.4})):
        groups = fitting.head_and_adapter_groups(classifier, job.recipe, *given)
        rates = {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}
        for name, rate in rates.items():
            faster = {one: expected[one] for one in expected if f".{one}.weight" in name and "lora_B" in name}
            other = 0.1 if "lora_A" in name else 0.5
            assert rate == pytest.approx(sum(faster.values()) if faster else other), name


def test_log_holds_steps_and_epochs_and_no_text(study, tmp_path):
    log = JsonlLog(tmp_path / "run.jsonl", kind="finetune", name="task")
    summary = run(make_job("task"), study, tmp_path, log=log)
    events = [event for event in read_events(tmp_path / "run.jsonl") if "metrics" in event]
    steps = [event["step"] for event in events if "train_loss" in event["metrics"]]
    assert steps == list(range(1, summary["optimizer_steps"] + 1))
    assert sum("validation_auroc" in event["metrics"] for event in events) == summary["epochs"]
    assert "word1" not in (tmp_path / "run.jsonl").read_text()


def test_batches_group_notes_by_length_once_an_epoch(study, tmp_path, monkeypatch):
    seen, update = [], fitting.Fit._update
    monkeypatch.setattr(fitting.Fit, "_update", lambda self, rows: seen.append(rows) or update(self, rows))
    job = make_job("task", micro_batch_size=8)
    prepared = prepared_task(job, study)
    lengths, train = prepared.notes.lengths, prepared.data.rows("train")
    epoch = -(-len(train) // 8)
    spread = {}
    for switch in (False, True):
        seen.clear()
        run(replace(job, switches=job.switches | {"pool_last_position": switch}), study, tmp_path / str(switch))
        assert [sorted(np.concatenate(seen[start : start + epoch])) for start in (0, epoch)] == [sorted(train)] * 2
        spread[switch] = np.mean([np.ptp(lengths[rows]) for rows in seen if len(rows) == 8])
    # Under the switch every note is padded to the context, so that its length does not matter.
    assert spread[False] < spread[True] / 2


def test_tokens_count_real_ones(study, tmp_path):
    job = make_job("task")
    prepared = prepared_task(job, study)
    train = prepared.data.rows("train")
    words = [len(prepared.data.texts[row].split()) + 2 for row in train]
    assert max(words) > CONTEXT
    assert run(job, study, tmp_path)["tokens"] == 2 * sum(min(count, CONTEXT) for count in words)


@pytest.mark.parametrize(
    ("family", "name"), [("causal", "clinical-trainable+task"), ("causal", "head"), ("encoder", "full")]
)
def test_bfloat16_trains_float32_parameters(family, name, study, tmp_path):
    run(make_job(name, family=family, precision="bf16"), study, tmp_path)
    single = make_job(name, family=family)
    run(single, study, tmp_path / "fp32")
    near, exact = (columns(out / "predictions.parquet", "logits") for out in (tmp_path, tmp_path / "fp32"))
    assert 0 < np.abs(near - exact).mean() < 0.2
    for path in (tmp_path / "model").rglob("*.safetensors"):
        if path.parent.name in ("task", "head", "full"):
            assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float32}
