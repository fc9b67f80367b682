"""What rules ask of a study with training sizes: jobs, shared files, names, and the plan."""

import json
import re

import pytest
from study_fixtures import study_of

from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.job_records import job_from_record
from clinical_peft.workflow.plan import plan
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import WildcardValues

TWO = "llama+clinical-trainable+downstream"


def study_files(*sizes, name="tiny.yaml", **matrix) -> StudyFiles:
    return StudyFiles(study_of(name, {"matrix": {"train_sizes": list(sizes or ["all"]), **matrix}}))


@pytest.fixture(scope="module")
def sized() -> StudyFiles:
    return study_files(100, 500, "all")


@pytest.fixture(scope="module")
def plain() -> StudyFiles:
    return study_files()


def stage(files, name):
    (found,) = (stage for stage in plan(files.study) if stage.name == name)
    return found


def test_a_part_is_a_job_of_its_own_and_the_whole_none_more(sized, plain):
    outputs, before = (planned_outputs(files) for files in (sized, plain))
    further = set(outputs["fine-tuning"]) - set(before["fine-tuning"])
    runs = [(model, task) for model in plain.study.matrix.models for task in plain.study.matrix.tasks]
    assert further == {
        f"results/tiny/recipes/{model}@n{size}/{task}.json" for model, task in runs for size in (100, 500)
    }
    # Metrics of each run, what tells that a model's runs are in MLflow, and the table of sizes.
    models = plain.study.matrix.models
    assert len(outputs["evaluation"]) == len(before["evaluation"]) + 2 * len(runs) + 2 * len(models) + 1
    assert {key: outputs[key] for key in ("data", "tokens", "adapters")} == {
        key: before[key] for key in ("data", "tokens", "adapters")
    }
    every = [path for paths in outputs.values() for path in paths]
    assert len(every) == len(set(every))


def test_a_part_reads_the_run_on_the_whole_split(sized):
    ask = {"task": "mortality"}
    read = sized.whole_run(WildcardValues(model=f"{TWO}@n100", **ask))
    stem = f"{TWO}/mortality/seed0"
    files = [("predictions", ".parquet"), ("models", ""), ("training", ".json"), ("runs/finetune", ".jsonl")]
    assert read == [f"results/tiny/{folder}/{stem}{suffix}" for folder, suffix in files]
    assert sized.whole_run(WildcardValues(model=TWO, **ask)) == []


def test_the_plan_counts_jobs_and_tokens_of_parts(sized, plain):
    assert stage(sized, "fine-tuning").jobs == stage(plain, "fine-tuning").jobs + 2 * 8
    assert (
        stage(plain, "fine-tuning").tokens < stage(sized, "fine-tuning").tokens < 3 * stage(plain, "fine-tuning").tokens
    )
    assert stage(study_files(10, "all"), "fine-tuning").tokens < stage(study_files(20, "all"), "fine-tuning").tokens
    beyond, far = (study_files(size, "all") for size in (10**6, 10**7))
    assert stage(beyond, "fine-tuning").tokens == stage(far, "fine-tuning").tokens


def test_a_part_reads_what_the_whole_reads(sized):
    for model in ("tfidf", "llama", TWO):
        whole, part = (WildcardValues(model=name, task="mortality") for name in (model, f"{model}@n100"))
        for method in ("model_base", "clinical_adapter", "model_features", "best_model_recipe", "run_protocol"):
            assert getattr(sized, method)(part) == getattr(sized, method)(whole)
        job = job_from_record(FinetuneJob, sized.finetune_job(part))
        assert (job.model, job.train_size) == (f"{model}@n100", 100)


def test_a_searched_recipe_serves_every_size():
    files = study_files(100, "all", name="search.yaml")
    model, _, task = next(name for name in files.searches if not name.startswith("adapters/")).rpartition("/")
    part = WildcardValues(model=f"{model}@n100", task=task)
    assert files.best_model_recipe(part) == f"{files.root}/search/{model}/{task}.json"


def test_a_name_of_a_model_alone_carries_a_size(plain):
    assert re.fullmatch(plain.names.model, "tfidf@n100")
    assert re.fullmatch(plain.names.model, f"{TWO}@n12345")
    for wildcard, name in (
        ("model", "tfidf@n0"),
        ("model", "tfidf@100"),
        ("model", "nobody@n100"),
        ("adapter", "tiny-llama-lora@n100"),
        ("task", "los@n100"),
    ):
        assert not re.fullmatch(getattr(plain.names, wildcard), name)


def test_results_of_sizes_are_measured_where_a_study_asks(sized, plain):
    assert set(sized.table_names) - set(plain.table_names) == {"training_size"}
    assert (sized.training_size(), plain.training_size()) == ("results/tiny/training_size.json", [])
    asking = WildcardValues()
    assert plain.training_size_runs(asking) == []
    runs = sized.training_size_runs(asking)
    assert len(runs) == 3 * len(sized.runs)
    assert [size for _, _, size in runs].count(None) == len(sized.runs)
    assert ("tfidf", "mortality", 100) in runs
    for method in ("training_size_metrics", "training_size_replicates", "training_size_records"):
        files = getattr(sized, method)(asking)
        assert len(files) == len(runs) * len(sized.study.matrix.seeds)
        assert [re.search(r"@n(\d+)/", path) is not None for path in files] == [size is not None for *_, size in runs]
    json.dumps(runs)


def test_parts_stand_in_no_table_of_models_and_are_sent_to_mlflow(sized, plain):
    assert sized.metrics() == plain.metrics()
    assert sized.results()["comparison"] == plain.results()["comparison"]
    further = set(sized.run_logs()) - set(plain.run_logs())
    assert len(further) == len(sized.sized_runs)
    assert "results/tiny/runs/models/tfidf@n100/mortality/seed0.jsonl" in further
