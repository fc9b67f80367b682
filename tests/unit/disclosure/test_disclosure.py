"""What may be published of counts: margins, chains of steps, curves and shares."""

from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_study import simulate_predictions

from clinical_peft.data.corpus_counts import published_counts, published_token_counts
from clinical_peft.data.statistics import publishable
from clinical_peft.disclosure.counts import (
    FEWEST_RANKED,
    SMALLEST_CELL,
    coarse,
    coarse_figures,
    hidden_in_margin,
    merged_ranges,
    shown_margin,
    shown_totals,
    significant,
    step_of_shares,
)
from clinical_peft.disclosure.cuts import Cuts
from clinical_peft.metrics.calibration import reliability_bins
from clinical_peft.metrics.curves import GRID, published_curves
from clinical_peft.metrics.decisions import alert_burden, decision_curve, published_alerts, published_curve
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.recalibration import isotonic_map
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.tables.published_steps import published_attrition
from clinical_peft.tasks import find_task

counts = st.lists(st.integers(0, 60), min_size=1, max_size=8)


@given(counts)
def test_hidden_cells_of_a_margin_cover_each_other(cells):
    hidden = hidden_in_margin(cells)
    assert all(count >= SMALLEST_CELL for place, count in enumerate(cells) if place not in hidden)
    if hidden and len(hidden) < len(cells):
        assert len(hidden) > 1
        assert sum(cells[place] for place in hidden) >= SMALLEST_CELL + len(hidden)
    assert bool(hidden) == any(count < SMALLEST_CELL for count in cells)


@given(counts)
def test_no_two_shown_totals_of_a_chain_differ_by_few(drops):
    totals = (100 + np.cumsum([0, *drops]))[::-1].tolist()
    shown = shown_totals(totals)
    kept = [place for place, flag in enumerate(shown) if flag]
    assert shown[-1]
    for first, second in pairwise(kept):
        steps = second - first
        assert totals[first] - totals[second] >= SMALLEST_CELL + (steps if steps > 1 else 0)
    if totals[0] - totals[-1] >= SMALLEST_CELL + len(totals):
        assert shown[0]


def step(name, rows, patients, unit="admissions", **more):
    return {"step": name, "unit": unit, "rows": rows, "patients": patients, **more}


def test_a_step_that_drops_three_is_shown_with_its_neighbours():
    trunk = [step("rows", 1000, 900, "notes"), step("with text", 997, 899, "notes"), step("adults", 900, 800, "notes")]
    left_out = {"codes": 3, "repeated rows": 40}
    cohort = [*trunk, step("joined", 880, 800), step("with a label", 850, 770, left_out=left_out)]
    other = [*trunk, step("joined", 880, 800), step("alive", 878, 799)]
    shown = published_attrition({"a": cohort, "b": other})
    assert [one["rows"] for one in shown["a"]] == [1000, None, 900, None, 850]
    # What the cohorts share is hidden for both: the one would tell what the other drops.
    assert [one["rows"] for one in shown["b"]] == [1000, None, 900, None, 878]
    assert [one["patients"] for one in shown["a"]] == [900, None, None, None, 770]
    assert shown["a"][-1]["left_out"] == {"repeated rows": 40}


def test_counts_of_dropped_notes_cover_each_other():
    counts = {"rows_read": 500, "empty_dropped": 2, "duplicates_dropped": 30, "marked_as_error_dropped": 11}
    assert published_counts({**counts, "written": 457}) == {
        "rows_read": 500, "duplicates_dropped": 30, "written": 457}  # fmt: skip
    few = {"rows_read": 500, "discharge_rows": 500, "empty_dropped": 2, "duplicates_dropped": 1, "written": 497}
    assert published_counts(few) == {"written": 497}


def test_notes_kept_of_a_pair_hide_the_few_removed():
    """The corpus that a pair is made from publishes how many notes there were."""
    pair = {"notes": 1000, "held_out_left_in_matched": 40, "of_held_out_patients": 3, "repeating": 2}
    shown = [published_counts({**pair, "repeating": removed - 3, "left": 1000 - removed}) for removed in range(3, 10)]
    assert all(one == {"held_out_left_in_matched": 40, "left": 1000} for one in shown)
    many = {**pair, "of_held_out_patients": 60, "repeating": 30, "left": 910}
    assert published_counts(many) == many


def test_token_counts_sent_to_tracking_hold_no_notes():
    counts = {"notes": 995, "documents": 1200, "rows": 300, "tokens": 38_000, "dropped_tokens": 0}
    assert published_token_counts({"train": counts}) == {
        "train_rows": 300, "train_tokens": 38_000, "train_dropped_tokens": 0}  # fmt: skip


