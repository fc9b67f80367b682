"""Cohorts of a user's tasks: classes declared or found, rows that have a label, labels that training has."""

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_tables import cohort_of, imported, labelled_rows, own_task_of, table_of, write_rows

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.patients import source_of
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.table import row_groups
from clinical_peft.sources.table.cohort import build_table_cohort
from clinical_peft.sources.table.spec import SplitSpec
from clinical_peft.tasks.task import Statement

BINARY = own_task_of("binary")
MULTICLASS = own_task_of("multiclass")
CODES = own_task_of("multilabel", delimiter=";")
EVERY = {"train": ["0", "1"], "validation": ["0", "1"], "test": ["0", "1"]}


def labels_of(found):
    return [row["label"] for row in found]


def test_a_cohort_has_the_columns_of_every_cohort(tmp_path):
    rows = [row | {"admitted": "2019-01-02", "hospital": "A"} for row in labelled_rows(**EVERY)]
    found, classes, steps = cohort_of(rows, BINARY, tmp_path, time="admitted", site="hospital")
    assert list(found[0]) == ["hadm_id", "subject_id", "split", "text", "label", "time", "site"]
    assert found[1] == {
        "hadm_id": 2,
        "subject_id": 1002,
        "split": "train",
        "text": "Note number 2.",
        "label": 1,
        "time": datetime(2019, 1, 2),
        "site": "A",
    }
    assert classes == ["0", "1"]
    assert source_of(pq.read_schema(tmp_path / "own.parquet")) == "ours"
    assert [(step["step"], step["rows"]) for step in steps] == [
        ("in the file", 6),
        ("with a text", 6),
        ("of a named split", 6),
        ("with a label", 6),
        ("of a class that training rows have", 6),
    ]
    assert {step["unit"] for step in steps} == {"notes"}


def test_rows_stand_by_id_however_many_stretches_the_sort_takes(tmp_path, monkeypatch):
    rows = labelled_rows(train=["0", "1"] * 900, validation=["0", "1"], test=["0", "1"])
    rows = [row | {"encounter": (row["encounter"] * 7919) % 100_003} for row in rows]
    found, _, _ = cohort_of(rows, BINARY, tmp_path / "one")
    monkeypatch.setattr(row_groups, "_BUCKET_BYTES", 4_096)
    again, _, _ = cohort_of(rows, BINARY, tmp_path / "many")
    assert found == again
    assert [row["hadm_id"] for row in found] == sorted(row["encounter"] for row in rows)
    by_id = {row["encounter"]: (row["note"], int(row["outcome"])) for row in rows}
    assert {row["hadm_id"]: (row["text"], row["label"]) for row in found} == by_id
    assert (tmp_path / "one/own.parquet").read_bytes() == (tmp_path / "many/own.parquet").read_bytes()
    assert sorted(file.name for file in (tmp_path / "many").iterdir() if file.suffix != ".csv") == [
        "a.json",
        "c.json",
        "ours.attrition.json",
        "ours.parquet",
        "own.parquet",
    ]


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.parquet"])
def test_declared_classes_number_the_labels(tmp_path, name):
    rows = labelled_rows(train=["yes", "no"], validation=["no"], test=["yes"])
    found, classes, _ = cohort_of(rows, own_task_of("binary", classes=("yes", "no")), tmp_path, name=name)
    assert (labels_of(found), classes) == ([0, 1, 1, 0], ["yes", "no"])


@pytest.mark.parametrize("value", ["1.0", " 1", "1.", 1, 1.0])
def test_one_may_be_written_as_a_decimal(tmp_path, value):
    rows = labelled_rows(train=["0", "1"], validation=["0"], test=[value])
    kinds = {str: "notes.csv", int: "notes.jsonl", float: "notes.jsonl"}
    for task in (BINARY, own_task_of("binary", classes=("0", "1"))):
        found, classes, _ = cohort_of(rows, task, tmp_path, name=kinds[type(value)])
        assert (labels_of(found), classes) == ([0, 1, 0, 1], ["0", "1"])


