"""Results that the rules of evaluation and report ask of a study."""

import json

import pytest
from study_fixtures import study_files, wildcards

from clinical_peft.tables.study_results import RESULTS
from clinical_peft.workflow.study_files import StudyFiles


@pytest.fixture(scope="module")
def tiny() -> StudyFiles:
    return study_files()


def test_runs_have_a_file_for_each_seed():
    files = study_files(matrix={"seeds": [0, 1], "models": ["tfidf"], "tasks": ["los"]})
    assert files.metrics() == [f"results/tiny/metrics/tfidf/los/seed{seed}.json" for seed in (0, 1)]
    assert files.seeds(wildcards(), output=()) == [0, 1]
    assert files.models_by_table(wildcards()) == {"Main comparison (Table 3)": ["tfidf"]}


def test_readers_are_given_the_studys_tasks_and_metric():
    files = study_files(matrix={"tasks": ["los", "mortality"]}, tasks={"los": {"title": "Days in hospital"}})
    assert [(record["name"], record["title"]) for record in files.task_records(wildcards())] == [
        ("mortality", "In-hospital mortality"),
        ("los", "Days in hospital"),
    ]
    assert files.compared_metric(wildcards()) == "auroc"


def test_a_study_of_a_file_of_notes_has_nothing_of_the_paper(tiny):
    files = study_files("mtsamples.yaml", matrix={"models": ["tfidf"], "tasks": []})
    assert (tiny.is_beside_paper, files.is_beside_paper) == (True, False)
    assert set(tiny.table_names) - set(files.table_names) == {"scoring_variants"}
    assert files.models_by_table(wildcards()) == {"Main comparison": ["tfidf"]}
    assert "switches" not in files.printed_config(wildcards())


def test_labels_say_how_models_are_built(tiny):
    labels = tiny.labels(wildcards())
    assert labels["llama+clinical-trainable+downstream"]["design"] == {
        "kind": "adapted",
        "base": "tiny-llama",
        "clinical": "tiny-llama-lora",
        "clinical_mode": "trainable",
        "task_method": "task-lora",
    }
    assert labels["tfidf"]["design"]["base"] is None


def test_a_row_is_the_papers_with_its_base_and_its_hospital(tiny):
    assert not any(label["of_paper"] for label in tiny.labels(wildcards()).values())
    folders = {"mimic_iii": "/data/iii", "mimic_iv_note": "/data/iv"}
    real = study_files("paper.yaml", data=folders)
    labels = real.labels(wildcards())
    assert {"bluebert", "llama-7b+lora", "llama-7b-lora"} <= {*labels}
    assert all(label["of_paper"] for label in labels.values())
    assert real.has_paper_cohorts
    assert not study_files(data=folders).labels(wildcards())["llama"]["of_paper"]
    assert not any(label["of_paper"] for label in study_files("paper.yaml").labels(wildcards()).values())


def test_effects_are_measured_where_a_study_asks(tiny):
    assert (tiny.protocol_gaps(), tiny.contamination(), tiny.ablation_runs()) == ([], [], [])
    assert "protocol_gaps" not in tiny.table_names
    gaps = study_files("gaps.yaml")
    assert set(gaps.table_names) - set(tiny.table_names) == {"protocol_gaps", "contamination_gaps"}
    assert gaps.ablation_runs()[0][0] == "corrected"
    assert len(gaps.ablation_metrics(wildcards())) == len(gaps.ablation_runs()) * len(gaps.study.matrix.seeds)
    assert set(gaps.contamination_models()) == {"unadapted", "adapted", "matched", "disjoint"}


def test_intervals_of_groups_take_fewer_resamples():
    assert study_files(evaluation={"resamples": 5000}).group_resamples(wildcards()) == 1000
    assert study_files(evaluation={"resamples": 100}).group_resamples(wildcards()) == 100


def test_tables_and_figures_read_every_result_of_a_study(tiny):
    assert {*RESULTS} - {*tiny.results()} == {"predictions", "cohorts", "classes", "features"}
    assert {*tiny.results()} <= {*RESULTS}
    assert tiny.results()["statistics"] == "results/tiny/statistics.json"
    assert tiny.results()["protocol_gaps"] == []


def test_the_report_prints_no_address_of_a_server(tiny):
    assert tiny.tracking_uri() == "sqlite:///results/tiny/mlflow.db"
    assert tiny.mlflow_pages(wildcards())[1] == "mlflow ui --backend-store-uri sqlite:///results/tiny/mlflow.db"
    server = study_files(tracking={"uri": "https://mlflow.example.org"})
    assert server.mlflow_pages(wildcards()) == ("https://mlflow.example.org", None)
    assert "mlflow.example.org" not in json.dumps(server.printed_config(wildcards()))


def test_the_order_of_lines_changes_no_parameter():
    reordered = study_files(matrix={"tasks": ["mortality", "diagnoses"]}, switches={})
    asked = wildcards()
    assert list(reordered.printed_config(asked)) == sorted(reordered.printed_config(asked))
    assert list(reordered.deciding_settings(asked)) == sorted(reordered.deciding_settings(asked))
