"""Attributes of patients from both databases, and gaps between their groups, small cells suppressed."""

import json
import os
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mimic_iv_tables import write
from recovery import recovered
from simulated_study import CLASSES, LABELS, simulate_study
from sklearn.metrics import roc_auc_score

from clinical_peft.data.subgroups import ATTRIBUTES, build_subgroups
from clinical_peft.disclosure import HIDDEN, publishable_classes
from clinical_peft.errors import DataError
from clinical_peft.evaluation.evidence_tables import SUBGROUP_FIELDS, build_evidence_tables
from clinical_peft.evaluation.predictions import read_predictions
from clinical_peft.evaluation.render import to_csv, to_markdown
from clinical_peft.evaluation.subgroup_gaps import NOT_RECORDED, TOO_FEW_IN_EVERY_CLASS, Scored, _gap, compare_subgroups

ADMISSIONS = "HADM_ID,SUBJECT_ID,ADMITTIME,INSURANCE,ADMISSION_TYPE,ETHNICITY"
REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")


def attributes(path):
    return {row.pop("hadm_id"): row for row in pq.read_table(path).to_pylist()}


def mimic_iii(folder):
    write(
        folder,
        "ADMISSIONS",
        ADMISSIONS,
        [
            [3, 1, "2150-06-01 12:00:00", "Medicare", "EMERGENCY", "WHITE - RUSSIAN"],
            [1, 2, "2150-06-01 12:00:00", "Self Pay", "ELECTIVE", "HISPANIC/LATINO - PUERTO RICAN"],
            [2, 3, "2150-06-01 12:00:00", "", "URGENT", "UNABLE TO OBTAIN"],
            [4, 4, "2150-06-01 12:00:00", "Private", "NEWBORN", "PORTUGUESE"],
        ],
    )
    return folder


def test_attributes_of_mimic_iii(tmp_path):
    folder = mimic_iii(tmp_path)
    people = [[1, "F", "1850-01-01 00:00:00"], [2, "M", "2110-06-02 00:00:00"], [3, "F", "2110-05-31 00:00:00"]]
    write(folder, "PATIENTS", "SUBJECT_ID,GENDER,DOB", people)
    stays = [[3, "carevue"], [3, "metavision"], [1, "carevue"], [2, "metavision"]]
    write(folder, "ICUSTAYS", "HADM_ID,DBSOURCE", stays)
    output = tmp_path / "out" / "subgroups.parquet"
    assert build_subgroups("mimic-iii", folder, output) == 4
    assert pq.read_table(output)["hadm_id"].to_pylist() == [1, 2, 3, 4]
    assert output.parent.stat().st_mode & 0o077 == 0
    found = attributes(output)
    assert list(found[1]) == list(ATTRIBUTES)
    assert list(found[3].values()) == [
        "female", "80 and over", "white", "Medicare", "emergency", "carevue and metavision"]  # fmt: skip
    assert list(found[1].values()) == ["male", "18 to 39", "hispanic", "Self pay", "elective", "CareVue"]
    assert list(found[2].values()) == ["female", "40 to 59", None, None, "urgent", "MetaVision"]
    assert list(found[4].values()) == [None, None, "other", "Private", "newborn", None]


def test_attributes_of_tables_that_are_not_there_are_null(tmp_path):
    build_subgroups("mimic-iii", mimic_iii(tmp_path), tmp_path / "subgroups.parquet")
    for row in attributes(tmp_path / "subgroups.parquet").values():
        assert (row["sex"], row["age_band"], row["era"]) == (None, None, None)
        assert row["admission_type"]