@pytest.mark.parametrize(("value", "name"), [("0.5", "notes.csv"), (0.5, "notes.jsonl"), ("-1.25", "notes.csv")])
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("classes", [(), ("0", "1")])
def test_a_fraction_is_no_label(tmp_path, value, name, kind, classes):
    rows = labelled_rows(**EVERY)
    rows[4]["outcome"] = value
    with pytest.raises(DataError, match=r"(row 6|line 5), column outcome: expected a class, found a fraction"):
        cohort_of(rows, own_task_of(kind, classes=classes), tmp_path, name=name)


def test_a_fraction_that_is_declared_is_a_class(tmp_path):
    rows = labelled_rows(train=["0.5", "1"], validation=["1.0"], test=["0.5"])
    found, classes, _ = cohort_of(rows, own_task_of("multiclass", classes=("0.5", "1")), tmp_path)
    assert (labels_of(found), classes) == ([0, 1, 1, 0], ["0.5", "1"])


def test_booleans_are_labels_only_where_they_are_declared(tmp_path):
    rows = labelled_rows(train=[False, True], validation=[True], test=[False])
    declared = own_task_of("binary", classes=("false", "true"))
    assert labels_of(cohort_of(rows, declared, tmp_path, name="notes.jsonl")[0]) == [0, 1, 1, 0]
    for name in ("notes.jsonl", "notes.csv", "notes.parquet"):
        with pytest.raises(DataError, match="column outcome: expected a class, found a boolean"):
            cohort_of(rows, BINARY, tmp_path, name=name)


def test_a_label_outside_the_declared_classes_is_an_error(tmp_path):
    rows = labelled_rows(train=["yes", "no"], validation=["no"], test=["Smith"])
    with pytest.raises(DataError, match=r"row 5, column outcome: expected one of the 2 declared classes") as caught:
        cohort_of(rows, own_task_of("binary", classes=("yes", "no")), tmp_path)
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize(("value", "found"), [(["Smith"], "a list"), ({"Smith": 1}, "an object")])
def test_only_a_text_or_a_number_names_a_class(tmp_path, value, found):
    rows = labelled_rows(**EVERY)
    rows[2]["outcome"] = value
    with pytest.raises(DataError, match=f"line 3, column outcome: expected a class, found {found}") as caught:
        cohort_of(rows, MULTICLASS, tmp_path, name="notes.jsonl")
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl"])
def test_rows_without_a_label_are_dropped_and_counted(tmp_path, name):
    rows = labelled_rows(**EVERY)
    rows.append(rows[0] | {"encounter": 99, "outcome": None})
    found, _, steps = cohort_of(rows, BINARY, tmp_path, name=name)
    assert [(step["rows"], step["patients"]) for step in steps] == [(7, 6)] * 3 + [(6, 6)] * 2
    assert len(found) == 6


@pytest.mark.parametrize("word", ["nan", " NaN", "None", "<NA>", "null", "N/A", "NULL"])
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_word_for_a_missing_value_is_no_label(tmp_path, kind, word):
    rows = labelled_rows(train=["b", "a", word, word], validation=["a", word], test=["b"])
    _, classes, steps = cohort_of(rows, own_task_of(kind), tmp_path, name="notes.jsonl")
    assert classes == ["a", "b"]
    assert ("with a label", 4) in [(step["step"], step["rows"]) for step in steps]


def test_a_declared_class_may_read_like_a_missing_value(tmp_path):
    rows = labelled_rows(train=["None", "daily"], validation=["None"], test=["daily"])
    found, classes, _ = cohort_of(rows, own_task_of("binary", classes=("None", "daily")), tmp_path)
    assert (labels_of(found), classes) == ([0, 1, 0, 1], ["None", "daily"])


