"""Cards of adapters and the TRIPOD+AI sheet: true to the run, and plain about what they do not know."""

import dataclasses

import pytest
import yaml
from results_fixtures import built, built_from, results_of
from simulated_study import simulate_attrition

from clinical_peft.report.checklist import EVIDENCE, FILLED, NONE, OPEN, PARTLY, RunFacts, tripod_table
from clinical_peft.report.model_cards import CardFacts, model_card
from clinical_peft.report.tripod_items import ITEMS
from clinical_peft.tables.study_results import StudyResults

TASKS = ("mortality", "procedures")
STUDY = {
    "study": "simulated",
    "protocol": "corrected",
    "contamination": "disjoint",
    "split": "hash",
    "split_by_admission": [],
    "cohorts": "mimic-iii",
    "synthetic": False,
    "hospital": True,
    "note_files": ["mine"],
    "switches": {"los_rounded": True, "task_adapter_inactive": False},
}
PROVENANCE = {"git revision": "0123abc"}
TRAINED = {
    "versions": {"torch": "2.13.0", "transformers": "5.1.0", "peft": "0.21.2"},
    "machine": {"processor": "Chip", "cores": 4},
}


@pytest.fixture(scope="module")
def facts(simulated):
    return CardFacts(
        study=STUDY,
        sources={"tiny-llama": "meta-llama/Llama-7b"},
        models={"tiny-lora": ["llama+clinical-frozen"]},
        results=results_of(simulated),
        provenance=PROVENANCE,
        environments={"tiny-lora": TRAINED},
    )


@pytest.fixture(scope="module")
def adapter(simulated):
    row = next(row for row in simulated["perplexities"] if row["adapter"] == "tiny-lora")
    job = {"seed": 1234, "recipe": {"learning_rate": 0.0003}}
    return row | {"base_revision": "f" * 40, "method": {"type": "lora", "r": 16}, "job": job}