def test_attributes_of_mimic_iv(tmp_path):
    header = "subject_id,hadm_id,admittime,insurance,admission_type,race"
    rows = [
        [1, 10, "2155-01-01 00:00:00", "Medicare", "DIRECT EMER.", "BLACK/CAPE VERDEAN"],
        [1, 11, "2181-01-01 00:00:00", "Other", "SURGICAL SAME DAY ADMISSION", "ASIAN - CHINESE"],
        [2, 12, "2150-01-01 00:00:00", "Medicaid", "AMBULATORY OBSERVATION", ""],
    ]
    write(tmp_path, "hosp/admissions", header, rows)
    people = [[1, "M", 55, 2150, "2011 - 2013"]]
    write(tmp_path, "hosp/patients", "subject_id,gender,anchor_age,anchor_year,anchor_year_group", people)
    build_subgroups("mimic-iv", tmp_path, tmp_path / "subgroups.parquet")
    found = attributes(tmp_path / "subgroups.parquet")
    assert list(found[10].values()) == ["male", "60 to 79", "black", "Medicare", "emergency", "2011 - 2013"]
    assert list(found[11].values()) == ["male", "80 and over", "asian", "other", "elective", "2011 - 2013"]
    assert list(found[12].values()) == [None, None, None, "Medicaid", "observation", None]


SECRET = "Aunt Smith"
KNOWN_GROUPS = {
    "other",
    *("female", "male", "white", "black", "hispanic", "asian", "native"),
    *("Medicare", "Medicaid", "Private", "Government", "Self pay", "No charge"),
    *("observation", "emergency", "urgent", "elective", "newborn"),
    *("CareVue", "MetaVision", "carevue and metavision"),
    *("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022"),
    *("under 18", "18 to 39", "40 to 59", "60 to 79", "80 and over"),
}


def test_unknown_values_of_mimic_iii_are_other(tmp_path):
    rows = [[number, number, "2150-06-01 12:00:00", *[SECRET] * 3] for number in range(1, 5)]
    write(tmp_path, "ADMISSIONS", ADMISSIONS, [*rows, [5, 5, "2150-06-01 12:00:00", "SELF  PAY ", "URGENT", "ASIAN"]])
    people = [[number, SECRET, "2100-01-01 00:00:00"] for number in range(1, 5)] + [[5, " f", "2100-01-01 00:00:00"]]
    write(tmp_path, "PATIENTS", "SUBJECT_ID,GENDER,DOB", people)
    stays = [[1, SECRET], [2, SECRET], [2, "carevue"], [3, "both"], [4, "metavision"], [4, "both"], [5, "CareVue"]]
    write(tmp_path, "ICUSTAYS", "HADM_ID,DBSOURCE", stays)
    build_subgroups("mimic-iii", tmp_path, tmp_path / "subgroups.parquet")
    found = attributes(tmp_path / "subgroups.parquet")
    assert [list(found[number].values()) for number in (1, 5)] == [
        ["other", "40 to 59", "other", "other", "other", "other"],
        ["female", "40 to 59", "asian", "Self pay", "urgent", "CareVue"],
    ]
    assert [found[number]["era"] for number in (2, 3, 4)] == ["other", *["carevue and metavision"] * 2]
    assert {name for row in found.values() for name in row.values()} <= KNOWN_GROUPS


def test_unknown_values_of_mimic_iv_are_other(tmp_path):
    header = "subject_id,hadm_id,admittime,insurance,admission_type,race"
    rows = [
        [1, 10, "2155-01-01 00:00:00", *[SECRET] * 3],
        [2, 11, "2155-01-01 00:00:00", "No charge", "EU OBSERVATION", ""],
    ]
    write(tmp_path, "hosp/admissions", header, rows)
    people = [[1, SECRET, 55, 2150, SECRET], [2, "F", 55, 2150, "2020-2022"]]
    write(tmp_path, "hosp/patients", "subject_id,gender,anchor_age,anchor_year,anchor_year_group", people)
    build_subgroups("mimic-iv", tmp_path, tmp_path / "subgroups.parquet")
    found = attributes(tmp_path / "subgroups.parquet")
    assert list(found[10].values()) == ["other", "60 to 79", "other", "other", "other", "other"]
    assert list(found[11].values()) == ["female", "60 to 79", None, "No charge", "observation", "2020 - 2022"]


