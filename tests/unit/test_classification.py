"""Fine-tuning end to end on tiny networks: predictions, choice of epoch, interruption, invariance."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from models_fixtures import CODES, CONTEXT, make_job, write_base, write_clinical, write_cohort
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from clinical_peft.errors import TrainingError
from clinical_peft.events import JsonlLog, NullLog, read_events
from clinical_peft.files import sha256_file
from clinical_peft.models.classifiers import trained_names
from clinical_peft.models.encoding import pooled_features
from clinical_peft.models.heads import head_logits
from clinical_peft.models.saving import load_saved
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training import classification, fitting
from clinical_peft.training.classification import finetune, prepare
from clinical_peft.training.objectives import Objective, class_weights, scores_from_logits
from clinical_peft.training.selection import column_auroc, selection_auroc
from clinical_peft.training.task_data import read_task

JOBS = ["head", "task", "clinical-frozen", "clinical-frozen+task", "clinical-trainable", "clinical-trainable+task"]
JOBS += ["clinical-merged+task", "full"]
TASKS = ["mortality", "los", "diagnoses"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    study = {family: write_base(folder / family, family) for family in ("causal", "encoder")}
    study["clinical"] = write_clinical(folder / "clinic", study["causal"])
    for task in TASKS:
        study[task], study[f"{task} classes"] = write_cohort(folder / "cohorts", task)
    return study


def prepared_task(job, study, **changes):
    arguments = {
        "cohort": study[job.task],
        "classes": study[f"{job.task} classes"],
        "base": study[job.family],
        "adapter": study["clinical"] if job.clinical else None,
    }
    return prepare(job, **(arguments | changes))


def run(job, study, out: Path, *, seed: int = 0, log=None, **changes):
    return finetune(
        prepared_task(job, study, **changes),
        seed=seed,
        work=out / "work",
        predictions=out / "predictions.parquet",
        model_directory=out / "model",
        log=log or NullLog(),
    )


def columns(path: Path, name: str) -> np.ndarray:
    return np.asarray(pq.read_table(path).column(name).to_pylist())


def digests(out: Path) -> dict[str, str]:
    """Digests of a run's outputs; checkpoints hold times, and are no output."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and not path.is_relative_to(out / "work")]
    return {str(path.relative_to(out)): sha256_file(path) for path in files}


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


def test_saved_model_gives_the_written_logits(study, tmp_path):
    job = make_job("clinical-trainable+task")
    run(job, study, tmp_path)
    prepared = prepared_task(job, study)
    network = load_saved(tmp_path / "model", study["causal"])
    rows = prepared.data.rows("validation", "test")
    with torch.no_grad():
        ids, lengths = prepared.notes.batch(rows)
        logits = head_logits(network, "causal", pooled_features(network, "causal", ids, lengths, last_position=False))
    np.testing.assert_allclose(logits, columns(tmp_path / "predictions.parquet", "logits"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["causal", "encoder"])
@pytest.mark.parametrize("task", TASKS)
def test_kept_features_equal_the_direct_way(family, task, study, tmp_path):
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


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    ("family", "name"), [("causal", "clinical-trainable+task"), ("causal", "head"), ("encoder", "full")]
)
@pytest.mark.parametrize("step", [2, 5, 9])
def test_killed_run_goes_on_to_the_same_bytes(family, name, step, study, tmp_path, monkeypatch):
    job = make_job(name, family=family, epochs=3, checkpoint_seconds=0.0)
    run(job, study, tmp_path / "whole")

    save = fitting.Fit._save

    def save_and_die(self):
        save(self)
        if self.state.step == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fit, "_save", save_and_die)
        with pytest.raises(Killed):
            run(job, study, tmp_path / "broken")
    assert not (tmp_path / "broken/predictions.parquet").exists()
    steps = []
    log = NullLog()
    log.metrics = lambda values, step=None: steps.append(step) if "train_loss" in values else None
    run(job, study, tmp_path / "broken", log=log)
    assert steps[0] == step + 1
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")


