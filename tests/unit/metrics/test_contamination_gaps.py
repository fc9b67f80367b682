"""What contaminated pretraining is worth: gains inside and outside a subset, and two corpora on the same patients."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results_fixtures import built
from simulated_study import metrics_file
from sklearn.metrics import roc_auc_score

from clinical_peft.disclosure.counts import HIDDEN, SMALLEST_CELL
from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.metrics.carevue_subset import is_inside, read_membership
from clinical_peft.metrics.contamination_gaps import (
    NO_CLASS,
    ComparedModels,
    compare_corpora,
    compare_gains,
    measure_contamination,
)
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.resampling import holm
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.tables.form import signed
from clinical_peft.tasks import TaskType

DRAW = {"resamples": 200, "bootstrap_seed": 7}
MODELS = ComparedModels("plain", "adapted", "matched", "disjoint")


def predictions(kind: TaskType, rows: int, signal: np.ndarray | float, seed: int, classes: int = 2) -> Predictions:
    """Random labels and scores that carry so much of them; two rows per patient. Labels do not depend on the seed."""
    fixed, draws = np.random.default_rng(0), np.random.default_rng(seed)
    if kind == "multilabel":
        target = fixed.random((rows, classes)) < 0.4
    else:
        target = fixed.integers(0, classes, rows)[:, None] == np.arange(classes)
    logits = np.reshape(signal, (-1, 1)) * target + draws.normal(size=(rows, classes))
    return Predictions.of_logits(
        logits.astype(np.float32),
        link="softmax",
        type=kind,
        classes=tuple(range(classes)),
        hadm_id=np.arange(rows) + 100,
        subject_id=np.arange(rows) // 2 + 900,
        target=target,
    )


def halves(rows: int) -> np.ndarray:
    return np.arange(rows) // 2 % 2 == 0


def auroc(data: Predictions) -> float:
    """The task's AUROC by scikit-learn."""
    if data.type == "binary":
        return float(roc_auc_score(data.target[:, 1], data.scores[:, 1]))
    if data.type == "multiclass":
        return float(roc_auc_score(data.target.argmax(axis=1), data.scores, multi_class="ovo", average="macro"))
    return float(roc_auc_score(data.target, data.scores, average="macro"))


