"""Training sizes of a study: names, jobs, what is shared with the whole split, and what is refused."""

import json

import pytest
from study_fixtures import study_with

from clinical_peft.config import ablations
from clinical_peft.config.experiments import feature_set, finetune_job, runs_in_use
from clinical_peft.config.sections import SMALLEST_TRAIN_SIZE
from clinical_peft.config.settings import deciding_settings, settings_digest
from clinical_peft.config.train_sizes import sized_runs
from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.errors import ConfigError
from clinical_peft.recipes.job_records import as_record, read_record

TWO = "llama+clinical-trainable+downstream"


def sized(*sizes, **matrix):
    return study_with(matrix={"train_sizes": list(sizes), **matrix})


def test_a_name_holds_its_size_and_no_switch():
    assert ablations.with_size("tfidf", 100) == "tfidf@n100"
    assert ablations.with_size("tfidf", None) == "tfidf"
    assert (ablations.size_of("tfidf@n100"), ablations.switch_of("tfidf@n100")) == (100, None)
    assert ablations.plain("tfidf@n100") == "tfidf"
    for name in ("tfidf", "tfidf@n0", "tfidf@notes_flattened", "tfidf@n10x"):
        assert ablations.size_of(name) is None


def test_every_selected_run_is_trained_on_every_smaller_part():
    study = sized(500, "all", 100)
    assert sized_runs(study) == [
        (f"{model}@n{size}", task) for model, task in runs_in_use(study) for size in (100, 500)
    ]


def test_the_whole_split_is_not_trained_twice():
    assert sized_runs(study_with()) == sized_runs(sized("all")) == []
    assert runs_in_use(sized(100, "all")) == runs_in_use(study_with())


def test_a_part_differs_from_the_whole_in_name_and_size_alone():
    study = sized(100, "all")
    for model in ("tfidf", TWO):
        whole, part = (as_record(finetune_job(study, name, "mortality")) for name in (model, f"{model}@n100"))
        assert part == whole | {"model": f"{model}@n100", "train_size": 100}
        assert read_record(finetune_job(study, f"{model}@n100", "mortality"))["train_size"] == 100


def test_jobs_on_the_whole_split_keep_their_records():
    before, after = study_with(), sized(100, "all")
    for model, task in runs_in_use(before):
        records = [json.dumps(as_record(finetune_job(study, model, task))) for study in (before, after)]
        assert records[0] == records[1]
        assert "train_size" not in records[0]
    assert settings_digest(deciding_settings(before)) == settings_digest(deciding_settings(sized("all")))


def test_sizes_are_among_the_settings_that_decide_results():
    found = deciding_settings(sized(100, "all"))
    assert found["models"]["tfidf@n100/mortality"]["train_size"] == 100
    assert settings_digest(found) != settings_digest(deciding_settings(sized(200, "all")))


def test_a_head_alone_shares_the_features_of_the_whole_split():
    study = sized(100, "all")
    assert feature_set(study, "llama@n100", "mortality") == feature_set(study, "llama", "mortality") is not None
    assert feature_set(study, f"{TWO}@n100", "mortality") is None


def test_a_part_has_the_clinical_adapter_and_protocol_of_the_study():
    study = sized(100, "all")
    assert ablations.adapter_of_model(study, f"{TWO}@n100") == "tiny-llama-lora"
    assert ablations.protocol_of_run(study, f"{TWO}@n100", "mortality") == "corrected"
    assert ablations.switches_under(study, f"{TWO}@n100") == study.resolved_switches


def test_the_smallest_size_is_the_smallest_published_count():
    assert SMALLEST_TRAIN_SIZE == SMALLEST_CELL


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([100, 500], "train_sizes: expected all too"),
        ([], "train_sizes: expected all too"),
        ([100, 100, "all"], "train_sizes: lists a size twice"),
        ([9, "all"], "expected all or a number of training rows from 10"),
        (["half", "all"], "expected all or a number of training rows from 10"),
        ([True, "all"], "expected all or a number of training rows from 10"),
        ([0.5, "all"], "expected all or a number of training rows from 10"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        sized(*sizes)
    assert "matrix" in str(caught.value)
    assert "\n" not in str(caught.value)
