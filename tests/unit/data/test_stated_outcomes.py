"""Outcomes that an admission note states."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.sections import SECTION_HEADERS, admission_note, split_admission_note
from clinical_peft.data.stated_outcomes import stated_outcomes, states_outcome
from clinical_peft.tasks import TASKS

STATED = [
    ("mortality", "The patient died on the ward.", "death"),
    ("mortality", "Discharge disposition: Expired", "disposition"),
    ("mortality", "Family meeting, goals changed to comfort measures only.", "end_of_life_care"),
    ("los", "Length of stay: 12 days", "length_of_stay"),
    ("los", "On hospital day #4 she was afebrile.", "hospital_day"),
    ("los", "HD# 3: tolerated diet", "hospital_day"),
    ("los", "Drain out on POD 5.", "postoperative_day"),
    ("los", "Her ICU course lasted nine days.", "stay_in_days"),
    ("los", "Exam on discharge: clear lungs.", "discharge"),
    ("los", "He was discharged home on day 6.", "discharge"),
    ("pmv", "Trach and PEG placed.", "tracheostomy"),
    ("pmv", "Ventilated for 9 days.", "ventilator_days"),
    ("pmv", "vent day #8, sedated", "ventilator_days"),
    ("pmv", "Failed to wean from pressure support.", "weaning"),
    ("pmv", "Ventilator-dependent since surgery.", "weaning"),
    ("pmv", "Extubated the next morning.", "extubation"),
    ("diagnoses", "Final diagnosis: pneumonia", "diagnosis_list"),
    ("diagnoses", "ICD-9 coded", "code"),
    ("procedures", "Major Surgical or Invasive Procedure: CABG", "procedure_list"),
    ("procedures", "Taken to the OR urgently.", "operation"),
    ("procedures", "Post-op day 2, doing well.", "postoperative_day"),
]
UNSTATED = [
    ("mortality", "Prescription expired. His wife passed away. Time of departure noted."),
    ("los", "On HD three times a week. Lost 12 pounds. LOS not known. Discharge from the ear for 3 days."),
    ("pmv", "Intubated in the field. Traces of blood. Stopped smoking 9 days ago."),
    ("diagnoses", "Diagnosed with asthma as a child."),
    ("procedures", "Operated on in 2003, in theory today."),
]


@pytest.mark.parametrize(("task", "sentence", "name"), STATED)
def test_statements_are_found_in_their_section(task, sentence, name):
    note = admission_note(dict.fromkeys(SECTION_HEADERS, "") | {"PRESENT ILLNESS": f"Fell at home. {sentence} Stable."})
    assert ("PRESENT ILLNESS", name) in stated_outcomes(TASKS[task], note)
    assert {section for section, _ in stated_outcomes(TASKS[task], note)} == {"PRESENT ILLNESS"}
    assert states_outcome(TASKS[task], note)


@pytest.mark.parametrize(("task", "text"), UNSTATED)
def test_near_misses_are_no_statements(task, text):
    assert stated_outcomes(TASKS[task], f"PRESENT ILLNESS: {text}") == []


def test_every_pattern_is_exercised():
    assert {(task, name) for task, _, name in STATED} == {
        (task.name, name) for task in TASKS.values() for name in task.stated_outcomes
    }
    assert [task.name for task in TASKS.values() if not task.stated_outcomes] == ["control"]


def test_a_death_in_the_family_is_not_the_patients():
    note = "PRESENT ILLNESS: Cough.\n\nFAMILY HISTORY: Brother was a patient died of stroke."
    assert stated_outcomes(TASKS["mortality"], note) == [("FAMILY HISTORY", "death")]
    assert not states_outcome(TASKS["mortality"], note)


def test_a_coin_cannot_be_stated():
    assert stated_outcomes(TASKS["control"], "PRESENT ILLNESS: heads. The patient died on hospital day 3.") == []


BODY = st.text(st.characters(exclude_characters="\n\r"), max_size=30)


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(SECTION_HEADERS, BODY)))
def test_splitting_an_admission_note_gives_its_sections_back(sections):
    assert split_admission_note(admission_note(sections)) == sections


def test_a_text_without_titles_is_one_section():
    assert split_admission_note("Just text.\n\nMore: text.") == {"": "Just text.\n\nMore: text."}
