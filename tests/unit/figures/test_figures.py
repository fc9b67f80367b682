"""What the figures compute: bands of curves, AUROC of labels, maps of hidden states, and drawings of plain arrays."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_study import CLASSES, LABELS, simulate_predictions
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from clinical_peft.data.note_digest import note_digest
from clinical_peft.errors import DataError
from clinical_peft.figures.definitions import decision, reliability
from clinical_peft.figures.definitions.embeddings import class_groups, comparable_sets, embedding_maps, read_pooled_set
from clinical_peft.figures.definitions.label_frequency import label_aurocs, label_frequency, training_counts
from clinical_peft.metrics.curve_bands import BINS, curve_bands, resampled_curves
from clinical_peft.metrics.curves import GRID, mean_curves, ranking_curves
from clinical_peft.tasks import TASKS
from clinical_peft.training.pooled_notes import PooledBy, write_pooled


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60), st.booleans())
def test_a_resampled_curve_is_the_curve_of_the_rows_written_out(seed, rows, ties):
    generator = np.random.default_rng(seed)
    scores = generator.random((rows, 2)).round(1 if ties else 6)
    positive = generator.random((rows, 2)) < 0.4
    weights = generator.poisson(1.0, (rows, 3)).astype(np.float64)
    rate, precision = resampled_curves(scores, positive, weights)
    for resample in range(3):
        repeated = np.repeat(np.arange(rows), weights[:, resample].astype(int))
        drawn_scores, drawn_positive = scores[repeated].ravel(), positive[repeated].ravel()
        if drawn_positive.all() or not drawn_positive.any():
            assert np.isnan(rate[resample]).all()
            continue
        expected = ranking_curves(drawn_scores, drawn_positive)
        np.testing.assert_allclose(rate[resample], expected.true_positive_rate, atol=1e-12)
        np.testing.assert_allclose(precision[resample], expected.precision, atol=1e-12)


def test_curves_of_many_scores_are_close_to_scikit_learns():
    generator = np.random.default_rng(3)
    positive = generator.random((4000, 1)) < 0.3
    scores = generator.normal(size=(4000, 1)) + positive
    assert len(np.unique(scores)) > 4 * BINS
    rate, precision = resampled_curves(scores, positive, np.ones((4000, 1)))
    false_rate, true_rate, _ = roc_curve(positive, scores)
    np.testing.assert_allclose(rate[0], np.interp(GRID, false_rate, true_rate), atol=0.01)
    values, recall, _ = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(precision[0, 10:], np.interp(GRID, recall[::-1], values[::-1])[10:], atol=0.02)


@pytest.mark.parametrize("task", ["mortality", "los", "procedures"])
def test_bands_enclose_the_curve_and_narrow_with_more_patients(task, tmp_path):
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps(CLASSES[task]))
    widths = []
    for rows in (200, 2000):
        path = tmp_path / f"{rows}.parquet"
        simulate_predictions(path, task, signal=1.0, seed=0, rows=rows)
        bands = curve_bands([path], classes, TASKS[task], resamples=100, seed=0, level=0.95)
        curves = mean_curves([path], classes, TASKS[task])
        low, high = bands.true_positive_rate
        assert (low <= high).all()
        assert ((low <= curves.true_positive_rate + 1e-6) & (curves.true_positive_rate <= high + 1e-6)).mean() > 0.9
        widths.append(float((high - low).mean()))
    assert widths[1] < 0.6 * widths[0]


def test_auroc_of_labels_equals_scikit_learns():
    generator = np.random.default_rng(0)
    target = generator.random((80, 7)) < 0.3
    target[:, 5], target[:, 6] = False, True
    scores = (generator.random((80, 7)) + 0.3 * target).round(1)
    found = label_aurocs(scores, target)
    expected = [roc_auc_score(target[:, label], scores[:, label]) for label in range(5)]
    np.testing.assert_allclose(found[:5], expected)
    assert np.isnan(found[5:]).all()


def write_cohort(path, labels, splits, texts=None):
    rows = len(labels)
    columns = {
        "hadm_id": pa.array(range(rows)),
        "split": pa.array(splits),
        "text": pa.array(texts or [f"note {row}" for row in range(rows)]),
        "label": pa.array(labels),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_only_training_admissions_are_counted(tmp_path):
    write_cohort(tmp_path / "p.parquet", [["a", "b"], ["b", "unknown"], ["a"]], ["train", "train", "test"])
    assert list(training_counts(tmp_path / "p.parquet", ["a", "b", "c"])) == [1, 2, 0]


def test_labels_by_frequency_are_drawn_for_every_model(tmp_path):
    task = "procedures"
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES[task]))
    predictions = {}
    for model, signal in (("llama", 0.3), ("llama+lora", 1.0)):
        simulate_predictions(tmp_path / f"{model}.parquet", task, signal=signal, seed=0)
        predictions[model] = [tmp_path / f"{model}.parquet"]
    labels = [CLASSES[task][: 1 + row % 12] for row in range(60)]
    write_cohort(tmp_path / "cohort.parquet", labels, ["train"] * 60)
    arguments = ({task: predictions}, {task: tmp_path / "classes.json"}, {task: tmp_path / "cohort.parquet"}, LABELS)
    label_frequency(*arguments, tmp_path / "a.svg", tasks=TASKS)
    label_frequency(*arguments, tmp_path / "b.svg", tasks=TASKS)
    text = (tmp_path / "a.svg").read_text()
    assert text.count(">tiny LLaMA</text>") == text.count(">tiny LLaMA+lora</text>") == 1
    assert text == (tmp_path / "b.svg").read_text()


def pool(path, texts, features, clinical=None, context=64):
    job = {"context": context, "clinical": clinical, "clinical_mode": "frozen" if clinical else None}
    by = PooledBy(job=job, base="tiny", revision="r", parts={}, frozen_sha256="0", parameters=1, spread=0.02)
    write_pooled(path, texts, features, np.full(len(texts), 5), by)


def two_sets(folder, texts, **changes):
    generator = torch.Generator().manual_seed(0)
    plain, adapted = torch.randn((2, len(texts), 6), generator=generator)
    pool(folder / "plain.safetensors", texts, plain)
    pool(folder / "adapted.safetensors", texts, adapted, **{"clinical": "tiny-lora", **changes})
    return [folder / "plain.safetensors", folder / "adapted.safetensors"]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_pooled_features_are_read_without_torch(kind, tmp_path):
    texts = ["first note", "second note", "third note"]
    features = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).to(kind)
    pool(tmp_path / "f.safetensors", texts, features, clinical="tiny-lora")
    found = read_pooled_set(tmp_path / "f.safetensors")
    assert (found.base, found.clinical) == ("tiny", "tiny-lora")
    for text, row in zip(texts, features, strict=True):
        np.testing.assert_array_equal(found.features[note_digest(text)], row.float().numpy())


def test_a_damaged_file_of_features_is_named(tmp_path):
    (tmp_path / "f.safetensors").write_bytes(b"not tensors")
    with pytest.raises(DataError, match=r"f\.safetensors: no readable features"):
        read_pooled_set(tmp_path / "f.safetensors")


def test_embedding_maps_repeat_to_the_byte_without_notes(tmp_path):
    texts = [f"Quibbleworth {row}" for row in range(40)]
    paths = two_sets(tmp_path, texts)
    cohort = tmp_path / "cohorts" / "mortality.parquet"
    write_cohort(cohort, [row % 2 for row in range(40)], ["test"] * 30 + ["train"] * 10, texts)
    (tmp_path / "cohorts" / "mortality.classes.json").write_text('["survived", "died"]')
    sets = [read_pooled_set(path) for path in paths]
    for name in ("a.svg", "b.svg"):
        assert embedding_maps(sets, {"mortality": cohort}, tmp_path / name, tasks=TASKS)
    text = (tmp_path / "a.svg").read_text()
    for expected in ("tiny, frozen: PCA (silhouette", "with tiny-lora: PCA", "t-SNE", ": UMAP", ">survived<", ">died<"):
        assert expected in text
    assert "Quibbleworth" not in text
    assert text == (tmp_path / "b.svg").read_text()


def test_a_map_names_the_twenty_largest_of_many_classes():
    outcome = np.repeat(np.arange(30), np.arange(30, 60))
    names = ["_first", *(f"class {index}" for index in range(1, 29)), "x" * 90]
    groups = class_groups(outcome, names)
    assert [name for _, name in groups[:2]] == ["class 10", "class 11"]
    assert len(groups) == 21
    assert (groups[-1][1], int(groups[-1][0].sum())) == ("others", sum(range(30, 40)))
    assert len(groups[-2][1]) == 40
    assert class_groups(outcome[:60], names[:2])[0][1] == "\u200b_first"


def test_feature_sets_differing_in_more_are_not_compared(tmp_path):
    texts = [f"note {row}" for row in range(10)]
    sets = [read_pooled_set(path) for path in two_sets(tmp_path, texts, context=32)]
    assert comparable_sets(sets) == []
    assert not embedding_maps(sets, {}, tmp_path / "a.svg", tasks=TASKS)
    assert not (tmp_path / "a.svg").exists()


def test_reliability_and_decision_curves_draw_plain_arrays(tmp_path):
    bins = reliability.Reliability(np.array([0.1, 0.5]), np.array([0.2, 0.4]), np.array([[0.1, 0.3], [0.3, 0.5]]))
    reliability.reliability_diagram(TASKS["mortality"], {"as they are": {"llama": bins}}, LABELS, tmp_path / "r.svg")
    thresholds = np.linspace(0.01, 0.99, 99)
    treat_all = 0.2 - 0.8 * thresholds / (1 - thresholds)
    benefit = {"llama": np.linspace(0.2, 0, 99), "tfidf": np.linspace(0.18, 0, 99)}
    bands = {"llama": np.stack([benefit["llama"] - 0.02, benefit["llama"] + 0.02])}
    curves = decision.DecisionCurves(thresholds, benefit, treat_all, bands)
    decision.decision_curves(TASKS["mortality"], curves, LABELS, tmp_path / "d.svg")
    assert ">tiny LLaMA</text>" in (tmp_path / "r.svg").read_text()
    drawn = (tmp_path / "d.svg").read_text()
    for expected in ("treat everybody", "treat nobody", "TF-IDF &amp; logistic regression", "net benefit"):
        assert expected in drawn


def test_declarations_are_read_without_matplotlib():
    code = (
        "import sys; from clinical_peft.figures.registry import all_figures; "
        "assert len(all_figures()) > 10; assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
