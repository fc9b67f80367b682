"""Trials that train: on training rows, judged by validation rows, blind to test rows, and cheap to interrupt."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from language_fixtures import clinical_tokens, scratch_base
from language_fixtures import job as adapter_job
from models_fixtures import CODES, make_job, write_base, write_clinical, write_cohort

from clinical_peft.config.search_spaces import Choices, Search, apply_point
from clinical_peft.disclosure.counts import coarse
from clinical_peft.errors import DataError, TrainingError
from clinical_peft.methods.lora import Lora
from clinical_peft.recipes import PoolJob
from clinical_peft.runtime.events import JsonlLog, NullLog, read_events
from clinical_peft.search.objectives import FinetuneObjective, PretrainObjective
from clinical_peft.search.outcome import RUN_LOG, trial_folder, write_worker
from clinical_peft.search.trials import Pruned, TrialRecord, run_trials
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training import fitting
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.language import pretrain
from clinical_peft.training.pooling import pool_notes
from clinical_peft.training.task_data import TaskInputs

SEARCH = Search(
    space="ranks",
    parameters={"settings.r": Choices(values=(2, 4)), "recipe.learning_rate": Choices(values=(1e-3, 1e-2))},
    sampler="grid",
    pruner="none",
    trials=3,
    seed=1,
    workers=1,
    metric="validation_auroc",
)
PRETRAINING = replace(SEARCH, metric="validation_perplexity")
POINT = {"settings.r": 2, "recipe.learning_rate": 1e-2}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    base = write_base(folder / "causal", "causal")
    cohort, classes = write_cohort(folder, "mortality")
    return {"base": base, "adapter": write_clinical(folder / "clinic", base), "cohort": cohort, "classes": classes}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> dict[str, Path]:
    base = scratch_base(tmp_path_factory.mktemp("bases"))
    return {"base": base, "tokens": clinical_tokens(tmp_path_factory.mktemp("tokens"), base)}


def go_on(curve):
    """A report that never ends a trial."""


def finetune_objective(study, folder, job=None, search=SEARCH, **changes) -> FinetuneObjective:
    job = job or make_job("clinical-frozen+task", epochs=2)
    return FinetuneObjective(job, search, TaskInputs(**(study | changes)), work=folder)


def pretrain_objective(corpus, folder, **recipe) -> PretrainObjective:
    job = adapter_job(Lora(r=4, alpha=8), **recipe)
    return PretrainObjective(job, PRETRAINING, **corpus, work=folder)


def with_other_test_rows(study, folder) -> Path:
    """The cohort with test rows that nothing could be trained on: labels outside the label space, other notes."""
    record = pq.read_table(study["cohort"]).to_pydict()
    for row, split in enumerate(record["split"]):
        if split == "test":
            record["label"][row], record["text"][row] = 7, " "
    pq.write_table(pa.table(record), folder / "cohort.parquet")
    return folder / "cohort.parquet"


def test_test_rows_are_never_read(study, tmp_path):
    cohort = with_other_test_rows(study, tmp_path)
    with pytest.raises(TrainingError):
        prepare_task(make_job(), TaskInputs(cohort=cohort, classes=study["classes"], base=study["base"]))
    blind = finetune_objective(study, tmp_path, cohort=cohort)
    assert set(blind.task.data.table.column("split").to_pylist()) == {"train", "validation"}
    assert len(blind.task.data.rows("test")) == 0
    outcome = blind(0, POINT, go_on)
    assert outcome.value == finetune_objective(study, tmp_path / "plain")(0, POINT, go_on).value


def test_test_tokens_are_never_read(corpus, tmp_path, monkeypatch):
    objective = pretrain_objective(corpus, tmp_path)
    read = set()
    sequence = TokenShards.sequence
    monkeypatch.setattr(TokenShards, "sequence", lambda self, row: read.add(int(row)) or sequence(self, row))
    objective(0, POINT, go_on)
    shards = TokenShards(corpus["tokens"])
    assert read == {*shards.rows("train").tolist(), *shards.rows("validation").tolist()}
    with pytest.raises(AssertionError, match="may not read the test split"):
        objective.shards.rows("test")


def test_a_trial_finds_what_its_final_training_finds(study, tmp_path):
    objective = finetune_objective(study, tmp_path)
    outcome = objective(0, POINT, go_on)
    job = apply_point(make_job("clinical-frozen+task", epochs=2), POINT)
    summary = finetune(
        prepare_task(job, TaskInputs(**study)),
        seed=SEARCH.seed,
        work=tmp_path / "final",
        predictions=tmp_path / "p.parquet",
        model_directory=tmp_path / "m",
        log=NullLog(),
    )
    assert outcome.value == summary["curve"][summary["best_epoch"] - 1]["validation_auroc"]
    assert outcome.curve == [epoch["validation_auroc"] for epoch in summary["curve"]]


def test_a_trial_of_an_adapter_finds_what_its_training_finds(corpus, tmp_path):
    objective = pretrain_objective(corpus, tmp_path)
    seen = []
    outcome = objective(0, POINT, lambda curve: seen.append(list(curve)))
    result = pretrain(
        apply_point(objective.job, POINT),
        **corpus,
        output=tmp_path / "adapter",
        perplexity=tmp_path / "p.json",
        work=tmp_path / "final",
        log=NullLog(),
    )
    assert outcome.curve == [point["validation_perplexity"] for point in result["curve"]]
    assert outcome.value == min(outcome.curve)
    assert seen == [outcome.curve[:1]]


def test_a_pruned_trial_leaves_its_run_log_alone(study, tmp_path):
    objective = finetune_objective(study, tmp_path, make_job("task", epochs=3, checkpoint_seconds=0.0), adapter=None)

    def end(curve):
        assert len(curve) == 1
        raise Pruned

    with pytest.raises(Pruned):
        objective(0, POINT, end)
    assert [path.name for path in objective.work.rglob("*") if path.is_file()] == ["run.jsonl"]


def test_trials_of_a_head_share_one_forward_pass(study, tmp_path):
    search = replace(SEARCH, parameters={"recipe.learning_rate": Choices(values=(1e-3, 1e-2))})
    objective = finetune_objective(study, tmp_path, make_job("clinical-frozen"), search)
    for number, rate in enumerate((1e-3, 1e-2)):
        objective(number, {"recipe.learning_rate": rate}, go_on)
    assert len(objective.task.features) == 1


def test_trials_of_a_head_read_pooled_features(study, tmp_path):
    job = make_job("clinical-frozen")
    search = replace(SEARCH, parameters={"recipe.learning_rate": Choices(values=(1e-3, 1e-2))})
    pooling = PoolJob(
        family="causal",
        clinical="clinic",
        clinical_mode="frozen",
        context=job.recipe.context,
        micro_batch_size=4,
        precision="fp32",
        threads=1,
        switches={"pool_last_position": False},
    )
    pool_notes(
        pooling,
        cohorts=[study["cohort"]],
        base=study["base"],
        adapter=study["adapter"],
        output=tmp_path / "f.safetensors",
        record=tmp_path / "f.json",
        log=NullLog(),
    )
    pooled = finetune_objective(study, tmp_path / "pooled", job, search, features=tmp_path / "f.safetensors")
    assert len(pooled.task.data.rows("test")) == 0
    point = {"recipe.learning_rate": 1e-2}
    direct = finetune_objective(study, tmp_path / "direct", job, search)(0, point, go_on)
    assert pooled(0, point, go_on).curve == pytest.approx(direct.curve)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_a_killed_trial_goes_on_from_its_checkpoint(study, tmp_path, monkeypatch):
    job = make_job("task", epochs=2, checkpoint_seconds=0.0)

    def search(folder):
        objective = finetune_objective(study, folder, job, adapter=None)
        return run_trials(SEARCH, objective, worker=0, journal=folder / "j", identity=objective.identity)

    def comparable(records):
        return [replace(record, seconds=None) for record in records]

    (tmp_path / "whole").mkdir()
    whole = search(tmp_path / "whole")
    save, saves, steps = fitting.Fit._save, [], []

    def save_and_die(self):
        save(self)
        saves.append(self.state.step)
        if len(saves) == 19:  # after an epoch of the second trial, each of 10 steps and 2 evaluations
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fit, "_save", save_and_die)
        with pytest.raises(Killed):
            search(tmp_path)
    update = fitting.Fit._update
    monkeypatch.setattr(fitting.Fit, "_update", lambda self, rows: steps.append(self.state.step) or update(self, rows))
    assert comparable(search(tmp_path)) == comparable(whole)
    assert steps[0] == saves[-1]


def test_workers_hand_on_trials_and_run_logs_without_note_text(study, tmp_path):
    objective = finetune_objective(study, tmp_path / "work")
    records = run_trials(SEARCH, objective, worker=0, journal=tmp_path / "work" / "j", identity=objective.identity)
    write_worker(records, work=objective.work, trials=tmp_path / "w.json", run_logs=tmp_path / "logs")
    assert [trial["number"] for trial in json.loads((tmp_path / "w.json").read_text())] == [0, 1, 2]
    events = read_events(tmp_path / "logs" / "trial0.jsonl")
    assert events[0]["run"] == {
        "kind": "search", "name": "mortality/trial0", "parent": "search clinical-frozen+task", "tags": {},
    }  # fmt: skip
    assert events[1]["params"]["point"] == records[0].values
    # The validation split has few of each class.
    assert events[-1]["metrics"]["search_value"] == coarse(records[0].value) != records[0].value
    assert "word1" not in (tmp_path / "logs" / "trial0.jsonl").read_text()


@pytest.mark.parametrize(("logged", "told"), [(0.71, 0.71), (0.71234, 0.7123456)])
def test_a_trial_is_logged_as_coarse_as_its_epochs(tmp_path, logged, told):
    """A run log with two digits hides few of a class; the trial's own value, by whatever metric, has no more."""
    folder = trial_folder(tmp_path, 0)
    folder.mkdir()
    JsonlLog(folder / RUN_LOG, kind="search", name="los/trial0").metrics({"validation_auprc": logged}, step=1)
    record = TrialRecord(
        number=0, state="complete", value=0.7123456, values={}, curve=[], tokens=1, seconds=1.0, reason=None
    )
    write_worker([record], work=tmp_path, trials=tmp_path / "w.json", run_logs=tmp_path / "logs")
    assert read_events(tmp_path / "logs/trial0.jsonl")[-1]["metrics"]["search_value"] == told