def test_shares_and_splits_of_few_are_hidden():
    row = {"train": 100, "validation": 8, "test": 30, "patients": 120, "without_code": 3, "prevalence": 4 / 138}
    found = publishable(row | {"class_shares": [134 / 138, 4 / 138]})
    assert [found[name] for name in ("train", "validation", "test", "admissions")] == [100, None, None, 138]
    assert found["class_shares"] == [None, None]
    assert (found["prevalence"], found["without_code"], found["patients"]) == (None, None, 120)


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=20))
def test_joined_ranges_have_enough_of_both(pairs):
    positives, negatives = (np.array(part) for part in zip(*pairs, strict=True))
    places = merged_ranges(positives, negatives)
    if min(positives.sum(), negatives.sum()) < SMALLEST_CELL:
        assert len(places) == 0
    # Positives alone do not make a range: all may lie before the tenth negative.
    for place in set(places.tolist()):
        assert min(positives[places == place].sum(), negatives[places == place].sum()) >= SMALLEST_CELL
    assert sorted(places.tolist()) == places.tolist()


def test_numbers_are_rounded_at_any_depth():
    assert coarse({"a": [0.123456, 7, None, {"b": 12.3456}], "c": True}) == {
        "a": [0.12, 7, None, {"b": 12.0}],
        "c": True,
    }
    assert [significant(value) for value in (0.756896551724138, 0.0, None, float("inf"))] == [
        0.757, 0.0, None, float("inf")]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(30, 200))
