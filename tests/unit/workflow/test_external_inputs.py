"""An adapter that exists already in a study: its place in the configuration, the check of its files, and its job."""

from pathlib import Path
from typing import Any

import pytest
from method_cases import method_of, train_clinical
from models_fixtures import write_base
from study_fixtures import study_with

from clinical_peft.config import experiments
from clinical_peft.config.selected_adapters import external_adapters_in_use
from clinical_peft.config.settings import deciding_settings
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_file import unused_entries
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import WildcardValues
from clinical_peft.workflow.study_inputs import check_inputs

THEIRS = {"label": "T", "base": "tiny-llama", "clinical": "theirs", "clinical_mode": "frozen"}


def study_of(path: Path | str, adapter: dict[str, Any] | None = None, **model: Any):
    """The tiny study with one model on an adapter from elsewhere."""
    entry = {"base": "tiny-llama", "path": str(path)} | (adapter or {})
    matrix = {"adapters": ["tiny-llama-lora"], "models": ["theirs-model"], "tasks": ["mortality"]}
    return study_with(adapters={"theirs": entry}, models={"theirs-model": THEIRS | model}, matrix=matrix)


def problems(study, root: Path) -> list[str]:
    try:
        check_inputs(study, root, reads=())
    except DataError as error:
        return str(error).splitlines()
    return []


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    train_clinical(folder / "their-vera", write_base(folder / "base", "causal"), method_of("vera"))
    return folder / "their-vera"


def test_it_is_imported_and_not_trained(theirs):
    study = study_of(theirs)
    files = StudyFiles(study)
    assert experiments.adapters_in_use(study) == ["tiny-llama-lora"]
    assert external_adapters_in_use(study) == ["theirs"]
    assert planned_outputs(files)["adapters"] == [
        "results/mine/perplexity/tiny-llama-lora.json",
        "results/mine/adapters/theirs",
    ]
    wildcards = WildcardValues(model="theirs-model", adapter="theirs")
    assert files.clinical_adapter(wildcards) == "results/mine/adapters/theirs"
    names = ("adapter_config.json", "adapter_model.safetensors")
    assert files.external_adapter_files(wildcards) == [f"{theirs}/{name}" for name in names]
    assert files.names.external_adapter == "theirs"
    assert "theirs" not in files.models_by_adapter(wildcards)
    assert unused_entries(study, {"adapters": {"theirs": {}}}) == {}
    assert deciding_settings(study)["external_adapters"] == {"theirs": str(theirs)}


def test_its_perplexity_is_measured_on_a_corpus_that_it_names(theirs):
    study = study_of(theirs, {"corpus": "mimic-iii"})
    files, wildcards = StudyFiles(study), WildcardValues(adapter="theirs")
    assert experiments.adapters_in_use(study) == ["tiny-llama-lora"]
    planned = planned_outputs(files)
    assert planned["adapters"] == [
        "results/mine/perplexity/tiny-llama-lora.json",
        "results/mine/perplexity/theirs.json",
        "results/mine/adapters/theirs",
    ]
    assert "results/mine/tokens/tiny-llama/mimic-iii" in planned["tokens"]
    assert "results/mine/notes/mimic-iii.parquet" in planned["data"]
    assert files.perplexities() == planned["adapters"][:2]
    assert files.adapter_logs()[1] == "results/mine/runs/adapters/theirs.jsonl"
    assert (files.names.measured_adapter, files.names.external_adapter) == ("theirs", "theirs")
    assert files.measure_job(wildcards)["recipe"]["context"] == study.pretraining["context"]
    assert files.labels(wildcards)["theirs"]["published"] is None
    assert files.cards() == ["results/mine/cards/tiny-llama-lora.md"]
    assert study_of(theirs).adapters["theirs"].is_measured is False


def test_a_rate_of_training_measures_no_adapter_again(theirs):
    wildcards = WildcardValues(adapter="theirs")
    before = StudyFiles(study_of(theirs, {"corpus": "mimic-iii"})).measure_job(wildcards)
    study = study_of(theirs, {"corpus": "mimic-iii"})
    changed = study.model_copy(update={"pretraining": study.pretraining | {"learning_rate": 0.5}})
    assert StudyFiles(changed).measure_job(wildcards) == before
    longer = study.model_copy(update={"pretraining": study.pretraining | {"evaluation_tokens": 77}})
    assert StudyFiles(longer).measure_job(wildcards) != before


def test_without_weights_its_configuration_is_watched_alone(tmp_path):
    found = StudyFiles(study_of(tmp_path)).external_adapter_files(WildcardValues(adapter="theirs"))
    assert found == [f"{tmp_path}/adapter_config.json"]


def test_a_study_without_one_has_the_settings_that_it_had():
    assert "external_adapters" not in deciding_settings(study_with())


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({"method": "lora"}, "adapters.theirs: an adapter with a path is not trained here; remove method"),
        ({"corpus": "mimic-iii", "recipe": {"epochs": 2}}, "not trained here; remove recipe"),
        ({"path": None}, "adapters.theirs: expected method, which trains it, or path, where it exists already"),
        ({"base": "tiny-bert"}, "adapters.theirs.base: 'tiny-bert' is not a causal language model"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(adapter, message):
    with pytest.raises(ConfigError, match=message):
        study_of("/models/theirs", adapter)


def test_its_recipe_cannot_be_searched():
    search = {"adapters": {"theirs": {"space": "adapter"}}}
    adapters = {"theirs": {"base": "tiny-llama", "path": "/models/theirs"}}
    with pytest.raises(ConfigError, match=r"search.adapters.theirs: an adapter with a path is not trained here"):
        study_with(adapters=adapters, search=search)


def test_its_files_are_checked_before_the_first_job(theirs, tmp_path):
    assert problems(study_of(theirs), tmp_path) == []
    (line,) = problems(study_of(tmp_path / "absent"), tmp_path)
    assert line == (
        f"adapters.theirs.path: {tmp_path / 'absent'}: expected the folder of an adapter, found none; correct path"
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"task_method": "task-lora"}, "a task adapter of type lora cannot share a network with a clinical adapter of"),
        ({"task_method": "task-lora", "clinical_mode": "merged"}, None),
        ({"clinical_mode": "trainable"}, None),
    ],
)
def test_models_that_cannot_use_it_are_named_before_the_first_job(theirs, tmp_path, model, message):
    found = problems(study_of(theirs, **model), tmp_path)
    assert [line.startswith(f"adapters.theirs.path: {theirs}: models.theirs-model: {message}") for line in found] == (
        [] if message is None else [True]
    )
