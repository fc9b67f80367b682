"""The tables and the drawing that describe the cohorts."""

import re

import pytest
from results_fixtures import built_from, records

from clinical_peft.figures.definitions.attrition import attrition_flow, group_by_trunk
from clinical_peft.tables.render import to_latex, to_markdown
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS

WORDS = {"mean": 310.26, "median": 300.0, "p95": 512.4, "longest": 900}
STATISTICS = [
    {"task": "control", "classes": 2, "multilabel": False, "train": 7, "validation": 1, "test": 2, "patients": 9,
     "prevalence": 0.5, "class_shares": [0.5, 0.5], "mean_cardinality": None, "without_code": None,
     "lengths": {"words": WORDS}},
    {"task": "los", "classes": 4, "multilabel": False, "train": 30421, "validation": 4391, "test": 8790,
     "patients": 35000, "prevalence": None, "class_shares": [0.25, 0.25, 0.3, 0.2], "mean_cardinality": None,
     "without_code": None, "lengths": {"words": WORDS, "llama-7b": WORDS, "bert": WORDS}},
    {"task": "diagnoses", "classes": 1270, "multilabel": True, "train": 33994, "validation": 4918, "test": 9829,
     "patients": 37000, "prevalence": None, "class_shares": None, "mean_cardinality": 11.5, "without_code": 3,
     "lengths": {"words": WORDS}},
]  # fmt: skip
TRUNK = [
    {"step": "rows of NOTEEVENTS", "unit": "notes", "rows": 5000, "patients": 900},
    {"step": "discharge summaries", "unit": "notes", "rows": 1200, "patients": 880},
    {"step": "joined by admission", "unit": "admissions", "rows": 1100, "patients": 860},
]
STAYS = [
    {"step": "rows of ICUSTAYS", "unit": "ICU stays", "rows": 90, "patients": 80},
    {"step": "of adults", "unit": "ICU stays", "rows": 70, "patients": 60},
]


def admissions(step, rows, patients, **more):
    return {"step": step, "unit": "admissions", "rows": rows, "patients": patients, **more}


CODES = [
    {"step": "rows of DIAGNOSES_ICD", "unit": "codes", "rows": 9000, "patients": 990},
    {"step": "with a code", "unit": "codes", "rows": 8000, "patients": 975},
    {"step": "with an admission", "unit": "codes", "rows": 7980, "patients": 960},
]
ATTRITION = {
    "control": TRUNK,
    "diagnoses": [
        *TRUNK,
        admissions("with a diagnosis code", 1080, 845, joined=CODES),
        admissions("labelled by codes", 1060, 830, left_out={"codes that are unknown": 1234}),
    ],
    "pmv": STAYS,
    "los": [*TRUNK, admissions("discharged alive", 1001, 840)],
}


@pytest.fixture(scope="module")
def tables():
    results = StudyResults(protocol="paper", has_paper_cohorts=True, statistics=STATISTICS, attrition=ATTRITION)
    return built_from(results, "cohort_details", "text_lengths", "attrition")


def test_differences_are_ours_minus_the_papers(tables):
    los, diagnoses, control = records(tables["cohort_details"])
    assert (los["protocol"], los["admissions"], los["published_admissions"]) == ("paper", "43602", "43609")
    assert los["difference_admissions"] == "-7"
    assert los["class_shares"] == "0.2500 0.2500 0.3000 0.2000"
    assert (diagnoses["difference_admissions"], diagnoses["difference_classes"]) == ("0", "4")
    assert (diagnoses["mean_cardinality"], diagnoses["without_code"], diagnoses["class_shares"]) == ("11.5", "3", "")
    assert (control["published_classes"], control["difference_classes"], control["prevalence"]) == ("", "", "0.5")
    shown = tables["cohort_details"].rows
    assert shown[0][1:5] == ("25.0 / 25.0 / 30.0 / 20.0", "43,602", "43,609", "−7")
    assert shown[1][8] == "+4"
    assert shown[2][3:5] == ("–", "–")


def test_lengths_are_in_words_then_tokens_of_each_base(tables):
    rows = records(tables["text_lengths"])
    assert [row["task"] for row in rows] == ["los", "los", "los", "diagnoses", "control"]
    assert [row["unit"] for row in rows] == ["words", "bert", "llama-7b", "words", "words"]
    assert [rows[0][field] for field in ("mean", "median", "p95", "longest")] == ["310.3", "300.0", "512.4", "900"]


