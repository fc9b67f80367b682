"""Every kind of split partitions patients, whatever the order of the rows."""

import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_tables import imported, steps_of, table_of, write_rows

from clinical_peft.data.hash_split import hash_split
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.files import read_json
from clinical_peft.sources.table.checks import check_table_file
from clinical_peft.sources.table.spec import SplitSpec

TEMPORAL = SplitSpec(kind="temporal", validation=("2019-01-01",), test=("2020-01-01",))
SITES = SplitSpec(kind="site", validation=("B",), test=("C", "D"))
BY_COLUMN = SplitSpec(kind="column", column="fold")
FIRST = date(2018, 1, 1)
WORDS = [f"word{number}" for number in range(400)]


def visits(*triples, name="p"):
    """Rows of (patient, time, site)."""
    return [
        {"encounter": f"e{place}", "mrn": f"{name}{patient}", "note": "Seen.", "admitted": time, "hospital": site}
        for place, (patient, time, site) in enumerate(triples)
    ]


def split_rows(tmp_path, rows, split, **columns):
    path = write_rows(tmp_path / "notes.jsonl", rows)
    return imported(table_of(path, split=split, **columns), tmp_path)


def test_a_hash_depends_on_the_patient_and_the_salt_alone(tmp_path):
    rows = [{"encounter": place, "mrn": place % 40, "note": "Seen."} for place in range(80)]
    found = split_rows(tmp_path, rows, SplitSpec())
    assert [row["split"] for row in found] == [hash_split(place % 40, "salt") for place in range(80)]


def test_a_hash_of_a_string_is_that_of_its_characters(tmp_path):
    rows = [{"encounter": place, "mrn": f"00{place}", "note": "Seen."} for place in range(40)]
    found = split_rows(tmp_path, rows, SplitSpec())
    assert [row["split"] for row in found] == [hash_split(f"00{place}", "salt") for place in range(40)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Train ", "train"),
        ("validation", "validation"),
        ("val", "validation"),
        ("DEV", "validation"),
        ("TEST", "test"),
    ],
)
def test_splits_have_their_usual_names(tmp_path, name, split):
    others = [one for one in ("train", "validation", "test") if one != split]
    folds = [name, *others]
    rows = [{"encounter": place, "mrn": place, "note": "Seen.", "fold": fold} for place, fold in enumerate(folds)]
    assert split_rows(tmp_path, rows, BY_COLUMN)[0]["split"] == split


def test_an_unknown_split_is_an_error_with_its_row(tmp_path):
    rows = [
        {"encounter": place, "mrn": place, "note": "Seen.", "fold": fold}
        for place, fold in enumerate(["train", "Smith"])
    ]
    with pytest.raises(DataError, match=r"line 2, column fold: expected train, validation .* or test") as caught:
        split_rows(tmp_path, rows, BY_COLUMN)
    assert "Smith" not in str(caught.value)


def test_a_patient_in_two_given_splits_is_an_error(tmp_path):
    folds = ["train", "validation", "test", "test", "validation"]
    rows = [{"encounter": place, "mrn": place % 3, "note": "Seen.", "fold": fold} for place, fold in enumerate(folds)]
    with pytest.raises(
        DataError, match=r"line 4, column mrn: expected each patient in one split, .*\(1 such patients\)"
    ):
        split_rows(tmp_path, rows, BY_COLUMN)


def test_a_patient_in_two_files_is_an_error(tmp_path):
    files = {
        fold: write_rows(tmp_path / f"{fold}.csv", [{"encounter": fold, "mrn": patient, "note": "Seen."}])
        for fold, patient in {"train": 1, "validation": 2, "test": 1}.items()
    }
    with pytest.raises(DataError, match=r"test\.csv: row 2, column mrn: expected each patient in one split"):
        imported(table_of(files, split=SplitSpec(kind="files")), tmp_path)


