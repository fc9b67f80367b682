"""An adapter that exists already is measured as the study that trained it measured it."""

import json

import pytest
from language_fixtures import LORA, job, run

from clinical_peft.methods import METHODS
from clinical_peft.recipes import MeasureJob
from clinical_peft.recipes.job_records import job_from_record, read_record
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.training.measuring import measure_adapter


def measuring(this_job) -> MeasureJob:
    """The job that measures the adapter of a training job."""
    names = ("recipe", "seed", "split_salt", "general_salt", "switches")
    return MeasureJob(adapter="theirs", **{name: getattr(this_job, name) for name in names})


@pytest.mark.parametrize("method", [LORA, METHODS["prompt_tuning"]], ids=["lora", "prompt_tuning"])
def test_it_has_the_perplexities_that_its_training_measured(method, base, tokens, general, tmp_path):
    trained = run(tmp_path / "training", base, tokens, job(method, evaluations=1), general=general)
    measure = job_from_record(MeasureJob, read_record(measuring(job(method, evaluations=1))))
    log = JsonlLog(tmp_path / "run.jsonl", kind="adapters", name="theirs")
    places = {"adapter": tmp_path / "training/adapter", "perplexity": tmp_path / "theirs.json"}
    found = measure_adapter(
        measure, base=base, tokens=tokens, work=tmp_path / "work", log=log, general=general, **places
    )
    assert found["perplexity"] == trained["perplexity"]
    assert found["general"] == trained["general"]
    assert json.loads((tmp_path / "theirs.json").read_text()) == found
    assert (found["tokens"]["trained_on"], found["curve"], found["trained"]) == (0, [], False)
    assert found["trainable_parameters"] > 0
    assert "perplexity_test_after" in (tmp_path / "run.jsonl").read_text()
    assert not AdapterFile.of(found).trained