def test_an_admission_in_two_rows_is_refused(tmp_path):
    write(tmp_path, "ADMISSIONS", ADMISSIONS, [[1, 1, "2150-06-01 12:00:00", "", "", ""]] * 2)
    with pytest.raises(DataError, match="expected each value in one row"):
        build_subgroups("mimic-iii", tmp_path, tmp_path / "subgroups.parquet")


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
def test_attributes_of_the_public_demo(tmp_path):
    folder = Path(str(REAL_DATA)) / "mimic-iii-demo"
    assert build_subgroups("mimic-iii", folder, tmp_path / "subgroups.parquet") == 129
    found = attributes(tmp_path / "subgroups.parquet").values()
    # Counted with the csv module.
    assert Counter(row["sex"] for row in found) == {"male": 70, "female": 59}
    assert Counter(row["era"] for row in found) == {"MetaVision": 72, "CareVue": 57}
    assert Counter(row["ethnicity"] for row in found)["white"] == 86


def write_attributes(path, ids, values):
    columns = {"hadm_id": pa.array(ids, pa.int64()), **{name: pa.array(found) for name, found in values.items()}}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("subgroups")
    study = simulate_study(root, seeds=2, resamples=100, tasks=("mortality", "procedures"))
    runs = [f"{run['model']}/{run['task']}/seed{run['seed']}" for run in study["metrics"]]
    ids = np.arange(1_000, 1_300)
    values = {
        "sex": np.where(ids % 2, "female", "male").tolist(),
        "rare": ["few" if i < 1_010 else None if i % 3 == 0 else "many" for i in ids],
    }
    return {
        **study,
        "root": root,
        "metrics": [root / f"metrics/{run}.json" for run in runs],
        "paths": [root / f"predictions/{run}.parquet" for run in runs],
        "attributes": write_attributes(root / "subgroups.parquet", ids, values),
    }


def gaps_of(study, **changes):
    arguments = {"resamples": 150, "bootstrap_seed": 0, "output": study["root"] / "subgroups.json", **changes}
    attributes = arguments.pop("attributes", study["attributes"])
    return compare_subgroups(study["metrics"], study["paths"], study["classes"], attributes, **arguments)


def subgroup_table(result):
    empty = {"level": 0.95, "summaries": [], "differences": []}
    tables = build_evidence_tables(
        aggregate=empty, calibration={"runs": [], "bins": 10}, subgroups=result, labels=LABELS
    )
    return tables["subgroups"]


def test_gaps_are_differences_of_figures_over_shared_classes(study):
    result = gaps_of(study)
    assert json.loads((study["root"] / "subgroups.json").read_text()) == result
    rows = {(row["model"], row["task"], row["group"]): row for row in result["gaps"]}
    reference = rows["llama+lora", "mortality", rows["llama+lora", "mortality", "male"]["reference"]]
    row = rows["llama+lora", "mortality", "male" if reference["group"] == "female" else "female"]
    assert (reference["gaps"], row["reference"]) == (None, reference["group"])
    expected = {}
    for group, odd in (("female", 1), ("male", 0)):
        areas = []
        for path in study["predictions"]["llama+lora", "mortality"]:
            test = read_predictions(path, [0, 1], "binary")["test"]
            inside = test.hadm_id % 2 == odd
            areas.append(roc_auc_score(test.target[inside, 1], test.scores[inside, 1]))
        expected[group] = np.mean(areas)
    value = round(expected[row["group"]], 3)
    assert row["figures"]["auroc"]["value"] == value
    assert row["gaps"]["auroc"]["value"] == pytest.approx(value - round(expected[reference["group"]], 3))
    low, high = row["gaps"]["auroc"]["interval"]
    assert low < row["gaps"]["auroc"]["value"] < high
    several = rows["llama+lora", "procedures", "female"]
    assert 0 < several["classes"] <= 12
    assert several["seeds"] == 2