def test_a_flag_that_reads_nan_leaves_its_row_without_label(tmp_path):
    rows = [row | {"a": 1, "b": row["outcome"]} for row in labelled_rows(train=[0, 1, "nan"], validation=[1], test=[1])]
    _, _, steps = cohort_of(rows, own_task_of("multilabel", label_columns=("a", "b")), tmp_path, name="notes.csv")
    assert ("with a label", 4) in [(step["step"], step["rows"]) for step in steps]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"train": ["1"], "validation": ["0"], "test": ["1"]}, "expected both classes in the training split, found 1"),
        ({"train": ["0", "1"], "validation": ["0"], "test": ["2"]}, "expected two classes of a binary task, found 3"),
        ({"train": ["1", "1"], "validation": ["1"], "test": ["1"]}, "expected two classes of a binary task, found 1"),
        (
            {"train": ["0", "1"], "validation": ["0"], "test": [""]},
            "rows with a label in every split, found none in test",
        ),
    ],
)
def test_a_binary_task_has_two_classes(tmp_path, labels, message):
    rows = [*labelled_rows(**labels), *labelled_rows(test=[""])]
    rows[-1] |= {"encounter": 50, "mrn": 50}
    with pytest.raises(DataError, match=f"cohort own: .*{message}"):
        cohort_of(rows, BINARY, tmp_path)


def test_one_declared_class_in_training_is_an_error(tmp_path):
    rows = labelled_rows(train=["1"], validation=["0"], test=["1"])
    with pytest.raises(DataError, match="expected both classes in the training split, found 1"):
        cohort_of(rows, own_task_of("binary", classes=("0", "1")), tmp_path)


def test_found_classes_are_sorted_numbers_by_value(tmp_path):
    rows = labelled_rows(train=["10", "9", "2"], validation=["2"], test=["10"])
    found, classes, _ = cohort_of(rows, MULTICLASS, tmp_path)
    assert (classes, labels_of(found)) == (["2", "9", "10"], [2, 1, 0, 0, 2])
    rows = labelled_rows(train=["10", "b", "a"], validation=["b"], test=["10"])
    assert cohort_of(rows, MULTICLASS, tmp_path)[1] == ["10", "a", "b"]


@pytest.mark.parametrize("classes", [(), ("c", "b", "a")])
def test_a_class_that_training_lacks_is_dropped_and_counted(tmp_path, classes):
    rows = labelled_rows(train=["a", "b"], validation=["a"], test=["b", "c"])
    found, space, steps = cohort_of(rows, own_task_of("multiclass", classes=classes), tmp_path)
    assert space == (["b", "a"] if classes else ["a", "b"])
    assert [space[label] for label in labels_of(found)] == ["a", "b", "a", "b"]
    assert [step["rows"] for step in steps[-2:]] == [5, 4]


@pytest.mark.parametrize("classes", [(), ("c", "rare", "b", "a")])
def test_rare_classes_become_other(tmp_path, classes):
    rows = labelled_rows(train=["a", "a", "b", "b", "rare"], validation=["a", "c"], test=["b", "rare"])
    found, space, _ = cohort_of(rows, own_task_of("multiclass", classes=classes, min_class_size=2), tmp_path)
    assert space == [*(("b", "a") if classes else ("a", "b")), "other"]
    assert [space[label] for label in labels_of(found)] == ["a", "a", "b", "b", "other", "a", "other", "b", "other"]


def test_a_class_named_other_takes_the_rare_ones(tmp_path):
    rows = labelled_rows(train=["other", "other", "z", "z", "rare"], validation=["z"], test=["rare"])
    found, space, _ = cohort_of(rows, own_task_of("multiclass", min_class_size=2), tmp_path)
    assert (space, labels_of(found)) == (["z", "other"], [1, 1, 0, 0, 1, 0, 1])


def test_the_size_of_a_class_counts_training_rows(tmp_path):
    rows = labelled_rows(train=["a", "a", "b"], validation=["b", "b", "b"], test=["b", "a"])
    assert cohort_of(rows, own_task_of("multiclass", min_class_size=2), tmp_path)[1] == ["a", "other"]