@pytest.mark.parametrize("names", ["{0}.csv", "mimic_{1}.csv"])
def test_lists_name_patients_as_the_table_does(tmp_path, names):
    rows = [{"encounter": place, "mrn": f"00{place}", "note": "Seen."} for place in range(4)]
    for place, (split, short) in enumerate([("train", "train"), ("validation", "val"), ("test", "test")]):
        (tmp_path / names.format(split, short)).write_text(f"SUBJECT_ID\n00{place}\n00{place}\n")
    found = split_rows(tmp_path, rows, SplitSpec(kind="lists", folder=str(tmp_path)))
    assert [(row["subject_id"], row["split"]) for row in found] == [
        ("000", "train"),
        ("001", "validation"),
        ("002", "test"),
    ]
    assert steps_of(tmp_path)[-1] == ("of a named split", 3, 3)


def test_a_patient_in_two_lists_is_an_error(tmp_path):
    for split, patient in {"train": "a", "validation": "b", "test": "a"}.items():
        (tmp_path / f"{split}.csv").write_text(f"mrn\n{patient}\n")
    rows = [{"encounter": 1, "mrn": "a", "note": "Seen."}]
    with pytest.raises(DataError, match=r"test\.csv: row 2, column mrn: expected disjoint lists"):
        split_rows(tmp_path, rows, SplitSpec(kind="lists", folder=str(tmp_path)))


def test_a_patient_stays_on_the_earlier_side_of_a_cut(tmp_path):
    rows = visits(
        (1, "2018-05-01", "A"),
        (2, "2019-01-01", "A"),
        (3, "2020-01-01", "A"),
        (1, "2019-06-01", "A"),
        (2, "2020-06-01", "A"),
        (1, "2018-12-31T23:59:59", "A"),
        (4, None, "A"),
    )
    found = split_rows(tmp_path, rows, TEMPORAL, time="admitted")
    assert [(row["hadm_id"], row["split"]) for row in found] == [
        ("e0", "train"),
        ("e1", "validation"),
        ("e2", "test"),
        ("e5", "train"),
    ]
    assert steps_of(tmp_path)[2:] == [("with a time", 6, 3), ("on the earlier side of the patient's cut", 4, 3)]


def test_a_patient_of_two_sites_leaves_the_held_out_one(tmp_path):
    rows = visits((1, "", "A"), (2, "", "B"), (3, "", "C"), (1, "", "C"), (2, "", "D"), (4, "", "Z"), (5, None, None))
    found = split_rows(tmp_path, rows, SITES, site="hospital")
    assert [(row["hadm_id"], row["split"]) for row in found] == [
        ("e0", "train"),
        ("e1", "validation"),
        ("e2", "test"),
        ("e5", "train"),
    ]
    assert [row["site"] for row in found] == ["A", "B", "C", "Z"]
    assert [step[1] for step in steps_of(tmp_path)] == [7, 7, 6, 4]


def test_near_duplicates_form_a_patient_without_one(tmp_path):
    random.seed(3)
    note = random.choices(WORDS, k=60)
    texts = [" ".join(note), *(" ".join(random.choices(WORDS, k=60)) for _ in range(98)), " ".join(note[:50])]
    rows = [{"encounter": 200 - place, "note": text} for place, text in enumerate(texts)]
    found = split_rows(tmp_path, rows, SplitSpec(), patient=None)
    assert found[0]["subject_id"] == found[-1]["subject_id"] == 200 - 99
    assert [row["subject_id"] for row in found[1:-1]] == [row["hadm_id"] for row in found[1:-1]]
    assert [row["split"] for row in found] == [hash_split(row["subject_id"], "salt") for row in found]
    assert steps_of(tmp_path) == [("in the file", 100, 99), ("with a text", 100, 99)]


@pytest.mark.parametrize(("notes", "counted"), [(4, "few"), (5, "10")])
def test_near_duplicates_are_grouped_within_given_splits(tmp_path, caplog, notes, counted):
    rows = [
        {"encounter": f"{fold}{place}", "note": "The same words in every note of this file.", "fold": fold}
        for fold in ("train", "validation", "test", "")
        for place in range(notes)
    ]
    rows.append({"encounter": "alone", "note": "Words that no other note of it has.", "fold": "train"})
    found = split_rows(tmp_path, rows, BY_COLUMN, patient=None)
    names = [f"{fold}0" for fold in ("train", "validation", "test") for _ in range(notes)]
    assert [row["subject_id"] for row in found] == [*names, "alone"]
    assert f"table ours: {counted} notes of validation and test have near-duplicates in another split" in caplog.text
    steps = read_json(tmp_path / "ours.attrition.json")
    assert [step.get("repeated_in_another_split") for step in steps] == [None, None, 2 * notes]


