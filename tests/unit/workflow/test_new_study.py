"""Study files that are written for a user's own data: valid, commented, never over another file."""

from pathlib import Path

import pytest
import yaml
from own_tables import write_rows

from clinical_peft.config.experiments import load_study
from clinical_peft.config.study import Study
from clinical_peft.data.label_kinds import LabelKind
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.workflow.new_study import NewStudy, compose_study, write_new_study
from clinical_peft.workflow.new_study_names import corpus_name, task_name
from clinical_peft.workflow.own_file import OwnFile, look_into
from clinical_peft.workflow.study_file import unused_entries

ROWS = [{"note_id": number, "text": f"note {number}", "label": number % 2, "mrn": number // 2} for number in range(20)]
BINARY = LabelKind("binary")


def table(path: Path = Path("reports.csv"), **columns: str) -> OwnFile:
    return OwnFile(path=path, columns={"id": "id", "text": "text", "label": "outcome", **columns}, label=BINARY)


def notes(path: str = "notes.jsonl", **columns: str) -> OwnFile:
    return OwnFile(path=Path(path), columns={"id": "id", "text": "text", **columns})


def study_of(new: NewStudy) -> tuple[Study, dict]:
    written = yaml.safe_load(compose_study(new))
    return load_study(written), written


@pytest.mark.parametrize("base", ["tiny", "smollm2", "owner/name"])
@pytest.mark.parametrize(
    "parts",
    [
        {"table": table()},
        {"notes": notes()},
        {"notes": notes("notes.parquet"), "reads_note_file": False},
        {"table": table(), "notes": notes()},
        {"folders": {"mimic_iii": Path("/a"), "mimic_iv_note": Path("/b")}},
        {"folders": {"mimic_iv": Path("/a"), "mimic_iv_note": Path("/b")}},
        {"folders": {"mimic_iv_note": Path("/b")}},
        {"table": table(), "folders": {"mimic_iii": Path("/a")}},
    ],
)
def test_a_new_study_is_valid_and_runs_all_that_it_defines(parts, base):
    study, written = study_of(NewStudy(name="mine", base=base, **parts))
    assert study.extends == "none"
    assert unused_entries(study, written) == {}
    assert len(study.matrix.adapters) == 1
    assert bool(study.matrix.models) == bool(study.matrix.tasks)


def test_names_of_columns_may_hold_anything():
    odd = OwnFile(
        path=Path("my notes: 1, [x].csv"),
        columns={"id": "a: b", "text": "#text", "label": "yes, or {no}", "patient": "'p\""},
        label=LabelKind("binary", ("False", "True")),
    )
    study, _ = study_of(NewStudy(name="mine", table=odd, title="Ja: [nein]"))
    (name,) = study.own_tasks
    assert study.own_tasks[name].label_columns == ("yes, or {no}",)
    assert study.own_tasks[name].classes == ("False", "True")
    assert study.own_tasks[name].title == "Ja: [nein]"
    (entry,) = study.data.tables.values()
    assert (entry.id, entry.text, entry.patient) == ("a: b", "#text", "'p\"")


def test_names_that_the_workflow_uses_are_avoided():
    assert corpus_name(Path("/x/general.csv.gz")) == "own-general"
    assert corpus_name(Path("mimic-iv.jsonl")) == "own-mimic-iv"
    assert task_name("Mortality") == "own-mortality"
    assert task_name("ICD code (main)") == "icd-code-main"
    assert task_name("Ø") == "outcome"
    study_of(NewStudy(name="mine", table=table(Path("general.csv"), label="mortality")))


def test_time_and_site_are_comments_unless_named():
    columns = {"time": "charttime", "site": "hospital"}
    silent, _ = study_of(NewStudy(name="mine", table=table(**columns)))
    assert silent.data.tables["reports"].time is None
    asked = OwnFile(path=Path("a.csv"), columns=table(**columns).columns, asked=frozenset({"time"}), label=BINARY)
    named, _ = study_of(NewStudy(name="mine", table=asked))
    assert (named.data.tables["a"].time, named.data.tables["a"].site) == ("charttime", None)


def test_a_shared_store_is_kept_or_offered():
    assert study_of(NewStudy(name="a", notes=notes(), tracking_uri="sqlite:////x/m.db"))[0].tracking.uri
    assert "# tracking: {uri: sqlite:" in compose_study(NewStudy(name="a", notes=notes()))


def test_rare_classes_are_pooled_in_a_multiclass_task():
    many = OwnFile(path=Path("a.csv"), columns=table().columns, label=LabelKind("multiclass"))
    study, _ = study_of(NewStudy(name="mine", table=many))
    assert study.own_tasks["outcome"].min_class_size == 10


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "expected notes to learn from"),
        ({"folders": {"mimic_iv": Path("/a")}}, "give --mimic-iv-note"),
        ({"notes": notes(), "base": "no such base"}, "--base: expected tiny, smollm2"),
        ({"notes": notes(), "tracking_uri": "ftp://x"}, "tracking.uri"),
    ],
)
def test_what_makes_no_study_is_one_line(parts, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        write_new_study(NewStudy(name="mine", **parts), tmp_path / "mine.yaml")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mine.yaml").exists()


def test_a_file_that_exists_is_not_replaced(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("study: old\n")
    with pytest.raises(ConfigError, match="is there already"):
        write_new_study(NewStudy(name="mine", notes=notes()), path)
    assert path.read_text() == "study: old\n"


def test_a_folder_without_tables_is_refused_unwritten(tmp_path):
    with pytest.raises(DataError, match="expected a folder that holds"):
        write_new_study(NewStudy(name="m", folders={"mimic_iii": tmp_path / "gone"}), tmp_path / "m.yaml")
    assert not (tmp_path / "m.yaml").exists()


# --- looking into a file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.parquet", "a.parquet.gz"])
def test_columns_are_told_by_their_names(tmp_path, name):
    found = look_into(write_rows(tmp_path / name, ROWS), {}, with_label=True)
    assert found.columns == {"id": "note_id", "text": "text", "patient": "mrn", "label": "label"}
    assert found.label == LabelKind("binary")
    assert found.fits_note_files == (".parquet" not in name)


def test_patients_that_are_no_numbers_need_a_table(tmp_path):
    rows = [row | {"mrn": f"P{row['mrn']}"} for row in ROWS]
    assert not look_into(write_rows(tmp_path / "a.csv", rows), {}, with_label=False).fits_note_files


def test_a_named_column_wins_over_a_known_one(tmp_path):
    rows = [row | {"Befund": "x", "kind": 1} for row in ROWS]
    found = look_into(write_rows(tmp_path / "a.csv", rows), {"text": "befund", "label": "MRN"}, with_label=True)
    assert (found.columns["text"], found.columns["label"]) == ("Befund", "mrn")
    assert "patient" not in found.columns
    assert found.asked == {"text", "label"}


@pytest.mark.parametrize(
    ("rows", "given", "message"),
    [
        ([{"Smith": 1, "pneumonia": 2}], {}, "expected a column of the id, found 2 columns of other names; name it"),
        ([{"id": 1, "Smith": "x"}], {}, "expected a column of the text, found id and 1 column of other names"),
        ([{"id": 1, "text": "x"}], {}, "expected a column of the label, found id, text; name it with --label"),
        ([{"id": 1, "text": "x"}], {"label": "gone"}, "expected column gone, found id, text; correct --label"),
        ([{"id": 1, "text": "x", "label": 1}], {}, "expected two classes or more, found 1"),
        ([{"id": n, "text": "x", "label": n} for n in range(300)], {}, "expected at most 200 classes"),
        ([{"id": 1, "text": "x", "label": None}], {}, "expected two classes or more, found 0"),
    ],
)
def test_a_file_without_a_usable_column_is_one_line(tmp_path, rows, given, message):
    with pytest.raises(DataError, match=message) as caught:
        look_into(write_rows(tmp_path / "a.csv", rows), given, with_label=True)
    assert "\n" not in str(caught.value)
    assert not any(word in str(caught.value) for word in ("Smith", "pneumonia"))


def test_semicolons_between_columns_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("id;text\n1;x\n")
    with pytest.raises(DataError, match="write the file with commas"):
        look_into(tmp_path / "a.csv", {}, with_label=False)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False], LabelKind("binary", ("false", "true"))),
        ([["a"], ["b", "c"]], LabelKind("multilabel")),
        (["no", "yes", None], LabelKind("binary")),
        ([1, 2, 3], LabelKind("multiclass")),
    ],
)
def test_labels_tell_the_type_of_task(tmp_path, values, kind):
    rows = [{"id": number, "text": "x", "label": value} for number, value in enumerate(values)]
    assert look_into(write_rows(tmp_path / "a.jsonl", rows), {}, with_label=True).label == kind


def test_fractions_are_no_labels(tmp_path):
    rows = [{"id": number, "text": "x", "label": number / 2} for number in range(3)]
    with pytest.raises(DataError, match="line 2, column label: expected a class"):
        look_into(write_rows(tmp_path / "a.jsonl", rows), {}, with_label=True)


def test_answers_take_the_place_of_proposals(tmp_path):
    path = write_rows(tmp_path / "a.csv", [row | {"other": 1 - row["label"]} for row in ROWS])
    asked = []

    def ask(role: str, proposal: str | None, is_needed: bool) -> str | None:
        asked.append((role, proposal, is_needed))
        return {"label": "other", "patient": None}.get(role, proposal)

    found = look_into(path, {"id": "note_id"}, with_label=True, ask=ask)
    assert asked == [("text", "text", True), ("label", "label", True), ("patient", "mrn", False)]
    assert found.columns == {"id": "note_id", "text": "text", "label": "other"}