def test_every_step_says_what_it_dropped(tables):
    rows = records(tables["attrition"])
    assert list(dict.fromkeys(row["task"] for row in rows)) == ["pmv", "los", "diagnoses", "control"]
    los = [row for row in rows if row["task"] == "los"]
    assert [row["number"] for row in los] == ["1", "2", "3", "4"]
    assert [row["rows_left_out"] for row in los] == ["", "3800", "", "99"]  # joining notes leaves none out
    assert [row["patients_left_out"] for row in los] == ["", "20", "20", "20"]
    assert [row["published_rows"] for row in los] == ["", "", "", "43609"]
    assert los[-1]["difference_rows"] == str(1001 - 43609)
    diagnoses = [row for row in rows if row["task"] == "diagnoses"]
    assert diagnoses[-1]["also_left_out"] == "1,234 codes that are unknown"
    assert [row["step"] for row in diagnoses[2:7]] == [
        *("joined by admission", "rows of DIAGNOSES_ICD", "with a code", "with an admission", "with a diagnosis code"),
    ]
    assert [row["number"] for row in diagnoses] == list("12345678")
    assert [row["rows_left_out"] for row in diagnoses[3:]] == ["", "1000", "20", "20", "20"]
    assert [row["patients_left_out"] for row in diagnoses[3:]] == ["", "15", "15", "15", "15"]
    assert [row["published_rows"] for row in diagnoses[:-1]] == [""] * 7
    for text in (to_markdown(tables["attrition"]), to_latex(tables["attrition"])):
        assert "1,234 codes that are unknown" in text


@pytest.mark.parametrize(("count", "shown"), [(9, "fewer than 10"), (10, "10")])
def test_repetition_across_given_splits_is_noted(count, shown):
    step = admissions("of a named split", 1000, 800, repeated_in_another_split=count)
    results = StudyResults(attrition={"los": [*TRUNK, step, admissions("with a label", 900, 700)], "pmv": STAYS})
    text = to_markdown(built_from(results, "attrition")["attrition"])
    assert (
        f"LOS: {shown} notes of validation and test have near-duplicates in another split, by the split that the table "
        "gives. Metrics may be too good."
    ) in text
    assert text.count("near-duplicates") == 1


def test_cohorts_that_begin_alike_share_a_trunk():
    stays, notes = group_by_trunk(ATTRITION, TASKS)
    assert (stays.trunk, list(stays.branches)) == ((), ["pmv"])
    assert list(notes.branches) == ["los", "diagnoses", "control"]
    assert [step["step"] for step in notes.trunk] == ["rows of NOTEEVENTS", "discharge summaries"]
    assert [step["step"] for step in notes.branches["control"]] == ["joined by admission"]  # a cohort keeps a box
    assert [len(steps) for steps in notes.branches.values()] == [2, 3, 1]


def test_the_drawing_has_a_box_per_step_and_a_figure_per_loss(tmp_path):
    path = tmp_path / "attrition.svg"
    attrition_flow(ATTRITION, TASKS, path)
    first = path.read_bytes()
    attrition_flow(ATTRITION, TASKS, path)
    assert path.read_bytes() == first
    texts = re.findall(r">([^<>]+)</text>", first.decode())
    counts = [
        text for text in texts if re.fullmatch(r"[\d,]+ (notes|admissions|ICU stays|codes), [\d,]+ patients", text)
    ]
    assert len(counts) == 2 + 2 + 6 + 3  # pmv, the trunk, the branches, the table of codes
    assert "−3,800 notes, −20 patients" in texts
    assert "−99 admissions, −20 patients" in texts
    assert "1,234 codes that are unknown" in texts
    assert "LOS: discharged alive" in texts


def test_a_single_cohort_is_one_column(tmp_path):
    attrition_flow({"pmv": STAYS}, TASKS, tmp_path / "attrition.svg")
    assert "PMV: of adults" in (tmp_path / "attrition.svg").read_text()


def test_many_classes_are_listed_by_their_largest_shares():
    shares = [None, *(count / 1000 for count in range(1, 41)), 0.18]
    results = StudyResults(statistics=[STATISTICS[1] | {"classes": len(shares), "class_shares": shares}])
    table = built_from(results, "cohort_details")["cohort_details"]
    listed = table.rows[0][1].split(" / ")
    assert listed[:3] == ["18.0", "4.0", "3.9"]
    assert len(listed) == 21
    assert listed[-1] == f"22 other classes {100 - 18 - sum(range(22, 41)) / 10:.1f}"
    assert len(records(table)[0]["class_shares"].split()) == len(shares)