@pytest.mark.parametrize(("kind", "classes"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_metrics_equal_a_direct_computation(kind: TaskType, classes: int) -> None:
    inside = halves(240)
    plain = [predictions(kind, 240, 0.3, seed, classes) for seed in (1, 2)]
    adapted = [predictions(kind, 240, 0.9, seed, classes) for seed in (3, 4)]
    found = compare_gains(plain, adapted, inside, **DRAW).to_json()
    gains = {}
    for name, rows in (("inside", inside), ("outside", ~inside)):
        before, after = (np.mean([auroc(run.of_rows(rows)) for run in runs]) for runs in (plain, adapted))
        group = found["groups"][name]
        assert group["unadapted"]["value"] == pytest.approx(before)
        assert group["adapted"]["value"] == pytest.approx(after)
        assert group["gain"]["value"] == pytest.approx(after - before)
        assert (group["admissions"], group["patients"]) == (120, 60)
        gains[name] = after - before
    assert found["difference"]["value"] == pytest.approx(gains["outside"] - gains["inside"])
    assert (found["seeds"], found["classes"], found["undefined"]) == (2, classes if kind != "binary" else 2, None)
    arms = compare_corpora(plain, adapted, **DRAW).to_json()
    expected = np.mean([auroc(run) for run in adapted]) - np.mean([auroc(run) for run in plain])
    assert arms["difference"]["value"] == pytest.approx(expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), kind=st.sampled_from(["binary", "multiclass", "multilabel"]))
def test_equal_predictions_differ_by_nothing(seed: int, kind: TaskType) -> None:
    runs = [predictions(kind, 160, 0.5, seed, 2 if kind == "binary" else 3)]
    found = compare_gains(runs, runs, halves(160), **DRAW).to_json()
    for part in (
        found["difference"],
        found["groups"]["inside"]["gain"],
        compare_corpora(runs, runs, **DRAW).to_json()["difference"],
    ):
        assert (part["value"], part["interval"], part["p_total"]) == (0.0, [0.0, 0.0], 1.0)


def test_a_planted_signal_keeps_its_sign() -> None:
    inside = halves(600)
    plain = [predictions("multiclass", 600, 0.2, 1, 4)]
    leaked = [predictions("multiclass", 600, np.where(inside, 0.2, 2.0), 2, 4)]
    found = compare_gains(plain, leaked, inside, **DRAW).to_json()["difference"]
    low, high = found["interval"]
    assert 0 < low < found["value"] < high
    assert found["p_total"] < 0.001
    opposite = compare_gains(plain, leaked, ~inside, **DRAW).to_json()["difference"]
    assert opposite["value"] == pytest.approx(-found["value"])
    arms = compare_corpora(plain, leaked, **DRAW).to_json()["difference"]
    assert arms["interval"][0] > 0
    assert compare_corpora(leaked, plain, **DRAW).to_json()["difference"]["value"] == pytest.approx(-arms["value"])


def test_models_are_paired_within_resamples() -> None:
    """The interval of a difference of two nearly equal models is much narrower than those of their AUROCs."""
    one = predictions("binary", 400, 0.8, 1)
    other = one.with_scores(one.scores + np.float32(1e-3) * predictions("binary", 400, 0.0, 2).scores)
    found = compare_corpora([one], [other], **DRAW).to_json()
    width = np.ptp(found["difference"]["interval"])
    assert width < 0.1 * np.ptp(found["means"]["matched"]["interval"])


def test_a_class_missing_in_one_group_is_compared_in_none() -> None:
    inside = halves(240)
    data = predictions("multilabel", 240, 0.5, 1, 3)
    target = data.target.copy()
    target[inside, 1] = False
    data = replace(data, target=target)
    found = compare_gains([data], [data], inside, **DRAW).to_json()
    assert found["classes"] == 2
    kept = data.of_classes(np.array([True, False, True]))
    assert found["groups"]["outside"]["adapted"]["value"] == pytest.approx(auroc(kept.of_rows(~inside)))


def test_what_is_undefined_says_why() -> None:
    inside = halves(240)
    data = predictions("multilabel", 240, 0.5, 1, 2)
    alone = replace(data, target=data.target & ~inside[:, None])
    found = compare_gains([alone], [alone], inside, **DRAW).to_json()
    assert found["undefined"] == NO_CLASS
    assert found["difference"] is None
    assert found["groups"]["inside"]["gain"] is None
    assert found["groups"]["inside"]["admissions"] == 120


def test_small_counts_and_their_complements_are_hidden() -> None:
    few = np.zeros(240, dtype=bool)
    few[: SMALLEST_CELL - 1] = True
    data = predictions("multiclass", 240, 0.5, 1, 3)
    found = compare_gains([data], [data], few, **DRAW).to_json()
    assert found["undefined"] == HIDDEN
    assert {group["admissions"] for group in found["groups"].values()} == {None}
    binary = predictions("binary", 240, 0.5, 1)
    rare = replace(binary, target=np.stack([np.arange(240) != 3, np.arange(240) == 3], axis=1))
    assert compare_corpora([rare], [rare], **DRAW).to_json()["undefined"] == HIDDEN
    assert compare_corpora([rare], [rare], **DRAW).to_json()["positives"] is None


def test_membership_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CareVue"):
        read_membership(tmp_path / "none.parquet")
    pq.write_table(pa.table({"subject_id": [1]}), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="in_subset"):
        read_membership(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="1 missing"):
        is_inside(np.array([1, 2]), {1: True}, "carevue.parquet")
    assert is_inside(np.array([1, 2, 1]), {1: True, 2: False}, "").tolist() == [True, False, True]


def write_run(folder: Path, model: str, data: Predictions, seed: int) -> tuple[Path, Path]:
    path = folder / f"{model}-{seed}.parquet"
    labels = data.target.argmax(axis=1)
    half = len(data) // 10
    columns = {
        "hadm_id": data.hadm_id,
        "subject_id": data.subject_id,
        "split": ["validation"] * half + ["test"] * (len(data) - half),
        "label": labels,
        "scores": list(data.scores),
        "logits": list(data.logits),
    }
    pq.write_table(pa.table(columns), path)
    metrics = folder / f"{model}-{seed}.json"
    run = metrics_file(
        model=model,
        seed=seed,
        recipe={"model": model},
        n={"test": len(data) - half},
        predictions_sha256=sha256_file(path),
    )
    metrics.write_text(json.dumps(run))
    return metrics, path


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Any]:
    """Runs of the four models on one task, two seeds each, and the other inputs of `measure_contamination`."""
    inside = halves(400)
    signal = {"plain": 0.3, "disjoint": 0.3, "matched": 1.5, "adapted": np.where(inside, 0.3, 2.0)}
    runs = [
        write_run(tmp_path, model, predictions("multiclass", 400, carried, 10 * seed + place, 4), seed)
        for place, (model, carried) in enumerate(signal.items())
        for seed in (0, 1)
    ]
    subjects = sorted({int(subject) for subject in np.arange(400) // 2 + 900})
    pq.write_table(
        pa.table({"subject_id": subjects, "in_subset": [subject % 2 == 0 for subject in subjects]}),
        tmp_path / "carevue.parquet",
    )
    (tmp_path / "carevue.json").write_text(json.dumps({"source": "ICUSTAYS.DBSOURCE", "approximate": True}))
    (tmp_path / "classes.json").write_text(json.dumps([0, 1, 2, 3]))
    return {
        "files": RunFiles(
            [metrics for metrics, _ in runs], [path for _, path in runs], {"los": tmp_path / "classes.json"}
        ),
        "membership": tmp_path / "carevue.parquet",
        "source": tmp_path / "carevue.json",
        "models": MODELS,
        "output": tmp_path / "contamination.json",
    }


def test_a_study_gives_both_comparisons_and_their_table(study: dict[str, Any]) -> None:
    found = measure_contamination(**study, **DRAW).to_json()
    assert json.loads(study["output"].read_text()) == found
    assert found["membership"] == {"source": "ICUSTAYS.DBSOURCE", "approximate": True}
    assert found["carevue"][0]["difference"]["interval"][0] > 0
    assert found["disjoint"][0]["difference"]["interval"][0] > 0
    labels = {name: {"label": name.title(), "table": "main", "published": None} for name in vars(MODELS).values()}
    table = built("contamination_gaps", contamination=found, labels=labels)
    assert [record["comparison"] for record in table.records] == [
        *("carevue_inside", "carevue_outside", "carevue", "disjoint")
    ]
    inside, outside, difference, arms = table.records
    gap = outside["difference_percent"] - inside["difference_percent"]
    assert difference["difference_percent"] == pytest.approx(gap, abs=1e-3)
    assert difference["admissions"] == inside["admissions"] + outside["admissions"] == 360
    assert arms["second_percent"] - arms["first_percent"] == pytest.approx(arms["difference_percent"], abs=1e-3)
    assert "approximated from ICUSTAYS.DBSOURCE" in table.caption
    assert "earlier era" in table.notes[0]
    assert table.rows[3][1] == "unfiltered minus disjoint"
    fewer = found | {"carevue": [found["carevue"][0] | {"classes": 3}]}
    said = built("contamination_gaps", contamination=fewer, labels=labels).notes[1]
    assert said.endswith("LOS 3 inside and outside the subset alike; LOS 4 between the two corpora.")
    known = found | {"membership": {"source": "patient list", "approximate": False}}
    assert "approximated" not in built("contamination_gaps", contamination=known, labels=labels).caption


def test_the_table_shows_dashes_for_what_is_undefined(study: dict[str, Any]) -> None:
    members = pq.read_table(study["membership"])["subject_id"].to_pylist()
    pq.write_table(pa.table({"subject_id": members, "in_subset": [one < 922 for one in members]}), study["membership"])
    found = measure_contamination(**study, **DRAW).to_json()
    table = built("contamination_gaps", contamination=found)
    assert found["carevue"][0]["undefined"] == HIDDEN
    assert table.rows[0][2:] == ("–",) * 6
    assert {record["undefined"] for record in table.records[:3]} == {HIDDEN}


def test_models_must_have_the_same_runs(study: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="other: expected runs on los"):
        measure_contamination(**study | {"models": replace(MODELS, disjoint="other")}, **DRAW).to_json()
    files = study["files"]
    fewer = {"files": replace(files, metrics=files.metrics[1:], predictions=files.predictions[1:])}
    with pytest.raises(DataError, match="plain on los with every seed of the study; missing: seed 0"):
        measure_contamination(**study | fewer, **DRAW).to_json()


def test_seeds_that_disagree_widen_a_difference_and_its_p_value() -> None:
    """Over patients alone the gain is clear; one seed has all of it, so that over seeds it is not."""
    inside = halves(400)
    plain = [predictions("binary", 400, 0.3, seed) for seed in (1, 2)]
    alike = [predictions("binary", 400, 1.5, seed) for seed in (3, 4)]
    apart = [predictions("binary", 400, signal, seed) for signal, seed in ((0.3, 3), (2.5, 4))]
    for compare, place in ((compare_corpora, "difference"), (compare_gains, "groups")):
        more = (inside,) if compare is compare_gains else ()
        found = {
            name: compare(plain, runs, *more, **DRAW).to_json()[place]
            for name, runs in (("alike", alike), ("apart", apart))
        }
        if place == "groups":
            found = {name: groups["outside"]["gain"] for name, groups in found.items()}
        low, high = found["apart"]["interval"]
        assert 0 < low < high
        assert found["apart"]["interval_total"][0] < 0 < found["apart"]["interval_total"][1]
        assert found["apart"]["p_total"] > 0.05 > found["alike"]["p_total"]
    one = compare_corpora(plain[:1], apart[1:], **DRAW).to_json()["difference"]
    assert one["degrees_of_freedom"] is None
    assert np.ptp(one["interval_total"]) == pytest.approx(np.ptp(one["interval"]), rel=0.3)


def test_seeds_add_the_spread_of_paired_differences() -> None:
    """Where both models of a seed are good or bad together, seeds add nothing to their difference."""
    plain = [predictions("binary", 400, signal, seed) for signal, seed in ((0.5, 1), (1.5, 2))]
    found = compare_corpora(plain, plain, **DRAW).to_json()["difference"]
    assert (found["standard_error"], found["degrees_of_freedom"], found["interval_total"]) == (0.0, None, [0.0, 0.0])


def test_holms_correction_runs_over_the_whole_table(study: dict[str, Any]) -> None:
    found = measure_contamination(**study, **DRAW).to_json()
    tested = [group["gain"] for group in found["carevue"][0]["groups"].values()]
    tested += [found["carevue"][0]["difference"], found["disjoint"][0]["difference"]]
    adjusted = holm({place: one["p_total"] for place, one in enumerate(tested)})
    assert [one["p_holm"] for one in tested] == list(map(adjusted.get, range(4)))
    assert {one["significant"] for one in tested} == {True, False}
    table = built("contamination_gaps", contamination=found)
    assert table.bold == {(place, 6) for place, one in enumerate(tested) if one["significant"]}
    for record, row, one in zip(table.records, table.rows, tested, strict=True):
        assert [record["total_low_percent"], record["total_high_percent"]] == pytest.approx(
            [100 * end for end in one["interval_total"]], abs=1e-4
        )
        assert record["p_holm"] == pytest.approx(one["p_holm"], abs=1e-6)
        assert f"[{signed(record['total_low_percent'])}, {signed(record['total_high_percent'])}]" in row[6]
        assert (record["protocol"], record["cohort_sha256"]) == ("corrected", "c0")
    assert "intervals over patients and seeds" in table.caption


def test_the_order_of_files_changes_nothing(study: dict[str, Any]) -> None:
    """Differences are of the same seed whatever order the files come in."""
    found = measure_contamination(**study, **DRAW).to_json()
    files = study["files"]
    backwards = {"files": replace(files, metrics=files.metrics[::-1], predictions=files.predictions[::-1])}
    assert measure_contamination(**study | backwards, **DRAW).to_json() == found


def test_other_seeds_and_a_run_given_twice_are_refused(study: dict[str, Any]) -> None:
    """As many seeds of both models are not the same seeds."""
    path = study["files"].metrics[0]
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"seed": 7}))
    with pytest.raises(DataError, match="every seed of the study"):
        measure_contamination(**study, **DRAW).to_json()
    path.write_text(json.dumps(run | {"seed": 1}))
    with pytest.raises(DataError, match="was already read"):
        measure_contamination(**study, **DRAW).to_json()
