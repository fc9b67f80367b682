"""Effects of single switches: paired by patient, judged by each protocol's own cohort, corrected over the table."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from results_fixtures import built
from simulated_study import CLASSES, LABELS, simulate_predictions

from clinical_peft.disclosure.counts import significant
from clinical_peft.errors import DataError
from clinical_peft.metrics.comparison_records import CohortChanges, ProtocolGaps
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.protocol_gaps import CORRECTED, AblationRuns, cohort_changes, measure_protocol_gaps
from clinical_peft.metrics.resampling import holm, patient_weights
from clinical_peft.tables.render import to_csv, to_latex, to_markdown
from clinical_peft.tasks import find_task

MODEL = "llama+clinical-trainable+downstream"
SEEDS = (0, 1)
SIGNALS = {CORRECTED: 1.5, "unclipped": 1.5, "task_adapter_inactive": 0.3, "paper": 0.1}


def write_cohort(path, rows):
    schema = pa.schema([("hadm_id", pa.int64()), ("text", pa.string()), ("label", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def runs_of(root, switch, *, resamples=300, seeds=SEEDS, task="los"):
    """One ablation in files; `unclipped` has the scores of the corrected protocol."""
    folder = root / switch
    metrics = []
    for seed in seeds:
        predictions = folder / f"predictions/seed{seed}.parquet"
        simulate_predictions(predictions, task, signal=SIGNALS[switch], seed=seed)
        classes = folder / "classes.json"
        classes.write_text(json.dumps(CLASSES[task]))
        path = folder / f"seed{seed}.json"
        evaluate(
            predictions,
            classes,
            task=find_task(task),
            job={"model": f"{MODEL}@{switch}"},
            protocol=switch,
            cohort_sha256=switch,
            seed=seed,
            resamples=resamples,
            bootstrap_seed=0,
            output=path,
            replicates=path.with_suffix(".parquet"),
            provenance={},
        )
        metrics.append(path)
    cohort = write_cohort(folder / "cohort.parquet", [{"hadm_id": 1, "text": "a", "label": 0}])
    return AblationRuns(
        switch=switch,
        task=task,
        metrics=tuple(metrics),
        replicates=tuple(path.with_suffix(".parquet") for path in metrics),
        cohort=cohort,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("gaps")
    return [runs_of(root, switch) for switch in SIGNALS]


@pytest.fixture(scope="module")
def gaps(runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("measured") / "protocol_gaps.json"
    found = measure_protocol_gaps(runs, model=MODEL, untouched={"los_rounded": ["procedures"]}, output=output).to_json()
    assert json.loads(output.read_text()) == found
    return found


def test_equal_scores_are_worth_nothing(gaps):
    row = next(row for row in gaps["rows"] if row["switch"] == "unclipped")
    assert row["difference"] == 0
    assert row["interval"] == [0, 0]
    assert not row["significant"]


def test_a_planted_loss_is_found_with_its_sign(gaps):
    for switch in ("task_adapter_inactive", "paper"):
        row = next(row for row in gaps["rows"] if row["switch"] == switch)
        assert row["difference"] < -0.1
        assert row["interval"][1] < 0
        assert row["significant"]


def test_differences_pair_patients_in_every_resample(runs, gaps):
    """Against a computation of its own, by scikit-learn on weighted rows."""
    from sklearn.metrics import roc_auc_score

    def auroc(run, weights):
        values = []
        for path in run.metrics:
            test = read_predictions(path.parent / f"predictions/{path.stem}.parquet", CLASSES["los"], "multiclass")[
                "test"
            ]
            label = test.target.argmax(axis=1)
            rows = np.repeat(np.arange(len(test)), weights)
            scores = test.scores[rows].astype(float)
            scores /= scores.sum(axis=1, keepdims=True)
            values.append(roc_auc_score(label[rows], scores, multi_class="ovo", average="macro"))
        return np.mean(values)

    corrected, paper = runs[0], runs[-1]
    test = read_predictions(corrected.metrics[0].parent / "predictions/seed0.parquet", CLASSES["los"], "multiclass")[
        "test"
    ]
    weights = patient_weights(test.subject_id, resamples=300, seed=0)
    drawn = [auroc(paper, weights[:, place]) - auroc(corrected, weights[:, place]) for place in range(40)]
    row = gaps["rows"][-1]
    whole = np.ones(len(test), dtype=int)
    assert row["difference"] == pytest.approx(auroc(paper, whole) - auroc(corrected, whole), abs=1e-6)
    assert row["interval"][0] < np.mean(drawn) < row["interval"][1]
    assert np.std(drawn) == pytest.approx(np.ptp(row["interval"]) / 3.92, rel=0.4)


def test_holms_correction_runs_over_the_whole_table(gaps):
    adjusted = holm({place: row["p_total"] for place, row in enumerate(gaps["rows"])})
    assert [row["p_holm"] for row in gaps["rows"]] == [adjusted[place] for place in range(3)]


def test_what_two_cohorts_differ_in_is_counted(tmp_path):
    before = write_cohort(tmp_path / "a.parquet", [{"hadm_id": n, "text": "same", "label": 0} for n in (1, 2, 3, 4)])
    after = write_cohort(
        tmp_path / "b.parquet",
        [
            {"hadm_id": 2, "text": "same", "label": 1},
            {"hadm_id": 3, "text": "other", "label": 0},
            {"hadm_id": 4, "text": "same", "label": 0},
            {"hadm_id": 5, "text": "same", "label": 0},
            {"hadm_id": 6, "text": "same", "label": 0},
        ],
    )
    assert cohort_changes(before, after) == CohortChanges(joined=2, left=1, texts=1, labels=1)
    assert cohort_changes(before, before) == CohortChanges()


@pytest.mark.parametrize(("more", "told"), [(0, True), (3, False), (10, True)])
def test_sizes_of_two_protocols_do_not_tell_few_rows(runs, tmp_path, more, told):
    corrected, ablation = runs[:2]
    content = [json.loads(path.read_text()) for path in ablation.metrics]
    paths = [tmp_path / path.name for path in ablation.metrics]
    for path, run in zip(paths, content, strict=True):
        run["n"]["test"] += more
        path.write_text(json.dumps(run))
    changed = replace(ablation, metrics=tuple(paths))
    found = measure_protocol_gaps([corrected, changed], model=MODEL, untouched={}, output=tmp_path / "gaps.json")
    (row,) = found.rows
    assert row.corrected.n == content[0]["n"]["test"] - more
    assert (row.ablation.n, row.ablation.patients) == (
        (content[0]["n"]["test"], content[0]["patients"]["test"]) if told else (None, None)
    )


@pytest.mark.parametrize(("field", "digits"), [("positives", 3), ("classes_scored", 2)])
def test_a_number_that_is_merely_near_rounds_no_further(runs, tmp_path, field, digits):
    """A hidden number of cases of a split that has enough of each class is hidden because it is near another's."""
    corrected, ablation = runs[0], runs[2]
    paths = [tmp_path / path.name for path in ablation.metrics]
    for path, given in zip(paths, ablation.metrics, strict=True):
        run = json.loads(given.read_text())
        run["n"]["test"] = run["patients"]["test"] = run["positives"]["test"] = None
        run[field]["test"] = None
        path.write_text(json.dumps(run))
    found = [
        measure_protocol_gaps([corrected, one], model=MODEL, untouched={}, output=tmp_path / "gaps.json").rows[0]
        for one in (ablation, replace(ablation, metrics=tuple(paths)))
    ]
    assert found[1].difference == significant(found[0].difference, digits) != found[0].difference
    assert (found[1].undefined is None) == (digits == 2)


