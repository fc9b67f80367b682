"""The parts of the synthetic hospital: templates, codes, Bayes AUROC, learnability, streaming."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from clinical_peft.synthetic import codes, discharge_notes, planting
from clinical_peft.synthetic.bayes import expected_auroc, los_bin_probabilities
from clinical_peft.synthetic.conditions import ACUTE, ASYMPTOMATIC_HIV, CHRONIC
from clinical_peft.synthetic.draws import Draws, Template
from clinical_peft.synthetic.patients import DAY, MIMIC_III, PROBLEMS, Admission, simulate_patient
from clinical_peft.synthetic.planted_notes import TEXT_CASES
from clinical_peft.synthetic.words import read_words

SECTIONS = (
    discharge_notes.CHIEF_COMPLAINT,
    discharge_notes.PRESENT_ILLNESS,
    discharge_notes.MEDICAL_HISTORY,
)


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(-50, 50), st.integers(0, 60))
def test_draws_are_a_function_of_their_key(seed: int, low: int, width: int) -> None:
    first, second = Draws(seed, 1), Draws(seed, 1)
    numbers = [first.integer(low, low + width) for _ in range(20)]
    assert numbers == [second.integer(low, low + width) for _ in range(20)]
    assert low <= min(numbers)
    assert max(numbers) <= low + width
    assert sorted(first.shuffled(numbers)) == sorted(numbers)


def test_normal_draws_have_the_asked_moments() -> None:
    draws = Draws(3)
    numbers = [draws.normal(2.0, 0.5) for _ in range(20_000)]
    assert np.mean(numbers) == pytest.approx(2.0, abs=0.02)
    assert np.std(numbers) == pytest.approx(0.5, abs=0.02)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_template_grammar(seed: int) -> None:
    words = Template("[x|y <3-5>|{name}] Hct <21-23>, INR <1.2-1.4>.").write(Draws(seed), {"name": "n"}).split(" Hct ")
    assert words[0] in {"x", "y 3", "y 4", "y 5", "n"}
    count, ratio = words[1].rstrip(".").split(", INR ")
    assert count in {"21", "22", "23"}
    assert ratio in {"1.2", "1.3", "1.4"}


def test_template_draws_every_alternative() -> None:
    template = Template("[a|b|]<0-1>")
    draws = Draws(1)
    assert {template.write(draws) for _ in range(200)} == {"a0", "a1", "b0", "b1", "0", "1"}


def test_template_needs_its_slots() -> None:
    with pytest.raises(KeyError):
        Template("{missing}").write(Draws(1))


def test_rules_hold_codes_of_one_group_with_titles() -> None:
    titles = read_words("icd9_titles")
    conditions = [*CHRONIC, ASYMPTOMATIC_HIV, *ACUTE, *PROBLEMS]
    for condition in conditions:
        for rule in condition.rules:
            assert len({codes.diagnosis_group(code) for code in rule.codes}) == 1, rule
            assert set(rule.codes) <= set(titles["diagnoses"]) | {"2765"}, rule
    for condition in [*ACUTE, *PROBLEMS]:
        for rule in condition.procedures:
            assert len({codes.procedure_group(code) for code in rule.codes}) == 1, rule
            assert set(rule.codes) <= set(titles["procedures"]), rule
    assert set(codes.TAIL_DIAGNOSES) <= set(titles["diagnoses"])


def admissions(count: int, seed: int = 1) -> list[Admission]:
    return [
        admission
        for index in range(count)
        for admission in simulate_patient(seed, MIMIC_III, index, 900_000_001 + index, 910_000_001).admissions
    ]


def test_patients_are_functions_of_their_index() -> None:
    alone = simulate_patient(1, MIMIC_III, 74, 900_000_075, 910_000_001).admissions
    again = [item for item in admissions(75) if item.subject_id == 900_000_075]
    texts = [discharge_notes.render(discharge_notes.discharge_sections(item)) for item in alone]
    assert texts == [discharge_notes.render(discharge_notes.discharge_sections(item)) for item in again]
    assert codes.code_admission(alone[0]) == codes.code_admission(again[0])


def test_notes_have_no_unfilled_template_and_no_missing_section() -> None:
    wanted = {name.lower() for name in (*SECTIONS, discharge_notes.ALLERGIES, discharge_notes.MEDICATIONS)}
    for admission in admissions(300):
        sections = discharge_notes.discharge_sections(admission)
        assert wanted <= {header.lower() for header in sections}
        text = discharge_notes.render(sections)
        assert not set("<{}|") & set(text), text
        assert text.count("[") == text.count("]") == text.count("[**") == text.count("**]")


@pytest.mark.parametrize("case", sorted(TEXT_CASES))
def test_a_text_case_changes_either_style_of_header(case: str) -> None:
    styles = {}
    for admission in admissions(60):
        sections = discharge_notes.discharge_sections(admission)
        styles[discharge_notes.CHIEF_COMPLAINT in sections] = sections
    assert set(styles) == {True, False}
    for sections in styles.values():
        assert discharge_notes.render(TEXT_CASES[case](sections)) != discharge_notes.render(sections)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])), min_size=2, max_size=12))
def test_expected_auroc_is_the_weighted_share_of_pairs(cases: list[tuple[int, float]]) -> None:
    won = total = 0.0
    for i, (score, chance) in enumerate(cases):
        for j, (other, other_chance) in enumerate(cases):
            if i != j:
                weight = chance * (1 - other_chance)
                total += weight
                won += weight * (1.0 if score > other else 0.5 if score == other else 0.0)
    scores, chances = [float(score) for score, _ in cases], [chance for _, chance in cases]
    auroc = expected_auroc(scores, chances, [1 - chance for chance in chances])
    if total < 1e-9:
        assert np.isnan(auroc) or total > 0
    else:
        assert auroc == pytest.approx(won / total, abs=1e-6)


def test_expected_auroc_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 200)
    scores = np.round(generator.normal(size=200) + labels, 1)
    assert expected_auroc(scores, labels, 1 - labels) == pytest.approx(roc_auc_score(labels, scores))


def test_latent_probabilities_are_calibrated() -> None:
    sample = admissions(4_000)
    assert np.mean([item.death_probability for item in sample]) == pytest.approx(
        np.mean([i.died for i in sample]), abs=0.015
    )
    for ventilated in (False, True):
        group = [item for item in sample if not item.died and item.ventilated == ventilated]
        expected = np.mean([los_bin_probabilities(item) for item in group], axis=0)
        bins = np.digitize([item.los / DAY for item in group], [3, 7, 14], right=True)
        assert expected == pytest.approx(np.bincount(bins, minlength=4) / len(group), abs=0.04)
    eligible = [item for item in sample if item.ventilation_days >= 1.75]
    chance = [codes.ventilation_exceeds(i, 6.75) / codes.ventilation_exceeds(i, 1.75) for i in eligible]
    assert np.mean(chance) == pytest.approx(np.mean([i.ventilation_days >= 6.75 for i in eligible]), abs=0.03)


def first_words(admission: Admission) -> str:
    sections = {header.lower(): body for header, body in discharge_notes.discharge_sections(admission).items()}
    return " ".join(" ".join(sections[name.lower()] for name in SECTIONS).split()[:70])


def linear_auroc(chosen: list[tuple[str, int]], train: int) -> float:
    texts, labels = [text for text, _ in chosen], [label for _, label in chosen]
    vectors = TfidfVectorizer(min_df=2, ngram_range=(1, 2), sublinear_tf=True).fit(texts[:train])
    model = LogisticRegression(max_iter=1_000).fit(vectors.transform(texts[:train]), labels[:train])
    scores = model.predict_proba(vectors.transform(texts[train:]))
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels[train:], scores[:, 1]))
    return float(roc_auc_score(labels[train:], scores, multi_class="ovo"))


def test_a_linear_model_learns_the_labels_from_the_first_words() -> None:
    """Some 700 admissions to learn from, as in the demo size; many to test on, so that the estimate is firm."""
    sample = [(item, first_words(item)) for item in admissions(2_400)]
    died = [(text, int(item.died)) for item, text in sample]
    stays = [(text, int(np.digitize(item.los / DAY, [3, 7, 14]))) for item, text in sample if not item.died]
    prolonged = [(text, int(item.ventilation_days >= 6.75)) for item, text in sample if item.ventilation_days >= 1.75]
    assert linear_auroc(died, 790) > 0.82
    assert linear_auroc(stays, 690) > 0.77
    assert linear_auroc(prolonged, 280) > 0.79
    coded = [{codes.diagnosis_group(code) for code in codes.code_admission(item).diagnoses} for item, _ in sample]
    for group, least in (("428", 0.85), ("250", 0.9), ("571", 0.9), ("584", 0.8), ("410", 0.95)):
        labels = [(text, int(group in found)) for (_, text), found in zip(sample, coded, strict=True)]
        assert linear_auroc(labels, 790) > least, group


MEASURE = """
import resource, sys
from pathlib import Path
from clinical_peft.synthetic.hospital import generate_sized
from clinical_peft.synthetic.sizes import HospitalSize

notes = int(sys.argv[2])
generate_sized(Path(sys.argv[1]), HospitalSize(160, 2, 1, notes, notes), size="large", seed=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_notes(tmp_path: Path) -> None:
    peaks = []
    for notes in (300, 6_000):
        command = [sys.executable, "-c", MEASURE, str(tmp_path / str(notes)), str(notes)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
    # The texts of the additional notes alone would take 14 MiB.
    assert peaks[1] - peaks[0] < 4


def test_plan_takes_hosts_from_the_training_split_only() -> None:
    patients = [simulate_patient(2, MIMIC_III, i, 900_000_001 + i, 910_000_001 + 3 * i) for i in range(400)]
    splits = {patient.subject_id: ("train", "val", "test")[patient.index % 3] for patient in patients}
    plan = planting.plant(patients, splits, 2, 1)
    split_of = {item.hadm_id: splits[item.subject_id] for patient in patients for item in patient.admissions}
    assert {split_of[hadm_id] for hadm_id in [*plan.note, *plan.chart, *plan.copied_from]} == {"train"}
    assert {split_of[hadm_id] for hadm_id, case in plan.codes.items() if case == "test_only_code"} == {"test"}