def test_identity_depends_on_what_decides_a_metric(study, tmp_path):
    one = finetune_objective(study, tmp_path)
    more = finetune_objective(study, tmp_path, search=replace(SEARCH, trials=9, workers=2))
    assert one.identity == more.identity
    for changed in (
        finetune_objective(study, tmp_path, search=replace(SEARCH, seed=2)),
        finetune_objective(study, tmp_path, make_job("clinical-frozen+task", epochs=3)),
        finetune_objective(study, tmp_path, cohort=with_other_test_rows(study, tmp_path)),
    ):
        assert changed.identity != one.identity


def test_a_validation_split_without_positives_is_refused(study, tmp_path):
    record = pq.read_table(study["cohort"]).to_pydict()
    record["label"] = [
        0 if split == "validation" else label for split, label in zip(record["split"], record["label"], strict=True)
    ]
    pq.write_table(pa.table(record), tmp_path / "one.parquet")
    with pytest.raises(DataError, match="auroc is undefined on the validation split of mortality"):
        finetune_objective(study, tmp_path, cohort=tmp_path / "one.parquet")


def test_a_multilabel_task_is_searched_too(study, tmp_path):
    cohort, classes = write_cohort(tmp_path, "diagnoses")
    objective = finetune_objective(
        study, tmp_path, make_job("task", "diagnoses"), cohort=cohort, classes=classes, adapter=None
    )
    assert len(objective.task.data.classes) == len(CODES)
    assert 0 <= objective(0, POINT, go_on).value <= 1
