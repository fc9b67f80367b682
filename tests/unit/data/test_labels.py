"""Labels of one admission: stays in their bins, codes of the code tables as each protocol reads them."""

import numpy as np
import pytest
from cohort_fixtures import CORRECTED, PAPER, build
from hypothesis import given, settings
from hypothesis import strategies as st
from tables_fixtures import write_csv

from clinical_peft.data.labelling import label_table
from clinical_peft.data.labels import LOS_UPPER_DAYS, bin_length_of_stay
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iii.outcomes import MimicIII


@settings(deadline=None)
@given(st.floats(-10, 400), st.booleans())
def test_length_of_stay_bins(days, rounded):
    found = bin_length_of_stay(np.array([days * 86_400]), rounded=rounded)[0]
    value = round(days * 86_400 / 86_400, 1) if rounded else days * 86_400 / 86_400
    if not rounded or abs(days * 10 - round(days * 10)) < 0.4:  # away from halves, where binary floats decide
        assert found == (0 if value <= 3 else 1 if value <= 7 else 2 if value <= 14 else 3)


@settings(deadline=None)
@given(st.lists(st.integers(-10 * 86_400, 400 * 86_400), min_size=1), st.booleans())
def test_a_longer_stay_is_never_in_a_lower_class(seconds, rounded):
    classes = bin_length_of_stay(np.sort(np.array(seconds)), rounded=rounded)
    assert (np.diff(classes) >= 0).all()
    assert set(classes) <= {0, 1, 2, 3}


@settings(deadline=None)
@given(st.sampled_from(list(enumerate(LOS_UPPER_DAYS))), st.integers(1, 4_320), st.booleans())
def test_a_bound_belongs_to_the_lower_class(bound, beyond, rounded):
    """Rounding lifts each bound by a twentieth of a day, 4,320 seconds, and changes nothing else."""
    lower, days = bound
    edge = days * 86_400 + (4_320 if rounded else 0)
    found = bin_length_of_stay(np.array([edge - beyond, edge, edge + beyond]), rounded=rounded)
    assert found.tolist() == [lower, lower, lower + 1]


@settings(deadline=None)
@given(st.integers(-10 * 86_400, 400 * 86_400))
def test_rounding_lowers_a_class_by_one_at_most(seconds):
    rounded, exact = (bin_length_of_stay(np.array([seconds]), rounded=choice)[0] for choice in (True, False))
    assert exact - 1 <= rounded <= exact


@pytest.mark.parametrize(
    ("days", "rounded", "exact"), [(-1, 0, 0), (3, 0, 0), (3.04, 0, 1), (3.06, 1, 1), (7.04, 1, 2), (14.04, 2, 3)]
)
def test_length_of_stay_edges(days, rounded, exact):
    seconds = np.array([days * 86_400])
    assert bin_length_of_stay(seconds, rounded=True)[0] == rounded
    assert bin_length_of_stay(seconds, rounded=False)[0] == exact


def test_procedure_codes_keep_leading_zeros(hospital):
    hospital.procedures = [[1, 1, 1, "0331"], [1, 1, 2, "3310"], [1, 1, 3, "0034"], [1, 1, 4, "54"]]
    folder = hospital.write()
    assert list(code_table("procedures", folder, PAPER)["code"]) == ["331", "331", "34", "54"]
    assert list(code_table("procedures", folder, CORRECTED)["code"]) == ["033", "331", "003", "54"]
    assert label_table("procedures", MimicIII(folder), PAPER)["label"].tolist() == [["331", "34", "54"]]


# What pandas 1.5.3 made of such columns, run on them.
READ_AS_NUMBERS = [
    (["0331", "54", "0034", ""], ["331", "54.", "34."]),
    (["0331", "NA", "54"], ["331", "54."]),
    (["0331", "nan", "9", "12345"], ["331", "9.0", "123"]),
    ([" 0331", "54 ", "7\t"], ["331", "54", "7"]),
    (["03.31", "54"], ["3.3", "54."]),
    (["+331", "-54", "7"], ["331", "-54", "7"]),
    (["1e3", "54"], ["100", "54."]),
    (["3.", ".5"], ["3.0", "0.5"]),
    (["12345678901234567", ""], ["1.2"]),
]


