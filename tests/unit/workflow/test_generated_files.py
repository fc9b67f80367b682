"""Files of the synthetic hospital that a study names `{hospital}/...`: who reads them, and where there are none."""

from pathlib import Path

import pytest
import yaml

from clinical_peft.config import notes_in_use
from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.errors import ConfigError
from clinical_peft.workflow.generated_files import check_generated_files
from clinical_peft.workflow.plan import corpus_tokens
from clinical_peft.workflow.study_file import load_study as load_users_study
from clinical_peft.workflow.study_file import notices
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import WildcardValues
from clinical_peft.workflow.study_inputs import check_inputs

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config/config.yaml").read_text())


def study(**changes):
    return load_study(deep_merge(CONFIG, changes))


def test_jobs_of_such_files_wait_for_the_hospital():
    files = StudyFiles(study())
    task, corpus = WildcardValues(task="destination"), WildcardValues(corpus="placebo")
    assert files.cohort_label_file(task) == files.note_file(corpus) == "results/demo/hospital"
    assert files.task_record(task)["label_file"] == "results/demo/hospital/labels/destination.csv"
    assert files.note_columns(corpus)["inside"] == "placebo/notes.csv.gz"


def test_their_notes_are_the_synthetic_hospitals():
    demo = study()
    assert demo.data.files_of_notes == []
    assert notes_in_use.all_adapters_of_synthetic_notes(demo)
    assert "placebo" in StudyFiles(demo).corpora_with_patients(WildcardValues())
    assert corpus_tokens(demo, "placebo") == corpus_tokens(demo, "mimic-iv") > 0


def test_they_are_not_looked_for_before_the_first_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_inputs(study(), Path("results/demo"))


def test_a_hospital_that_writes_them_is_taken():
    check_generated_files(study())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"synthetic": {"size": "tiny"}},
            r"tasks\.destination\.labels: expected a file that a synthetic hospital of size tiny writes \(none\), "
            r"found \{hospital\}/labels/destination\.csv; set synthetic\.size to planted, or drop destination from",
        ),
        (
            {"data": {"mimic_iii": "/data"}},
            r"tasks\.destination\.labels: \{hospital\}.* reads real tables; drop destination from matrix\.tasks",
        ),
        (
            {"synthetic": {"size": "demo"}, "matrix": {"tasks": ["los"]}},
            r"note_files\.placebo\.path: .*drop the adapters and models on corpus placebo from the matrix",
        ),
        (
            {"tasks": {"destination": {"labels": "{hospital}/labels/elsewhere.csv"}}},
            r"writes \(\{hospital\}/labels/destination\.csv, .*\), found \{hospital\}/labels/elsewhere\.csv; drop",
        ),
    ],
)
def test_another_hospital_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_generated_files(study(**changes))


def test_what_is_inherited_without_its_hospital_is_not_run():
    given = {"study": "mine", "synthetic": {"size": "tiny"}}
    mine = load_users_study(deep_merge(CONFIG, given), [], given)
    assert "destination" not in mine.matrix.tasks
    assert "llama+placebo-frozen" not in mine.matrix.models
    assert len(mine.matrix.models) == len(CONFIG["matrix"]["models"]) - 1
    check_generated_files(mine)
    (line,) = notices(mine, [], given)
    assert line.endswith("tasks destination; adapters tiny-llama-placebo; models llama+placebo-frozen")


def test_what_is_listed_without_its_hospital_is_refused():
    given = {"study": "mine", "cohorts": {"source": "mimic-iv"}, "matrix": {"tasks": ["destination"]}}
    mine = load_users_study(deep_merge(CONFIG, given), [], given)
    assert mine.matrix.tasks == ["destination"]
    with pytest.raises(ConfigError, match=r"tasks\.destination\.on: .*mimic-iv.*, or drop destination from"):
        check_generated_files(mine)


def test_the_demo_runs_whole():
    demo = load_users_study(CONFIG, [], {})
    assert demo.matrix == study().matrix
    assert notices(demo, [], {}) == []


def test_what_the_matrix_leaves_out_needs_no_such_hospital():
    matrix = {"tasks": ["los"], "models": ["llama"], "adapters": []}
    check_generated_files(study(synthetic={"size": "tiny"}, matrix=matrix))