def test_corners_of_a_curve_are_ten_of_both_apart(seed, rows):
    random = np.random.default_rng(seed)
    positive = random.random(rows) < 0.3
    scores = np.round(random.normal(size=rows) + positive, 1)
    curves = published_curves(scores, positive)
    few = min(positive.sum(), rows - positive.sum()) < SMALLEST_CELL
    if few:
        assert curves is None
    if curves is None:
        return
    # Where the ROC curve bends, as many negatives lie between as a corner needs.
    slopes = np.diff(curves.true_positive_rate)
    bends = GRID[1:-1][~np.isclose(np.diff(slopes), 0, atol=1e-9)] * (rows - positive.sum())
    assert len(bends) <= 2 * (positive.sum() // SMALLEST_CELL)
    assert curves.precision[-1] == pytest.approx(positive.mean())


@pytest.fixture
def splits(tmp_path):
    path = tmp_path / "p.parquet"
    simulate_predictions(path, "mortality", signal=1.0, seed=0, rows=400)
    return read_predictions(path, [0, 1], "binary")


def ones(data):
    return Weighting(np.ones((len(data), 3), np.uint8))


def test_bins_alerts_and_decisions_rest_on_ten_of_each(splits):
    test = splits["test"]
    positive, scores = test.target[:, 1], test.scores[:, 1].astype(float)
    for row in reliability_bins(test, ones(test), joined=True):
        observed = round(row.observed * row.pairs)
        assert min(observed, row.pairs - observed) >= SMALLEST_CELL
    curve = published_curve(decision_curve(test, ones(test), 0.95), test, Cuts(positive))
    kept = [t for t, value in zip(curve["thresholds"], curve["net_benefit"], strict=True) if value is not None]
    assert 0 < len(kept) < 30
    borders = np.searchsorted([-np.inf, *kept, np.inf], scores, side="right")
    for kind in (positive, ~positive):
        assert (np.bincount(borders[kind])[1:] >= SMALLEST_CELL).all()
    alone = []
    for row in alert_burden(splits["validation"], test, ones(test), 0.95):
        (found,) = published_alerts([row], test, Cuts(positive))
        alerted = scores >= row["threshold"]
        cells = [(a & c).sum() for a in (alerted, ~alerted) for c in (positive, ~positive)]
        alone.append(found["sensitivity"]["value"] is not None)
        assert alone[-1] == (min(cells) >= SMALLEST_CELL)
    assert any(alone)


def test_all_cuts_of_one_ranking_are_ten_of_each_apart(splits):
    """Alerts, bins and curves, of raw and recalibrated scores, together divide the test split."""
    test = splits["test"]
    positive, cuts = test.target[:, 1], Cuts(test.target[:, 1])
    versions = [test, test.scored_by("softmax", temperature=3.0), isotonic_map(splits["validation"])(test)]
    places = {0.0: None}
    for row in published_alerts(alert_burden(splits["validation"], test, ones(test), 0.95), test, cuts):
        if row["sensitivity"]["value"] is not None:
            places[row["threshold_log_odds"]] = None
    above = [test.log_odds[:, 1] >= place for place in places if place]
    for data in versions:
        bins = reliability_bins(data, ones(data), joined=True, cuts=cuts)
        above += [data.scores[:, 1] >= row.low for row in bins[1:]]
    for data in versions:
        curve = published_curve(decision_curve(data, ones(data), 0.95), data, cuts)
        shown = [t for t, value in zip(curve["thresholds"], curve["net_benefit"], strict=True) if value is not None]
        above += [data.scores[:, 1] >= threshold for threshold in shown]
    assert len(above) > 2
    found = {(int((rows & positive).sum()), int((rows & ~positive).sum())) for rows in above}
    ends = {(0, 0), (int(positive.sum()), int((~positive).sum()))}
    for one, other in combinations(sorted(found | ends), 2):
        assert min(abs(one[0] - other[0]), abs(one[1] - other[1])) >= SMALLEST_CELL


def test_no_cut_is_published_twice():
    """Two thresholds with nobody between them would tell so."""
    cuts = Cuts(np.arange(100) < 50)
    table = [[20, 20], [20, 20], [32, 35]]
    assert cuts.publish(table).tolist() == [True, False, True]
    assert cuts.publish([[20, 20]]).tolist() == [False]
    assert cuts.publish(table).tolist() == [True, False, True]
    assert not Cuts(np.arange(100) < 50, is_open=False).publish([[20, 20]]).any()


def scored(folder: Path, task, rows, classes, **more):
    path, space = folder / "p.parquet", folder / "classes.json"
    simulate_predictions(path, task, signal=1.0, seed=0, rows=rows, classes=classes)
    space.write_text(str(classes).replace("'", '"'))
    files = {"output": folder / "m.json", "replicates": folder / "r.parquet"}
    job = {"model": "m", "task": task, "switches": {"multilabel_softmax": False}}
    return read_predictions(path, classes, find_task(task).type), evaluate(
        path, space, task=find_task(task), job=job, protocol="corrected", cohort_sha256="0", seed=0, resamples=20,
        bootstrap_seed=0, provenance={}, **files, **more,
    ).to_json()  # fmt: skip


def test_metrics_of_rare_labels_are_hidden(tmp_path):
    splits, found = scored(tmp_path, "diagnoses", 200, [f"{code:03d}" for code in range(12)])
    positives = splits["test"].target.sum(axis=0)
    rare = np.array([count is None for count in shown_margin(positives.tolist())])
    assert 0 < rare.sum() < len(rare)
    for name in ("positives", "auroc", "auprc"):
        assert [value is None for value in found["labels"][name]] == rare.tolist()


def test_a_split_of_few_cases_has_coarse_metrics_and_no_counts(tmp_path):
    splits, found = scored(tmp_path, "mortality", 30, [0, 1])
    few = [
        name
        for name, data in splits.items()
        if min(data.target[:, 1].sum(), (~data.target[:, 1]).sum()) < SMALLEST_CELL
    ]
    assert "validation" in few
    assert "test" in few
    for name in few:
        assert found["positives"][name] is None
        for figure, value in found["metrics"][name].items():
            assert value is None or value == significant(value, 2)
            assert value is None or figure not in ("brier", "log_loss", "ece", "calibration_intercept")
    assert set(found["bootstrap"]["undefined"].values()) == {None}


def write_constant_scores(path: Path, positives: int, rows: int, logit: float) -> None:
    """Write predictions that give every row one score; both splits hold the same."""
    label = np.tile(np.arange(rows) < positives, 2).astype(int)
    logits = [[0.0, logit]] * (2 * rows)
    columns = {
        "hadm_id": pa.array(range(2 * rows)),
        "subject_id": pa.array(range(2 * rows)),
        "split": pa.array(["validation"] * rows + ["test"] * rows),
        "label": pa.array(label),
        "scores": pa.array([[1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))]] * (2 * rows), pa.list_(pa.float32())),
        "logits": pa.array(logits, pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize("rows", [32, 187])
@pytest.mark.parametrize("logit", [-1.0, 0.0])
def test_one_score_for_all_hides_how_many_die(tmp_path, rows, logit):
    space = tmp_path / "classes.json"
    space.write_text("[0, 1]")
    job = {"model": "m", "task": "mortality", "switches": {}}

    def published(positives):
        write_constant_scores(tmp_path / "p.parquet", positives, rows, logit)
        found = evaluate(
            tmp_path / "p.parquet", space, task=find_task("mortality"), job=job, protocol="corrected",
            cohort_sha256="0", seed=0,
            resamples=5, bootstrap_seed=0, provenance={}, output=tmp_path / "m.json", replicates=tmp_path / "r.parquet",
        )  # fmt: skip
        hidden = {"predictions_sha256", "provenance"}
        return {name: value for name, value in found.to_json().items() if name not in hidden}

    found = [published(positives) for positives in range(SMALLEST_CELL)]
    assert all(found.count(one) > 1 for one in found)


def test_a_split_of_hidden_size_hides_it_everywhere(tmp_path):
    """Every share that is published is one of every number of rows near the hidden one."""
    splits, found = scored(tmp_path, "diagnoses", 200, [f"{code:03d}" for code in range(12)], hidden_splits={"test"})
    rows = len(splits["test"])
    assert (found["n"]["test"], found["patients"]["test"]) == (None, None)
    assert found["n"]["validation"] is not None
    exact = ("auroc", "brier", "log_loss", "ece", "calibration")
    shares = [value for name, value in found["metrics"]["test"].items() if not name.startswith(exact)]
    assert len(shares) > 4
    for share in shares:
        for count in range(rows - 20, rows + 20):
            assert any(abs(k / count - share) <= 0.005 + 1e-9 for k in range(count + 1))
    for name, value in found["metrics"]["test"].items():
        assert value == significant(value, 3), name
    for name, ends in found["intervals"]["test"].items():
        assert ends == [significant(end, 3) for end in ends], name


def test_counts_of_classes_do_not_sum_to_a_hidden_size(tmp_path):
    _, found = scored(tmp_path, "los", 200, ["a", "b", "c", "d"], hidden_splits={"test"})
    assert found["positives"]["test"] == [None] * 4
    assert None not in found["positives"]["validation"]
    assert found["metrics"]["test"]["auroc"] == significant(found["metrics"]["test"]["auroc"], 2)


def test_whether_a_rare_class_occurs_is_hidden(tmp_path):
    _, found = scored(tmp_path, "mortality", 30, [0, 1])
    assert found["classes_scored"] == {"validation": None, "test": None}


@given(st.integers(1, 3000), st.integers(FEWEST_RANKED, SMALLEST_CELL - 1))
def test_steps_give_no_small_count_metrics_of_its_own(rows, positives):
    step = step_of_shares(rows)

    def published_of(count):
        shares = {"auprc": count / rows, "f1_micro": 1 - count / rows, "f1_macro": count / (rows + count)}
        return coarse_figures(shares, rows)

    if step is None:
        assert set(published_of(positives).values()) == {None}
    elif positives < rows:
        others = set(range(FEWEST_RANKED, min(SMALLEST_CELL, rows))) - {positives}
        assert any(published_of(positives) == published_of(other) for other in others)


def test_no_step_of_a_share_lies_beyond_one():
    assert coarse_figures({"auprc": 1.0, "f1_macro": 0.98}, 32) == {"auprc": 1.0, "f1_macro": 1.0}


def test_coarse_metrics_keep_how_rows_are_ranked():
    figures = {"auroc": 0.756897, "ece": 0.43, "calibration_intercept": {"value": -2.7, "interval": [-3.3, -0.7]}}
    share = {"value": 0.0612, "interval": [0.03, 0.3]}
    found = coarse_figures(figures | {"auprc": share}, 200, rarest=FEWEST_RANKED)
    assert found == {
        "auroc": 0.76,
        "ece": None,
        "calibration_intercept": {"value": None, "interval": None},
        "auprc": {"value": 0.05, "interval": None},
    }
    nothing = coarse_figures(figures, 200, rarest=FEWEST_RANKED - 1)
    assert nothing == {"auroc": None, "ece": None, "calibration_intercept": {"value": None, "interval": None}}


def test_counts_of_classes_hide_another(tmp_path):
    assert shown_margin([40, 3, 12]) == [40, None, None]


def test_a_run_log_holds_coarse_metrics_of_few_cases():
    torch = pytest.importorskip("torch")
    from clinical_peft.training.fitting import Fit

    figures = {"validation_auroc": 0.123456, "validation_loss": 1.23456}
    fit = Fit.__new__(Fit)
    fit.data, fit.validation_rows = SimpleNamespace(type="binary", classes=(0, 1)), np.arange(40)
    for positives, shown in ((9, {"validation_auroc": 0.12, "validation_loss": 1.2}), (10, figures)):
        fit.targets = torch.tensor([1] * positives + [0] * (40 - positives))
        fit.__dict__.pop("_has_enough_of_each_class", None)
        assert fit._shareable(figures) == shown


@pytest.mark.parametrize("cells", [[50, 40, 30], [11, 12]])
def test_a_large_hidden_cell_is_covered_by_another(cells):
    assert len(hidden_in_margin(cells, {0})) == 2