def test_more_than_2000_classes_are_an_error(tmp_path):
    rows = labelled_rows(train=[f"c{number}" for number in range(2_001)], validation=["c1"], test=["c2"])
    with pytest.raises(DataError, match=r"cohort own: expected at most 2,000 classes, found 2,001"):
        cohort_of(rows, MULTICLASS, tmp_path)
    assert len(cohort_of(rows[1:], MULTICLASS, tmp_path)[1]) == 2_000


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.parquet"])
def test_labels_of_a_field_are_split_at_the_delimiter(tmp_path, name):
    rows = labelled_rows(train=["b; a ;;b", "c;250.0"], validation=["a"], test=["c;new", "", " "])
    found, space, steps = cohort_of(rows, CODES, tmp_path, name=name)
    assert space == ["250.0", "a", "b", "c"]
    assert labels_of(found) == [["b", "a"], ["c", "250.0"], ["a"], ["c"]]
    assert steps[-1]["left_out"] == {"labels that are not in the label space": 1}
    assert [step["rows"] for step in steps[-2:]] == [4, 4]


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl"])
def test_a_delimiter_alone_is_none_of_the_labels(tmp_path, name):
    rows = labelled_rows(train=["a;b", " ; "], validation=["a"], test=["b", ";", ""])
    found, _, _ = cohort_of(rows, CODES, tmp_path, name=name)
    assert labels_of(found) == [["a", "b"], [], ["a"], ["b"], []]


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.parquet"])
def test_blanks_are_no_class(tmp_path, name):
    rows = labelled_rows(train=["a", "b", "  ", "\t"], validation=["a", " "], test=["b"])
    found, classes, _ = cohort_of(rows, MULTICLASS, tmp_path, name=name)
    assert (classes, labels_of(found)) == (["a", "b"], [0, 1, 0, 1])
    declared = own_task_of("multiclass", classes=("a", "b", "  "))
    assert cohort_of(rows[:3] + rows[4:5] + rows[6:], declared, tmp_path, name=name)[1] == ["a", "b", "  "]


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.parquet"])
def test_lists_are_labels_and_an_empty_one_is_none_of_them(tmp_path, name):
    rows = labelled_rows(train=[["b", "a"], ["a"], []], validation=[["a"]], test=[["b"], None])
    found, space, _ = cohort_of(rows, own_task_of("multilabel"), tmp_path, name=name)
    assert (space, labels_of(found)) == (["a", "b"], [["b", "a"], ["a"], [], ["a"], ["b"]])


def test_columns_of_0_and_1_are_labels(tmp_path):
    flags = {"fever": ["1", "0", "1.0", "1", ""], "pain": ["0", "1", "1", "0", "1"], "never": ["0"] * 5}
    rows = labelled_rows(train=["", ""], validation=[""], test=["", ""])
    rows = [row | {name: column[place] for name, column in flags.items()} for place, row in enumerate(rows)]
    task = own_task_of("multilabel", label_columns=("pain", "fever", "never"))
    found, space, _ = cohort_of(rows, task, tmp_path)
    assert space == ["pain", "fever"]
    assert labels_of(found) == [["fever"], ["pain"], ["pain", "fever"], ["fever"]]
    rows[1]["pain"] = "2"
    with pytest.raises(DataError, match="row 3, column pain: expected 0 or 1, found another value"):
        cohort_of(rows, task, tmp_path)


def test_rare_labels_of_a_multilabel_task_are_dropped(tmp_path):
    rows = labelled_rows(train=["a;b;rare", "b;a"], validation=["a"], test=["rare;b"])
    found, space, steps = cohort_of(rows, own_task_of("multilabel", delimiter=";", min_class_size=2), tmp_path)
    assert (space, labels_of(found)) == (["a", "b"], [["a", "b"], ["b", "a"], ["a"], ["b"]])
    assert list(steps[-1]["left_out"].values()) == [2]