def one_versus_one(data, classes):
    """Mean over pairs of these classes, each pair in both directions, by scikit-learn."""
    label, areas = data.target.argmax(axis=1), []
    for first, second in combinations(classes, 2):
        pair = np.isin(label, (first, second))
        areas += [roc_auc_score(label[pair] == one, data.scores[pair, one]) for one in (first, second)]
    return np.mean(areas)


def test_gaps_of_several_classes_are_over_pairs_that_both_groups_show(tmp_path):
    """One group has no stay of the longest class: its gap must not come from the pairs that the other one has more."""
    study = simulate_study(tmp_path, seeds=1, resamples=20, tasks=("los",))
    paths = [study["predictions"][run["model"], "los"][0] for run in study["metrics"]]
    metrics = [tmp_path / f"metrics/{run['model']}/los/seed0.json" for run in study["metrics"]]
    found = pq.read_table(paths[0])
    sex = ["male" if label == 3 or hadm % 2 else "female" for hadm, label in zip(
        found["hadm_id"].to_pylist(), found["label"].to_pylist(), strict=True)]  # fmt: skip
    attributes = write_attributes(tmp_path / "sex.parquet", found["hadm_id"].to_pylist(), {"sex": sex})
    result = compare_subgroups(
        metrics, paths, study["classes"], attributes, resamples=50, bootstrap_seed=0, output=tmp_path / "x.json"
    )
    for path, run in zip(paths, study["metrics"], strict=True):
        test = read_predictions(path, range(4), "multiclass")["test"]
        inside = np.array([sex[hadm - 1_000] == "female" for hadm in test.hadm_id])
        parts = {"female": test.of_rows(inside), "male": test.of_rows(~inside)}
        assert not parts["female"].target[:, 3].any()
        (row,) = [row for row in result["gaps"] if row["model"] == run["model"] and row["gaps"]]
        assert publishable_classes(parts["female"].target, exclusive=False).tolist() == [True, True, True, False]
        expected = {name: one_versus_one(part, range(3)) for name, part in parts.items()}
        assert (row["group"], row["reference"], row["classes"], row["classes_with_few"]) == ("female", "male", 3, 0)
        assert row["figures"]["auroc"]["value"] == pytest.approx(expected["female"], abs=0.000501)
        assert row["gaps"]["auroc"]["value"] == pytest.approx(expected["female"] - expected["male"], abs=0.001001)
        assert row["figures"]["brier"]["value"] is None


def test_small_groups_and_those_that_give_them_away_show_nothing(study):
    result = gaps_of(study)
    cells = {(cell["task"], cell["group"]): cell for cell in result["cells"]}
    for task in ("mortality", "procedures"):
        for group in ("few", NOT_RECORDED):
            cell = cells[task, group]
            assert (cell["admissions"], cell["patients"], cell["positives"]) == (None, None, None)
            assert cell["suppressed"] == HIDDEN
    assert cells["mortality", "many"]["admissions"] > 10
    for row in result["gaps"]:
        if row["group"] in ("few", NOT_RECORDED):
            assert row["suppressed"] == HIDDEN
            assert row["figures"] is row["gaps"] is row["p_value"] is None
            assert row["significant"] is False


def test_a_group_that_a_task_has_nobody_of_is_hidden_there(study, tmp_path):
    """A group without a row would be a group of none."""
    ids = np.arange(1_000, 1_300)
    test = read_predictions(study["predictions"]["llama", "mortality"][0], [0, 1], "binary")["test"]
    other = read_predictions(study["predictions"]["llama", "procedures"][0], CLASSES["procedures"], "multilabel")[
        "test"
    ]
    inside = np.isin(ids, np.setdiff1d(test.hadm_id, other.hadm_id))
    only = {"a": np.where(inside, "some", "others").tolist()}
    attributes = write_attributes(tmp_path / "a.parquet", ids, only)
    cells = {(cell["task"], cell["group"]) for cell in gaps_of(study, attributes=attributes)["cells"]}
    assert cells == {(task, group) for task in ("mortality", "procedures") for group in ("some", "others")}


