"""The contamination modes in the configuration: which corpora each allows, and how their notes are split."""

from pathlib import Path

import pytest
from study_fixtures import study_of

from clinical_peft.config import experiments
from clinical_peft.data.near_duplicates import SHINGLE_WORDS, THRESHOLD
from clinical_peft.errors import ConfigError
from clinical_peft.workflow import plan

CONFIG = Path(__file__).parents[3] / "config"
ARMS = ["mimic-iii-disjoint", "mimic-iii-matched"]


def study(*overrides: dict, base: str = "tiny.yaml"):
    return study_of(base, *overrides)


def test_the_paired_study_trains_on_both_corpora():
    paired = study(base="disjoint.yaml")
    assert experiments.corpora_in_use(paired) == list(paired.paired_corpora) == ARMS


def test_other_modes_have_no_paired_corpora():
    assert study().paired_corpora == study({"contamination": "carevue"}).paired_corpora == ()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"contamination": "none"}, "contamination: "),
        ({"contamination": "disjoint"}, "corpus: expected mimic-iii-disjoint or mimic-iii-matched with contamination"),
        ({"contamination": "disjoint", "matrix": {"tasks": [], "adapters": [], "models": []}}, "matrix.tasks"),
        ({"contamination": "carevue", "adapters": {"tiny-llama-lora": {"corpus": "combined"}}},
         "adapters.tiny-llama-lora.corpus: expected mimic-iv with contamination carevue, found combined"),
        ({"adapters": {"tiny-llama-lora": {"corpus": ARMS[0]}}}, f"'{ARMS[0]}' is not among the corpora"),
        ({"data": {"carevue_patients": "/x/PATIENTS.csv"}}, "data.carevue_patients: expected data.mimic_iii"),
        ({"data": {"note_files": {ARMS[1]: {"path": "x"}}}}, "this name is taken"),
        ({"leakage": {"near_duplicate_threshold": 0}}, "leakage.near_duplicate_threshold"),
        ({"leakage": {"shingles": 5}}, "unknown key leakage.shingles"),
    ],
)  # fmt: skip
def test_a_corpus_that_contradicts_the_mode_is_refused(override, expected):
    with pytest.raises(ConfigError) as caught:
        study(override)
    assert expected in str(caught.value)


def test_paired_corpora_are_split_by_a_salt_of_their_own():
    paired = study(base="disjoint.yaml")
    salts = {experiments.token_salt(paired, corpus) for corpus in ARMS}
    assert len(salts) == 1
    assert paired.data.split_salt not in salts
    assert experiments.pretrain_job(paired, "tiny-llama-matched").split_salt in salts
    assert experiments.token_salt(paired, "mimic-iv") == paired.data.split_salt
    assert experiments.pretrain_job(study(), "tiny-llama-lora").split_salt == study().data.split_salt


def test_a_paired_corpus_is_planned_smaller_than_its_source():
    paired = study(base="disjoint.yaml")
    whole = plan.corpus_tokens(paired, "mimic-iii")
    assert plan.corpus_tokens(paired, ARMS[0]) == plan.corpus_tokens(paired, ARMS[1])
    assert whole / 2 < plan.corpus_tokens(paired, ARMS[0]) < whole


def test_the_library_repeats_notes_as_studies_do_by_default():
    leakage = study().leakage
    assert (leakage.near_duplicate_threshold, leakage.shingle_words) == (THRESHOLD, SHINGLE_WORDS)
    assert not leakage.drop_stated_outcomes
    assert not leakage.fail_on_stated_outcomes