def test_a_split_without_labels_of_the_space_is_an_error(tmp_path):
    rows = labelled_rows(train=["a;b"], validation=["a"], test=["new"])
    with pytest.raises(DataError, match="expected labels of the label space in every split, found none in test"):
        cohort_of(rows, CODES, tmp_path)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("multilabel", {"delimiter": ";", "classes": ("a", "b;c")}, "expected classes without the delimiter"),
        ("multiclass", {"classes": ("a", "b", "a")}, "expected each class once"),
        ("binary", {"classes": ("1", "1.0")}, "expected each class once"),
    ],
)
def test_declared_classes_that_contradict_themselves(tmp_path, kind, values, message):
    with pytest.raises(ConfigError, match=rf"tasks\.own\.classes: {message}"):
        cohort_of(labelled_rows(**EVERY), own_task_of(kind, **values), tmp_path)


def test_declared_labels_of_a_multilabel_task_keep_their_order(tmp_path):
    rows = labelled_rows(train=["a;b"], validation=["a"], test=["b"])
    task = own_task_of("multilabel", delimiter=";", classes=("z", "b", "a"))
    assert cohort_of(rows, task, tmp_path)[1] == ["b", "a"]
    rows[2]["outcome"] = "Smith"
    with pytest.raises(DataError, match="row 4, column outcome: expected labels of the 3 declared classes"):
        cohort_of(rows, task, tmp_path)


def test_texts_that_state_the_outcome_are_dropped_on_request(tmp_path):
    rows = labelled_rows(train=["0", "1", "1"], validation=["0"], test=["1"])
    rows[1]["note"] = "Family history: none.\nPOD 3, was READMITTED."
    for words in ((), ("readmit",)):
        task = own_task_of("binary", stated_outcomes={"readmission": Statement("readmitted", words)})
        found, _, steps = cohort_of(rows, task, tmp_path, drop_stated_outcomes=True)
        assert [row["hadm_id"] for row in found] == [1, 3, 4, 5]
        assert "without a stated outcome" in [step["step"] for step in steps]
        assert len(cohort_of(rows, task, tmp_path)[0]) == 5


def test_labels_meet_ids_that_carry_their_split(tmp_path):
    files = {
        fold: write_rows(tmp_path / f"{fold}.csv", [row | {"encounter": place} for place, row in enumerate(rows)])
        for fold, rows in {fold: labelled_rows(**{fold: labels}) for fold, labels in EVERY.items()}.items()
    }
    spec = table_of(files, split=SplitSpec(kind="files"), patient=None)
    imported(spec, tmp_path)
    outputs = {name: tmp_path / name for name in ("output", "classes_output", "attrition_output")}
    build_table_cohort(spec, BINARY, tmp_path / "ours.parquet", **outputs)
    found = pq.read_table(tmp_path / "output").to_pylist()
    assert [row["hadm_id"] for row in found] == [f"{fold}/{place}" for fold in sorted(EVERY) for place in (0, 1)]
    assert labels_of(found) == [0, 1] * 3


def test_a_file_that_has_changed_is_an_error(tmp_path):
    cohort_of(labelled_rows(**EVERY), BINARY, tmp_path)
    for rows in (labelled_rows(**EVERY)[1:], [row | {"encounter": f"x{row['mrn']}"} for row in labelled_rows(**EVERY)]):
        spec = table_of(write_rows(tmp_path / "notes.csv", rows), split=SplitSpec(kind="column", column="fold"))
        outputs = {name: tmp_path / name for name in ("output", "classes_output", "attrition_output")}
        with pytest.raises(DataError, match="the file has changed: import it again"):
            build_table_cohort(spec, BINARY, tmp_path / "ours.parquet", **outputs)


def test_the_steps_of_the_import_stand_in_the_file(tmp_path):
    cohort_of(labelled_rows(**EVERY), BINARY, tmp_path)
    schema = pq.read_schema(tmp_path / "ours.parquet")
    assert len(Attrition.from_metadata(schema.metadata).steps) == 3
    assert schema.field("time").type == pa.timestamp("us")