def test_the_order_of_hidden_groups_is_that_of_their_names(study, tmp_path):
    ids = np.arange(1_000, 1_300)
    names = np.select([ids < 1_008, ids < 1_030], ["a", "b"], "c").tolist()
    attributes = write_attributes(tmp_path / "order.parquet", ids, {"x": names})
    found = [cell for cell in gaps_of(study, attributes=attributes)["cells"] if cell["task"] == "mortality"]
    assert [(cell["group"], cell["admissions"] is None) for cell in found] == [("c", False), ("a", True), ("b", True)]


def test_classes_with_few_cases_are_left_out_and_counted(study):
    result = gaps_of(study)
    rows = {(row["model"], row["task"], row["group"]): row for row in result["gaps"]}
    test = read_predictions(study["predictions"]["llama", "procedures"][0], CLASSES["procedures"], "multilabel")["test"]
    female = test.hadm_id % 2 == 1
    smallest = [
        np.minimum(target.sum(axis=0), (~target).sum(axis=0)) for target in (test.target[female], test.target[~female])
    ]
    both = (smallest[0] > 0) & (smallest[1] > 0)
    few = both & ((smallest[0] < 10) | (smallest[1] < 10))
    shared = both & ~few
    row = next(rows["llama", "procedures", g] for g in ("female", "male") if rows["llama", "procedures", g]["gaps"])
    assert (row["classes"], row["classes_with_few"]) == (shared.sum(), few.sum())
    assert row["classes_with_few"] > 0
    assert rows["llama", "mortality", "female"]["classes_with_few"] == 0
    table = subgroup_table(result)
    marked = {(line[0], line[2]) for line in table.rows if "†" in line[6]}
    assert {("PROC", "female"), ("PROC", "male")} <= marked
    assert all(task == "PROC" for task, _ in marked)
    assert any(note.startswith("†") for note in table.notes)


def scored(areas, few):
    others = {name: np.full(3, 0.2) for name in ("brier", "calibration_intercept")}
    return Scored({columns: np.full(3, 0.7) for columns in areas}, others, frozenset(few))


def test_a_figure_of_few_cases_in_every_class_is_not_shown():
    base = scored(((0,), (1,)), ())
    found = _gap(scored((), (0, 1)), base, 0.95, own=False)
    assert found["suppressed"] == TOO_FEW_IN_EVERY_CLASS
    assert found["figures"] is found["gaps"] is found["p_value"] is None
    rough = _gap(scored(((0,),), (1,)), base, 0.95, own=False)
    assert (rough["suppressed"], rough["classes"], rough["classes_with_few"]) == (None, 1, 1)


def test_a_class_that_one_of_two_groups_lacks_is_left_out_of_both():
    base, group = scored(combinations(range(4), 2), ()), scored(combinations(range(3), 2), ())
    found = _gap(group, base, 0.95, own=False)
    assert (found["classes"], found["classes_with_few"]) == (3, 0)
    # A single pair of classes has too few possible AUROCs.
    assert _gap(scored([(0, 1)], ()), base, 0.95, own=False)["suppressed"] == TOO_FEW_IN_EVERY_CLASS


def test_every_gap_has_its_interval_in_the_table(study):
    found = [record for record in subgroup_table(gaps_of(study)).records if record["gap_percent"] is not None]
    assert found
    for record in found:
        for name in ("brier", "brier_gap", "calibration_intercept", "calibration_intercept_gap"):
            if record["task"] == "procedures":  # over all labels, of which some are rare
                assert record[name] is None
                continue
            assert record[f"{name}_low"] <= record[name] <= record[f"{name}_high"]