def test_near_duplicates_within_a_split_are_no_reason_to_warn(tmp_path, caplog):
    notes = {"train": "One note of some words.", "validation": "Quite another text here.", "test": "And a third one."}
    rows = [{"encounter": f"{fold}{n}", "note": note, "fold": fold} for fold, note in notes.items() for n in range(2)]
    split_rows(tmp_path, rows, BY_COLUMN, patient=None)
    assert not caplog.text
    assert all("repeated_in_another_split" not in step for step in read_json(tmp_path / "ours.attrition.json"))


def test_an_empty_split_is_an_error(tmp_path):
    rows = visits((1, "2018-05-01", "A"), (2, "2019-02-01", "A"))
    with pytest.raises(DataError, match="table ours: expected rows in every split, found none in test"):
        split_rows(tmp_path, rows, TEMPORAL, time="admitted")


@pytest.mark.parametrize(
    ("split", "columns", "message"),
    [
        (TEMPORAL, {}, "temporal: expected a column for time"),
        (SITES, {}, "site: expected a column for site"),
        (SplitSpec(kind="lists", folder="."), {"patient": None}, "lists: expected a column for patient"),
        (SplitSpec(kind="files"), {}, "expected one file for each of train, validation, test"),
        (
            SplitSpec(kind="site", validation=("B",), test=("B",)),
            {"site": "s"},
            "each site in one split, found B in two",
        ),
        (SplitSpec(kind="temporal", validation=("2020-01-01",), test=("2019-01-01",)), {"time": "t"}, "before that of"),
        (SplitSpec(kind="temporal", validation=("soon",), test=("2019-01-01",)), {"time": "t"}, "expected one date"),
    ],
)
def test_a_split_that_lacks_something_is_an_error(tmp_path, split, columns, message):
    path = write_rows(tmp_path / "notes.csv", [{"encounter": 1, "mrn": 1, "note": "Seen."}])
    with pytest.raises(ConfigError, match=rf"data\.tables\.ours\.split: .*{message}"):
        check_table_file(table_of(path, split=split, **columns), [])


DAYS = st.integers(0, 1000)
STAYS = st.lists(st.tuples(st.integers(0, 12), DAYS, st.sampled_from("ABCDE")), min_size=4, max_size=60)


@settings(deadline=None, max_examples=40)
@given(STAYS, st.randoms(use_true_random=False), st.sampled_from(["hash", "temporal", "site"]))
def test_splits_partition_patients_in_any_order_of_rows(tmp_path_factory, stays, shuffler, kind):
    rows = visits(*((patient, str(FIRST + timedelta(days=day)), site) for patient, day, site in stays))
    filled = visits((0, "2018-01-01", "A"), (1, "2019-05-01", "B"), (2, "2020-05-01", "C"), name="fixed")
    filled = [row | {"encounter": f"f{place}"} for place, row in enumerate(filled)]
    # A hash may leave a split empty: patients enough that it does not.
    filled += [{**filled[0], "encounter": f"g{place}", "mrn": f"g{place}"} for place in range(40)]
    split, columns = {
        "hash": (SplitSpec(), {}),
        "temporal": (TEMPORAL, {"time": "admitted"}),
        "site": (SITES, {"site": "hospital"}),
    }[kind]
    rows += filled
    shuffled = shuffler.sample(rows, len(rows))
    first, second = (
        {row["hadm_id"]: (row["subject_id"], row["split"]) for row in split_rows(folder, one, split, **columns)}
        for folder, one in ((tmp_path_factory.mktemp("a"), rows), (tmp_path_factory.mktemp("b"), shuffled))
    )
    assert first == second
    splits_of: dict[str, set[str]] = {}
    for patient, own in first.values():
        splits_of.setdefault(patient, set()).add(own)
    assert all(len(found) == 1 for found in splits_of.values())
    assert splits_of.keys() == {row["mrn"] for row in rows}  # every patient keeps a row