@pytest.mark.parametrize(("column", "codes"), READ_AS_NUMBERS)
def test_missing_codes_or_points_make_a_decimal_column(hospital, column, codes):
    hospital.procedures = [[1, 1, number, code] for number, code in enumerate(column)]
    assert list(code_table("procedures", hospital.write(), PAPER)["code"]) == codes


def test_integer_reading_looks_at_kept_codes_alone(hospital):
    hospital.procedures = [[1, 1, 1, "0331"], [1, 1, 2, "V45"], [1, 1, 3, "54"]]
    switches = CORRECTED | {"procedure_codes_as_integers": True}
    assert list(code_table("procedures", hospital.write(), switches)["code"]) == ["331", "54"]
    hospital.procedures.append([1, 1, 4, ""])
    assert list(code_table("procedures", hospital.write(), switches)["code"]) == ["331", "54."]


@pytest.mark.parametrize("code", ["V45", " ", "0x1F", "1_0", "1d3", "99999999999999999999", "inf"])
def test_a_procedure_that_is_no_number_is_an_error(hospital, code):
    hospital.procedures[3][3] = code
    folder = hospital.write()
    with pytest.raises(DataError, match=r"PROCEDURES_ICD\.csv: column ICD9_CODE: expected numbers, found another code"):
        code_table("procedures", folder, PAPER)
    assert len(code_table("procedures", folder, CORRECTED)) == 79


@pytest.mark.parametrize("task", ["diagnoses", "procedures"])
def test_words_that_the_original_reads_as_missing_are_no_codes(hospital, tmp_path, task):
    rows = getattr(hospital, task)
    rows[0][3], rows[2][3] = "NA", "null"
    folder = hospital.write()
    for name, switches in {"paper": PAPER, "corrected": CORRECTED}.items():
        assert len(code_table(task, folder, switches)) == 78
        _, _, steps = build(task, folder, tmp_path / name, switches)
        table = next(step["joined"] for step in steps if "joined" in step)
        assert [(step["step"], step["rows"]) for step in table[:2]] == [
            (f"rows of {task.upper()}_ICD", 80),
            ("with a code", 78),
        ]


def test_rows_without_admission_count_for_the_label_space(hospital, tmp_path):
    hospital.diagnoses += [[9, "", 1, "7770"], ["", 1000, 1, "8880"], ["", 1000, 2, "9990"], [100, 1000, 3, "9990"]]
    folder = hospital.write()
    rows, classes, steps = build("diagnoses", folder, tmp_path / "paper", PAPER)
    assert classes[-3:] == ["777", "888", "999"]
    assert rows[0]["label"] == ["401", "V100"]  # the row of no patient stands for the later one of its admission
    assert [step["rows"] for step in next(step["joined"] for step in steps if "joined" in step)] == [84, 84, 83, 81]
    _, classes, steps = build("diagnoses", folder, tmp_path / "corrected", CORRECTED)
    assert not {"777", "888"}.intersection(classes)
    assert [step["rows"] for step in next(step["joined"] for step in steps if "joined" in step)] == [84, 84, 84, 83, 81]
    assert label_table("diagnoses", MimicIII(folder), CORRECTED)["label"][0] == ["401", "V100", "999"]


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[VE]?[0-9]{3,5}", fullmatch=True), min_size=1, max_size=20))
def test_diagnosis_codes_are_prefixes(tmp_path_factory, codes):
    folder = tmp_path_factory.mktemp("codes")
    write_csv(folder / "diagnoses_icd.csv", "subject_id,hadm_id,icd9_code", [[1, 1, code] for code in codes])
    short = code_table("diagnoses", folder, PAPER)["code"]
    for code, prefix in zip(codes, short, strict=True):
        assert code.startswith(prefix)
        assert len(prefix) == min(len(code), 4 if code[0] in "VE" else 3)
    labels = label_table("diagnoses", MimicIII(folder), PAPER)["label"][0]
    assert len(set(labels)) == len(labels)
    assert set(labels) == set(short)


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[0-9]{2,4}", fullmatch=True), min_size=1, max_size=20))
def test_procedure_codes_are_prefixes(tmp_path_factory, codes):
    folder = tmp_path_factory.mktemp("codes")
    write_csv(folder / "procedures_icd.csv", "subject_id,hadm_id,icd9_code", [[1, 1, code] for code in codes])
    assert list(code_table("procedures", folder, CORRECTED)["code"]) == [code[:3] for code in codes]
    assert list(code_table("procedures", folder, PAPER)["code"]) == [str(int(code))[:3] for code in codes]
