"""Training sizes as a workflow: from parts of the split to table, figure, report and MLflow."""

import csv
import json

import pyarrow.parquet as pq
import pytest
import yaml
from planned_counts import require_same_count
from shared_runs import successful
from workflow_run import REPOSITORY, Run, snakemake

pytestmark = pytest.mark.workflow

SIZES = [30, 60, 100000, "all"]
MODELS = ["tfidf"]
TASKS = ["los"]
COARSE = 1.01  # percent: the test split has few rows of a class, so that two digits are published


def write_study(folder):
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content["study"] = "sizes"
    content["matrix"] = {"adapters": [], "models": MODELS, "tasks": TASKS, "seeds": [0, 1], "train_sizes": SIZES}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def sized(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("sizes")
    return successful(snakemake(folder, config=write_study(folder)))


def test_the_plan_counts_every_size(tmp_path):
    require_same_count(write_study(tmp_path), tmp_path)


def read(root, *parts):
    return json.loads(root.joinpath(*parts).read_text())


def table(root):
    with (root / "tables" / "training_size.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_sizes_are_those_of_the_runs(sized):
    root = sized.results / "sizes"
    rows = {(row["task"], row["train_size"]): row for row in table(root)}
    assert list(rows) == [(task, size) for task in TASKS for size in ("30", "60", "all")]
    for task in TASKS:
        for size in ("30", "60", "all"):
            name = "tfidf" if size == "all" else f"tfidf@n{size}"
            runs = [read(root, f"metrics/{name}/{task}/seed{seed}.json") for seed in (0, 1)]
            value = 50 * sum(run["metrics"]["test"]["auroc"] for run in runs)
            assert float(rows[task, size]["auroc_percent"]) == pytest.approx(value, abs=COARSE)
            assert {run["recipe"].get("train_size") for run in runs} == {None if size == "all" else int(size)}
            train = [read(root, f"training/{name}/{task}/seed{seed}.json") for seed in (0, 1)]
            if size != "all":
                assert int(rows[task, size]["train_rows"]) == round(sum(one["train_rows"] for one in train) / 2)
                assert int(rows[task, size]["train_rows"]) >= int(size)
        loss = float(rows[task, "30"]["auroc_percent"]) - float(rows[task, "all"]["auroc_percent"])
        assert float(rows[task, "30"]["difference_percent"]) == pytest.approx(loss, abs=COARSE)


def test_predictions_of_every_size_are_of_the_same_test_rows(sized):
    root = sized.results / "sizes" / "predictions"
    ids = [
        pq.read_table(root / name / "los/seed0.parquet", columns=["hadm_id", "split"]).to_pylist()
        for name in ("tfidf", "tfidf@n30", "tfidf@n60")
    ]
    assert ids[0] == ids[1] == ids[2]
    scores = [
        pq.read_table(root / name / f"los/seed{seed}.parquet", columns=["scores"]).to_pylist()
        for name, seed in (("tfidf@n30", 0), ("tfidf@n30", 1), ("tfidf@n60", 0))
    ]
    assert scores[0] != scores[1]
    assert scores[0] != scores[2]


def test_a_size_beyond_the_split_is_noted_and_equals_the_whole(sized):
    root = sized.results / "sizes"
    text = (root / "tables" / "training_size.md").read_text()
    assert "no larger: LOS 100,000 (of" in text
    scores = [
        pq.read_table(root / f"predictions/{name}/los/seed1.parquet", columns=["scores"])
        for name in ("tfidf", "tfidf@n100000")
    ]
    assert scores[0].equals(scores[1])


def test_the_report_shows_sizes_in_a_section_of_their_own(sized):
    report = (sized.results / "sizes" / "report.html").read_text()
    assert "What more training notes are worth" in report
    assert 'id="training_size' in report
    assert (sized.results / "sizes" / "figures" / "training_size.svg").exists()


def test_every_size_is_a_run_in_mlflow(sized):
    tracked = read(sized.results / "sizes", "runs/tracked.json")
    assert {f"models/tfidf@n{size}/{task}/seed0" for size in (30, 60) for task in TASKS} <= set(tracked)


def test_kept_seeds_of_sizes_are_apart(sized):
    work = sized.results / "sizes" / "work" / "finetune"
    kept = {
        path.relative_to(work).parts[0]: read(path.parent, "kept.json")["key"]
        for path in work.glob("*/los/finished/seed0/kept.json")
    }
    assert set(kept) == {"tfidf", "tfidf@n30", "tfidf@n60", "tfidf@n100000"}
    assert len(set(kept.values())) == 4