def test_checkpoint_of_another_recipe_is_not_resumed(study, tmp_path, monkeypatch):
    job = make_job("task", checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fit, "_end_epoch", lambda self: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(job, study, tmp_path / "out")
    changed = replace(job, recipe=replace(job.recipe, weight_decay=0.5))
    run(changed, study, tmp_path / "out")
    run(changed, study, tmp_path / "fresh")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_best_epoch_by_validation_is_kept_or_the_last_by_switch(study, tmp_path):
    # So high a learning rate that a later epoch is worse than an earlier one.
    job = make_job("task", epochs=5, learning_rate=0.2, selection="loss", schedule="constant")
    best = run(job, study, tmp_path / "best")
    losses = [point["validation_loss"] for point in best["curve"]]
    assert best["best_epoch"] == int(np.argmin(losses)) + 1 < 5
    shorter = replace(job, recipe=replace(job.recipe, epochs=best["best_epoch"], warmup_ratio=0.0))
    longer = replace(job, recipe=replace(job.recipe, warmup_ratio=0.0))
    if run(longer, study, tmp_path / "longer")["best_epoch"] == best["best_epoch"]:
        run(shorter, study, tmp_path / "shorter")
        names = [columns(tmp_path / name / "predictions.parquet", "logits") for name in ("longer", "shorter")]
        np.testing.assert_array_equal(*names)
    last = run(replace(job, switches={"last_epoch": True}), study, tmp_path / "last")
    assert (last["best_epoch"], last["selected_by"]) == (5, "last")
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


def test_a_multilabel_validation_split_without_positives_falls_back_to_the_loss(study, tmp_path):
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


def test_log_holds_steps_and_epochs_and_no_text(study, tmp_path):
    log = JsonlLog(tmp_path / "run.jsonl", kind="finetune", name="task")
    summary = run(make_job("task"), study, tmp_path, log=log)
    events = [event for event in read_events(tmp_path / "run.jsonl") if "metrics" in event]
    steps = [event["step"] for event in events if "train_loss" in event["metrics"]]
    assert steps == list(range(1, summary["optimizer_steps"] + 1))
    assert sum("validation_auroc" in event["metrics"] for event in events) == summary["epochs"]
    assert "word1" not in (tmp_path / "run.jsonl").read_text()


def test_a_note_for_a_causal_network_ends_with_the_end_token_also_when_it_is_cut(study):
    prepared = prepared_task(make_job("task"), study)
    end = load_tokenizer(study["causal"]).eos_token_id
    last = prepared.notes.ids[prepared.notes.starts[1:] - 1]
    assert (last == end).all()
    original = prepared_task(make_job("task", switches={"pool_last_position": True}), study)
    assert (original.notes.ids[original.notes.starts[1:] - 1] != end).all()


def test_tokens_count_real_ones(study, tmp_path):
    job = make_job("task")
    prepared = prepared_task(job, study)
    train = prepared.data.rows("train")
    words = [len(prepared.data.texts[row].split()) + 2 for row in train]
    assert max(words) > CONTEXT
    assert run(job, study, tmp_path)["tokens"] == 2 * sum(min(count, CONTEXT) for count in words)


def altered_cohort(study, tmp_path, task, edit):
    record = pq.read_table(study[task]).to_pydict()
    edit(record)
    pq.write_table(pa.table(record), tmp_path / "cohort.parquet")
    return {"cohort": tmp_path / "cohort.parquet"}


@pytest.mark.parametrize(
    ("task", "edit", "message"),
    [
        ("mortality", lambda record: record["label"].__setitem__(3, 7), "label 7 is not one of the 2 classes"),
        ("diagnoses", lambda record: record["label"][3].append("999"), "label '999' of the training split"),
        ("mortality", lambda record: record.pop("text"), "missing: text"),
        ("mortality", lambda record: record.update(split=["train"] * 60), "found train"),
        ("mortality", lambda record: record.update(label=[1] * 60), "no differing labels"),
        ("los", lambda record: record["text"].__setitem__(0, None), "row 59 by hadm_id: the admission note is empty"),
        ("los", lambda record: record["text"].__setitem__(1, " "), "row 58 by hadm_id: the admission note is empty"),
    ],
)
def test_unusable_cohorts_are_refused(task, edit, message, study, tmp_path):
    with pytest.raises(TrainingError, match=message):
        prepared_task(make_job("head", task), study, **altered_cohort(study, tmp_path, task, edit))


def test_codes_that_only_test_admissions_have_are_counted(study, tmp_path):
    changes = altered_cohort(study, tmp_path, "diagnoses", lambda record: record["label"][-1].append("999"))
    summary = run(make_job("head", "diagnoses"), study, tmp_path, **changes)
    assert summary["unknown_codes"] == 1
    assert summary["classes_without_training_rows"] == 1


def test_a_class_absent_from_training_is_counted_and_harms_nothing(study, tmp_path):
    def drop_longest_stays(record):
        for row, split in enumerate(record["split"]):
            if split == "train" and record["label"][row] == 3:
                record["label"][row] = 0

    changes = altered_cohort(study, tmp_path, "los", drop_longest_stays)
    summary = run(make_job("task", "los"), study, tmp_path, **changes)
    assert summary["classes_without_training_rows"] == 1
    assert all(math.isfinite(point["validation_loss"]) for point in summary["curve"])
    assert np.isfinite(columns(tmp_path / "predictions.parquet", "logits")).all()


class Small(torch.nn.Module):
    """A layer of a device that holds so many notes at once."""

    def __init__(self, layer, notes):
        super().__init__()
        self.layer = layer
        self.notes = notes

    def forward(self, hidden):
        if torch.is_grad_enabled() and len(hidden) > self.notes:
            raise torch.OutOfMemoryError
        return self.layer(hidden)


def test_running_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(study, tmp_path, monkeypatch, caplog):
    run(make_job("task", micro_batch_size=2), study, tmp_path / "small")
    build = classification.build_classifier

    def build_small(*arguments, **named):
        classifier = build(*arguments, **named)
        classifier.network.model.norm = Small(classifier.network.model.norm, 2)
        return classifier

    monkeypatch.setattr(classification, "build_classifier", build_small)
    with caplog.at_level("WARNING"):
        run(make_job("task", micro_batch_size=8), study, tmp_path / "halved")
    assert [record.getMessage().partition("; ")[2] for record in caplog.records] == [
        f"from now on {size}, accumulated to the same batch" for size in (4, 2)
    ]
    first, second = (digests(tmp_path / name / "model") for name in ("halved", "small"))
    assert first == second


def test_a_note_that_does_not_fit_alone_is_an_error(study, tmp_path, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(fitting.Fit, "loss", no_memory)
    with pytest.raises(TrainingError, match="out of memory in a forward pass of 1 notes, which cannot be divided"):
        run(make_job("task"), study, tmp_path)


def test_a_loss_that_is_not_finite_names_micro_batch_and_epoch(study, tmp_path, monkeypatch):
    loss, seen = fitting.Fit.loss, []

    def faulty(self, rows):
        seen.append(rows)
        return loss(self, rows) * (math.nan if len(seen) == 5 else 1.0)

    # The first call is the check of gradients; then two micro-batches make a batch.
    monkeypatch.setattr(fitting.Fit, "loss", faulty)
    named = "training loss of micro-batch 2 of 2 in batch 2 of epoch 1 at optimizer step 2"
    with pytest.raises(TrainingError, match=named):
        run(make_job("task"), study, tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()


def test_diverging_training_stops(study, tmp_path):
    with pytest.raises(TrainingError, match=r"optimizer step \d+: expected (a finite number|finite numbers)"):
        run(make_job("full", learning_rate=1e20, switches={"unclipped": True}, epochs=9), study, tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()


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


def test_context_beyond_the_base_is_refused(study, tmp_path):
    with pytest.raises(TrainingError, match="context is 65 tokens, but the base has 64"):
        run(make_job("head", context=65), study, tmp_path)


def test_named_classes_take_labels_as_indices(study, tmp_path):
    (tmp_path / "classes.json").write_text('["short", "medium", "long", "longest"]')
    named = read_task(study["los"], tmp_path / "classes.json", "los")
    np.testing.assert_array_equal(named.targets, read_task(study["los"], study["los classes"], "los").targets)


def test_class_weights_are_balanced_and_survive_an_absent_class():
    weights = class_weights(np.asarray([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / 9, 0, 4 / 3])
    assert weights[[0, 0, 0, 2]].sum() * 3 / 2 == pytest.approx(4)
    objective = Objective("multiclass", torch.from_numpy(weights))
    logits, targets = torch.randn(4, 3), torch.tensor([0, 0, 0, 2])
    mean = objective(logits, targets) / objective.weight(targets)
    torch.testing.assert_close(
        mean, torch.nn.functional.cross_entropy(logits, targets, weight=torch.from_numpy(weights))
    )


def test_multilabel_loss_is_pytorchs():
    logits, targets = torch.randn(4, 5), torch.randint(0, 2, (4, 5), dtype=torch.uint8)
    objective = Objective("multilabel", None)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.float())
    torch.testing.assert_close(objective(logits, targets) / objective.weight(targets), expected)


@given(
    scores=hnp.arrays(np.float32, (12, 3), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 1.0])),
    positive=hnp.arrays(bool, (12, 3)),
)
@settings(max_examples=60, deadline=None)
def test_auroc_is_sklearns(scores, positive):
    areas = column_auroc(scores, positive)
    for column, area in enumerate(areas):
        if positive[:, column].all() or not positive[:, column].any():
            assert math.isnan(area)
        else:
            assert area == pytest.approx(roc_auc_score(positive[:, column], scores[:, column]))


def test_selection_auroc_of_each_kind_of_task():
    generator = np.random.default_rng(0)
    scores = scores_from_logits(
        generator.normal(size=(50, 4)).astype(np.float32), "multiclass", multilabel_softmax=False
    )
    targets = generator.integers(0, 4, 50)
    expected = roc_auc_score(targets, scores, multi_class="ovr", average="macro")
    assert selection_auroc(scores, targets, "multiclass") == pytest.approx(expected)
    assert selection_auroc(scores[:, :2], targets % 2, "binary") == pytest.approx(
        roc_auc_score(targets % 2, scores[:, 1])
    )
    labels = generator.integers(0, 2, (50, 4))
    labels[:, 2] = 0
    expected = roc_auc_score(labels[:, [0, 1, 3]], scores[:, [0, 1, 3]], average="macro")
    assert selection_auroc(scores, labels, "multilabel") == pytest.approx(expected)
    assert math.isnan(selection_auroc(scores, np.zeros((50, 4)), "multilabel"))
