"""The MIMIC-IV tables of the synthetic hospital, and the cohorts that the library makes of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from synthetic_reading import Hospital

from clinical_peft.data.cohorts import build_cohort
from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.sections import SECTION_HEADERS
from clinical_peft.data.ventilation_table import write_intervals
from clinical_peft.recipes.switches import DATA_SWITCHES
from clinical_peft.sources.mimic_iv.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iv.codes import IcdCoding
from clinical_peft.sources.mimic_iv.outcomes import MimicIV
from clinical_peft.sources.mimic_iv.ventilation import find_periods
from clinical_peft.synthetic.hospital import generate_hospital
from clinical_peft.synthetic.words import read_words
from clinical_peft.tasks import find_task

CORRECTED = dict.fromkeys(DATA_SWITCHES, False)
ICD10_DIAGNOSES, ICD10_PROCEDURES = read_words("icd10_codes")["diagnoses"], read_words("icd10_codes")["procedures"]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Hospital:
    folder = tmp_path_factory.mktemp("demo") / "hospital"
    generate_hospital(folder, size="demo", seed=1)
    return Hospital(folder)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            "hosp/admissions",
            "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id admission_location "
            "discharge_location insurance language marital_status race edregtime edouttime hospital_expire_flag",
        ),
        ("hosp/patients", "subject_id gender anchor_age anchor_year anchor_year_group dod"),
        ("hosp/diagnoses_icd", "subject_id hadm_id seq_num icd_code icd_version"),
        ("hosp/procedures_icd", "subject_id hadm_id seq_num chartdate icd_code icd_version"),
        ("icu/icustays", "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los"),
        (
            "icu/chartevents",
            "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning",
        ),
        (
            "icu/procedureevents",
            "subject_id hadm_id stay_id caregiver_id starttime endtime storetime itemid value valueuom location "
            "locationcategory orderid linkorderid ordercategoryname ordercategorydescription patientweight isopenbag "
            "continueinnextdept statusdescription originalamount originalrate",
        ),
    ],
)
def test_columns_are_those_of_the_release(hospital, table, columns):
    assert list(hospital.iv_table(table).columns) == columns.split()


def test_tables_refer_to_each_other_and_to_the_notes(hospital):
    admissions, patients = hospital.iv_table("hosp/admissions"), hospital.iv_table("hosp/patients")
    assert admissions.hadm_id.is_unique
    assert patients.subject_id.is_unique
    assert set(admissions.subject_id) == set(patients.subject_id)
    assert set(hospital.iv("discharge").hadm_id) <= set(admissions.hadm_id)
    of_note = hospital.iv("discharge").set_index("hadm_id").subject_id
    of_table = admissions.set_index("hadm_id").subject_id
    assert (of_table[of_note.index] == of_note).all()
    for name in ("hosp/diagnoses_icd", "hosp/procedures_icd", "icu/icustays"):
        assert set(hospital.iv_table(name).hadm_id) <= set(of_note.index)
    stays = set(hospital.iv_table("icu/icustays").stay_id)
    assert set(hospital.iv_table("icu/chartevents").stay_id) <= stays
    assert set(hospital.iv_table("icu/procedureevents").stay_id) <= stays
    died = set(admissions.loc[admissions.hospital_expire_flag == "1", "subject_id"])
    assert died == set(patients.loc[patients.dod != "", "subject_id"])
    assert not set(patients.subject_id) & set(hospital.patients.SUBJECT_ID)
    assert min(map(int, [*stays, *admissions.hadm_id, *patients.subject_id])) > 900_000_000


def test_ages_and_eras(hospital):
    patients = hospital.iv_table("hosp/patients")
    ages = patients.anchor_age.astype(int)
    assert ages.between(18, 91).all()
    assert not (ages == 90).any()
    assert set(patients.anchor_year_group) == {"2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019"}
    group_of = patients.set_index("subject_id").anchor_year_group
    codes = hospital.iv_table("hosp/diagnoses_icd")
    versions = codes.groupby([codes.subject_id.map(group_of), "icd_version"]).size().unstack(fill_value=0)
    assert versions.loc["2008 - 2010", "10"] == 0
    assert versions.loc["2017 - 2019", "9"] == 0
    assert versions.loc["2014 - 2016"].min() > 0
    assert codes.groupby("hadm_id").icd_version.nunique().max() == 1


def test_every_code_has_a_counterpart():
    assert set(ICD10_DIAGNOSES) <= set(read_words("icd9_titles")["diagnoses"]) | {"2765"}
    assert set(ICD10_PROCEDURES) <= set(read_words("icd9_titles")["procedures"])
    assert all(pd.Series(ICD10_DIAGNOSES).str.fullmatch(r"[A-Z]\d[0-9A-Z]{1,5}"))
    assert all(pd.Series(ICD10_PROCEDURES).str.fullmatch(r"[0-9A-HJ-NP-Z]{7}"))


@pytest.fixture(scope="module")
def inputs(hospital, tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    tables, notes = hospital.folder / "mimic-iv", hospital.folder / "mimic-iv-note"
    build_admission_notes(tables, notes, folder / "admission.parquet", addenda_searched=False)
    write_intervals(folder / "ventilation.parquet", *find_periods(hospital.folder / "mimic-iv"))
    return folder / "admission.parquet", folder / "ventilation.parquet"


def cohort(hospital, inputs, task, folder, coding=None):
    """Build one cohort; return its rows and classes."""
    build_cohort(
        find_task(task),
        admission_notes=inputs[0],
        outcomes=MimicIV(hospital.folder / "mimic-iv", inputs[1], coding or IcdCoding()),
        splits="hash",
        salt="clinical-peft",
        pmv_split="core-patient",
        switches=CORRECTED,
        output=folder / "cohort.parquet",
        classes_output=folder / "classes.json",
        attrition_output=folder / "attrition.json",
    )
    return pq.read_table(folder / "cohort.parquet").to_pandas(), json.loads((folder / "classes.json").read_text())


def test_admission_notes_hold_every_section(hospital, inputs):
    notes = pq.read_table(inputs[0]).to_pandas()
    assert list(notes.columns) == ["hadm_id", "subject_id", "text"]
    assert notes.hadm_id.is_unique
    for title in SECTION_HEADERS:
        filled = notes.text.str.contains(rf"(?:^|\n\n){title}: \S")
        assert filled.mean() > 0.95, title
    assert not notes.text.str.contains("(?i)hospital course|discharge diagnosis|discharge medications").any()


def aurocs(rows, labels: pd.DataFrame) -> list[float]:
    """AUROC on validation and test rows of one linear model per column of labels, learned from the training rows."""
    is_train = rows.split == "train"
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    seen, unseen = vectorizer.fit_transform(rows.text[is_train]), vectorizer.transform(rows.text[~is_train])
    found = []
    for name in labels:
        model = LogisticRegression(C=10, max_iter=500, class_weight="balanced").fit(seen, labels[name][is_train])
        found.append(float(roc_auc_score(labels[name][~is_train], model.decision_function(unseen))))
    return found


def check_columns_and_splits(rows) -> None:
    assert list(rows.columns) == ["hadm_id", "subject_id", "split", "text", "label"]
    assert set(rows.split) == set(SPLITS)
    assert rows.groupby("subject_id").split.nunique().max() == 1


@pytest.mark.parametrize(("task", "positive"), [("los", (2, 3)), ("mortality", (1,)), ("pmv", (1,))])
def test_outcomes_can_be_learned(hospital, inputs, task, positive, tmp_path):
    rows, classes = cohort(hospital, inputs, task, tmp_path)
    check_columns_and_splits(rows)
    assert set(rows.label) == set(range(len(classes)))
    assert aurocs(rows, rows.label.isin(positive).to_frame())[0] > 0.75


def test_the_control_cannot_be_learned(hospital, inputs, tmp_path):
    rows, _ = cohort(hospital, inputs, "control", tmp_path)
    assert 0.35 < aurocs(rows, rows.label.to_frame())[0] < 0.65


@pytest.mark.parametrize("task", ["diagnoses", "procedures"])
def test_codes_can_be_learned(hospital, inputs, task, tmp_path):
    rows, classes = cohort(hospital, inputs, task, tmp_path)
    check_columns_and_splits(rows)
    assert {name.split(":")[0] for name in classes} == {"9", "10"}
    # Nothing in a note tells the version, so that classes are learned within one.
    rows, classes = cohort(hospital, inputs, task, tmp_path, IcdCoding("only-9"))
    labels = pd.DataFrame({name: [name in codes for codes in rows.label] for name in classes})
    common = labels.loc[:, labels[(rows.split == "train")].sum() > 30]
    assert len(common.columns) >= 5
    assert np.mean(aurocs(rows, common)) > 0.8


def test_labels_agree_with_the_recorded_procedures(hospital, inputs, tmp_path):
    rows, _ = cohort(hospital, inputs, "pmv", tmp_path)
    moves = hospital.iv_table("icu/procedureevents")
    moves = moves[moves.itemid == "225792"]
    spans = moves.groupby(["hadm_id", "stay_id"]).agg(start=("starttime", "min"), end=("endtime", "max"))
    days = (pd.to_datetime(spans.end) - pd.to_datetime(spans.start)).dt.total_seconds() / 86_400
    longest = days.groupby("hadm_id").max()
    rows["days"] = rows.hadm_id.astype(str).map(longest)
    clear = rows[(rows.days - 6.75).abs() > 0.6]  # a period ends when the next status is charted
    assert len(clear) > 250
    assert ((clear.days >= 6.75) == (clear.label == 1)).all()


@pytest.mark.parametrize(("mode", "version"), [("only-9", "9"), ("only-10", "10")])
def test_one_version_alone(hospital, inputs, mode, version, tmp_path):
    rows, classes = cohort(hospital, inputs, "diagnoses", tmp_path, IcdCoding(mode))
    codes = hospital.iv_table("hosp/diagnoses_icd")
    assert set(rows.hadm_id.astype(str)) <= set(codes.loc[codes.icd_version == version, "hadm_id"])
    assert all(name[0].isalpha() == (version == "10") or name[0] in "VE" for name in classes)


def test_icd10_can_be_read_as_icd9_with_a_map(hospital, inputs, tmp_path):
    icd_map = tmp_path / "map.csv"
    pairs = [f"{ten},{nine}" for nine, ten in {**ICD10_DIAGNOSES, **ICD10_PROCEDURES}.items()]
    icd_map.write_text("\n".join(["icd10_code,icd9_code", *pairs]))
    rows, classes = cohort(hospital, inputs, "procedures", tmp_path, IcdCoding("map-to-9", icd_map))
    both, _ = cohort(hospital, inputs, "procedures", tmp_path)
    assert rows.hadm_id.tolist() == both.hadm_id.tolist()
    assert {"967", "960"} <= set(classes) <= {code[:3] for code in ICD10_PROCEDURES}


def test_periods_are_of_every_status(hospital):
    periods, source = find_periods(hospital.folder / "mimic-iv")
    assert source == "chartevents"
    assert len(set(periods.status)) == 6
    assert (periods.starttime < periods.endtime).all()