def test_runs_that_cannot_be_paired_are_refused(runs, tmp_path):
    output = tmp_path / "gaps.json"
    fewer = runs_of(tmp_path, "paper", resamples=200)
    with pytest.raises(DataError, match="resamples or seed of its bootstrap, differ"):
        measure_protocol_gaps([runs[0], fewer], model=MODEL, untouched={}, output=output)
    one_seed = AblationRuns(**(vars(runs[1]) | {"metrics": runs[1].metrics[:1], "replicates": runs[1].replicates[:1]}))
    with pytest.raises(DataError, match="its seeds"):
        measure_protocol_gaps([runs[0], one_seed], model=MODEL, untouched={}, output=output)
    again = AblationRuns(**(vars(runs[1]) | {"metrics": runs[1].metrics * 2, "replicates": runs[1].replicates * 2}))
    with pytest.raises(DataError, match="was already read"):
        measure_protocol_gaps([runs[0], again], model=MODEL, untouched={}, output=output)
    with pytest.raises(DataError, match="the ablation unclipped on los was already given"):
        measure_protocol_gaps([runs[0], runs[1], runs[1]], model=MODEL, untouched={}, output=output)
    with pytest.raises(DataError, match="expected the corrected runs of los"):
        measure_protocol_gaps(runs[1:], model=MODEL, untouched={}, output=output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cohort_sha256": "another"}, "los was scored on another cohort than in"),
        ({"recipe": {"model": "m", "recipe": {"epochs": 3}}}, r"another recipe than in .*\(model, recipe\)"),
        ({"protocol": "paper"}, "found paper"),
    ],
)
def test_seeds_of_an_ablation_differ_in_nothing_else(runs, tmp_path, changes, message):
    spoiled = tmp_path / "seed1.json"
    spoiled.write_text(json.dumps(json.loads(runs[1].metrics[1].read_text()) | changes))
    ablation = AblationRuns(**(vars(runs[1]) | {"metrics": (runs[1].metrics[0], spoiled)}))
    with pytest.raises(DataError, match=message):
        measure_protocol_gaps([runs[0], ablation], model=MODEL, untouched={}, output=tmp_path / "gaps.json")


def test_the_table_says_what_is_worth_what(gaps):
    table = built("protocol_gaps", protocol_gaps=gaps, labels=LABELS)
    assert [record["switch"] for record in table.records] == ["unclipped", "task_adapter_inactive", "paper"]
    assert table.bold == {(1, 5), (2, 5)}
    paper, measured = table.records[2], gaps["rows"][2]
    assert (paper["corrected_protocol"], paper["ablation_protocol"]) == (CORRECTED, "paper")
    assert (paper["corrected_cohort_sha256"], paper["ablation_cohort_sha256"]) == (CORRECTED, "paper")
    for prefix, kind in (("", "interval"), ("bca_", "interval_bca"), ("total_", "interval_total")):
        printed = [paper[f"{prefix}low_percent"], paper[f"{prefix}high_percent"]]
        assert printed == pytest.approx([100 * end for end in measured[kind]], abs=1e-4)
    assert table.rows[0][5].startswith("+0.0 [+0.0, +0.0]")
    assert table.rows[2][5].startswith("−")
    assert "los_rounded (PROC)" in table.notes[1]
    for form in (to_markdown, to_latex, to_csv):
        assert "paper" in form(table)


def test_a_file_by_earlier_names_is_read(gaps):
    rows = [{"arm" if name == "ablation" else name: value for name, value in row.items()} for row in gaps["rows"]]
    earlier = gaps | {"rows": rows}
    assert ProtocolGaps.of(earlier).to_json() == gaps
    tables = [built("protocol_gaps", protocol_gaps=content, labels=LABELS) for content in (earlier, gaps)]
    assert tables[0].records == tables[1].records