def metadata(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_a_card_says_what_the_adapter_is_and_gives(adapter, facts, simulated):
    card = model_card(adapter, facts)
    for text in ("meta-llama/Llama-7b", "f" * 40, "- r: 16", "- learning_rate: 0.0003", "`disjoint`", "0123abc"):
        assert text in card
    assert "trained with torch 2.13.0, transformers 5.1.0, peft 0.21.2 on: Chip, 4 cores." in card
    before = model_card(adapter | {"adapter": "another"}, facts)
    assert "trained with torch unknown, transformers unknown, peft unknown on: unknown." in before
    row = next(
        row
        for row in simulated["aggregate"]["summaries"]
        if (row["model"], row["task"]) == ("llama+clinical-frozen", "mortality")
    )
    low, high = row["interval"]
    assert f"| MOR | {100 * row['auroc']:.1f} | {100 * low:.1f} to {100 * high:.1f} |" in card
    (index,) = metadata(card)["model-index"]
    values = {one["dataset"]["type"]: one["metrics"][0]["value"] for one in index["results"]}
    assert values["mortality"] == pytest.approx(row["auroc"], abs=1e-4)
    assert set(values) == {*TASKS, "macro_average"}


def test_weights_of_mimic_alone_carry_its_licence(adapter, facts):
    card = model_card(adapter, facts)
    assert metadata(card)["license_name"] == "physionet-credentialed-health-data-license-1.5.0"
    assert "data use agreement" in card
    made_up = dataclasses.replace(facts, study={**STUDY, "synthetic": True})
    assert metadata(model_card(adapter, made_up))["license"] == "mit"
    assert "PhysioNet" not in model_card(adapter, made_up)
    other = metadata(model_card({**adapter, "corpus": "mine"}, facts))
    assert other["license_name"] == "as-the-notes-it-was-trained-on"


def test_an_adapter_of_real_notes_is_never_called_synthetic(adapter, facts):
    mixed = dataclasses.replace(facts, study={**STUDY, "synthetic": True})
    card = model_card({**adapter, "corpus": "mine"}, mixed)
    assert metadata(card)["license_name"] == "as-the-notes-it-was-trained-on"
    assert "Corpus `mine` of real notes" in card
    assert "share them as the agreement on these notes says" in card
    assert "synthetic" not in card
    assert "made up" not in card
    assert "- The cohorts are generated: outcomes measure the generator" in card


def test_an_adapter_that_no_model_uses_says_so(adapter, facts):
    card = model_card({**adapter, "adapter": "unused"}, facts)
    assert "No model of the study is built on this adapter." in card
    assert "model-index" not in metadata(card)


@pytest.fixture(scope="module")
def run_facts(simulated):
    return RunFacts(
        study=STUDY,
        results=results_of(simulated, attrition=simulate_attrition(TASKS)),
        tables=built_from(results_of(simulated), "dataset_statistics", "downstream_main"),
        provenance=PROVENANCE | {"versions of the training jobs": TRAINED["versions"]},
    )


def sheet(facts):
    return {row[0]: row for row in tripod_table(facts).rows}


def test_the_sheet_has_all_52_items_of_the_statement_once():
    numbers = [item.number for item in ITEMS]
    assert len(set(numbers)) == len(numbers) == 52
    assert sorted({int("".join(filter(str.isdigit, number))) for number in numbers}) == list(range(1, 28))
    assert {item.evidence for item in ITEMS if item.evidence} == set(EVIDENCE)


def test_what_the_run_does_not_know_is_left_to_the_authors(run_facts):
    rows = sheet(run_facts)
    for number in ("1", "17", "18a", "25"):
        assert rows[number][3:] == ("AUTHOR INPUT NEEDED.", OPEN)
    assert rows["8a"][-1] == PARTLY
    assert rows["8a"][3].endswith("AUTHOR INPUT NEEDED: why these outcomes.")


def test_filled_items_say_what_the_run_did(run_facts, simulated):
    rows = sheet(run_facts)
    assert rows["12e"][-1] == FILLED
    assert "100 resamples" in rows["12e"][3]
    assert "; as in the original: los_rounded" in rows["7"][3]
    run = next(run for run in simulated["metrics"] if run["task"] == "mortality")
    assert f"MOR {run['n']['test']} ({run['positives']['test']})" in rows["21"][3]
    assert "0123abc" in rows["18f"][3]


def test_events_of_many_classes_are_those_of_the_largest(run_facts, simulated):
    many = [None, *range(10, 40)]
    runs = [run | {"positives": {"test": many}} for run in simulated["metrics"]]
    results = dataclasses.replace(run_facts.results, metrics=runs)
    events = sheet(dataclasses.replace(run_facts, results=results))["21"][3]
    assert "(39 / 38 / 37 / " in events
    assert " / 20 and 11 other classes)" in events


def test_a_split_by_admission_is_said_so(run_facts, adapter, facts):
    study = {**STUDY, "split_by_admission": ["pmv"]}
    rows, mixed = sheet(run_facts), sheet(dataclasses.replace(run_facts, study=study))
    assert rows["12a"][3].startswith("By patient, split hash: training")
    assert mixed["12a"][3].startswith("By patient, but PMV by admission, split hash; there a patient may be in several")
    assert "split by patient, but PMV by admission:" in mixed["16"][3]
    card = model_card(adapter, dataclasses.replace(facts, study=study))
    assert "Cohorts of the outcomes: split `hash`, by patient, but PMV by admission." in card
    assert "split `hash`, by patient." in model_card(adapter, facts)


def test_fairness_items_stay_open_until_computed(run_facts):
    assert sheet(run_facts)["14"][-1] == sheet(run_facts)["12f"][-1] == OPEN
    more = dataclasses.replace(run_facts, tables={**run_facts.tables, "calibration": None, "subgroups": None})
    assert sheet(more)["14"][-1] == sheet(more)["12f"][-1] == FILLED
    assert "table subgroups" in sheet(more)["23a"][3]


def test_a_study_of_adapters_alone_fills_no_item_on_outcomes(run_facts, simulated):
    study = {**STUDY, "hospital": False}
    perplexities = [row | {"corpus": "mine"} for row in simulated["perplexities"]]
    nothing = {"level": 0.95, "resamples": 0, "summaries": [], "differences": []}
    tables = {"dataset_statistics": built("dataset_statistics"), "calibration": None, "subgroups": None}
    results = StudyResults(perplexities=perplexities, comparison=nothing)
    alone = dataclasses.replace(run_facts, study=study, results=results, tables=tables)
    rows = sheet(alone)
    for number in ("6b", "12e", "12f", "12g", "14", "20a", "21", "23a", "24"):
        assert rows[number][3:] == ("The study predicts no outcome.", NONE)
    assert "models of" not in rows["4"][3].partition("language")[2]
    assert rows["5a"][3].startswith("Adapters from mine; a file of notes: mine.")
    assert rows["18e"][3] == "By the owners of the notes: mine."
    assert "without an object: the study predicts no outcome" in tripod_table(alone).caption
    assert "without an object" not in tripod_table(run_facts).caption