def test_few_positives_hide_the_figures_but_not_the_admissions(study, tmp_path):
    test = read_predictions(study["predictions"]["llama", "mortality"][0], [0, 1], "binary")["test"]
    positive = test.hadm_id[test.target[:, 1]]
    negative = test.hadm_id[~test.target[:, 1]]
    nine = np.concatenate([positive[:9], negative[30:]])
    ids = np.arange(1_000, 1_300)
    attributes = write_attributes(
        tmp_path / "a.parquet", ids, {"a": np.where(np.isin(ids, nine), "nine", "all but nine").tolist()}
    )
    cells = [cell for cell in gaps_of(study, attributes=attributes)["cells"] if cell["task"] == "mortality"]
    assert len(cells) == 2
    for cell in cells:
        assert cell["admissions"] >= 10
        assert cell["positives"] is None
        assert cell["suppressed"] == HIDDEN


def test_both_ways_of_ranking_give_the_same_gaps(study, monkeypatch):
    dense = gaps_of(study)
    monkeypatch.setattr("clinical_peft.evaluation.subgroup_gaps.kernel_pays", lambda *_: True)
    assert gaps_of(study) == dense


def test_admissions_without_attributes_are_refused(study, tmp_path):
    partial = write_attributes(tmp_path / "partial.parquet", np.arange(1_000, 1_200), {"sex": ["male"] * 200})
    with pytest.raises(DataError, match=r"found \d+ without"):
        gaps_of(study, attributes=partial)
    with pytest.raises(DataError, match="found none"):
        gaps_of(study, attributes=tmp_path / "absent.parquet")


def test_a_study_without_runs_has_no_gaps(tmp_path):
    result = compare_subgroups([], [], {}, None, resamples=100, bootstrap_seed=0, output=tmp_path / "x.json")
    assert (result["cells"], result["gaps"]) == ([], [])


def test_the_table_shows_no_count_below_ten(study):
    result = gaps_of(study)
    table = subgroup_table(result)
    assert to_csv(table).splitlines()[0] == ",".join(SUBGROUP_FIELDS)
    assert len(table.records) == len(result["gaps"])
    assert {(record["protocol"], record["cohort_sha256"]) for record in table.records} == {("corrected", "c0" * 32)}
    assert len(table.rows) == len(result["cells"])
    counts = [record[name] for record in table.records for name in ("admissions", "patients", "positives")]
    assert all(count is None or count >= 10 for count in counts)
    assert "| few | many | – | – |" in to_markdown(table)
    for record in table.records:
        if record["auroc_percent"] is not None:
            assert record["auroc_percent"] == pytest.approx(round(record["auroc_percent"], 1))


def _with_label(task, study, label):
    """Test admissions of a binary task with one label."""
    test = read_predictions(study["predictions"]["llama", task][0], [0, 1], "binary")["test"]
    return test.hadm_id[test.target[:, label]]


def test_no_hidden_count_follows_from_a_whole_file(study, tmp_path):
    """Counts, sums, other tasks and AUROCs together leave every hidden count at least two values."""
    random = np.random.default_rng(5)
    ids = np.arange(1_000, 1_300)
    values = {
        "two": random.choice(["a", "b"], 300, p=[0.04, 0.96]).tolist(),
        "few": np.where(np.isin(ids, _with_label("mortality", study, 0)[:5]), "five", "others").tolist(),
        "five": random.choice(list("abcde"), 300, p=[0.4, 0.3, 0.2, 0.05, 0.05]).tolist(),
    }
    attributes = write_attributes(tmp_path / "a.parquet", ids, values)
    result = gaps_of(study, attributes=attributes, resamples=20)
    tasks = {}
    for task, kind in (("mortality", "binary"), ("procedures", "multilabel")):
        test = read_predictions(study["predictions"]["llama", task][0], CLASSES[task], kind)["test"]
        positive = frozenset(test.hadm_id[test.target[:, 1]].tolist()) if kind == "binary" else None
        tasks[task] = (frozenset(test.hadm_id.tolist()), positive)
    assert any(cell["admissions"] is None for cell in result["cells"])
    assert recovered(result, tasks) == set()
    for row in result["gaps"]:
        if row["figures"]:
            value = row["figures"]["auroc"]["value"]
            assert value == round(value, 3)
