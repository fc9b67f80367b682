"""The figure of training sizes: a panel per task, a line per model with its name, a tick per size."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_size_fixtures import part, sizes_of

from clinical_peft.figures.definitions.training_size import FIGURE, spread_apart
from clinical_peft.tables.study_results import StudyResults

LABELS = {"tfidf": {"label": "TF-IDF"}, "llama": {"label": "LLaMA with a clinical adapter"}}
PARTS = [
    part(model, task, size, value)
    for task in ("mortality", "los")
    for model in ("tfidf", "llama")
    for size, value in ((100, 0.6), (1000, 0.7), (None, 0.8))
]


def draw(folder, parts=PARTS):
    results = StudyResults(labels=LABELS, training_size=sizes_of(*parts))
    (draw_one,) = FIGURE.drawings(results).values()
    draw_one(folder / "figure.svg")
    return (folder / "figure.svg").read_text()


def texts(svg):
    return [re.sub(r"<[^>]+>", "", found) for found in re.findall(r"<text.*?</text>", svg, re.DOTALL)]


def test_every_panel_names_its_lines_and_sizes(tmp_path):
    found = texts(draw(tmp_path))
    assert {"MOR", "LOS"} <= set(found)
    assert found.count("TF-IDF") == 2
    assert sum("LLaMA with a clinical" in text for text in found) == 2
    assert found.count("100") == found.count("1,000") == 2
    assert found.count("training rows (all: 5,200)") == 2


def test_a_hidden_size_of_the_split_is_not_printed(tmp_path):
    hidden = [part(one.model, one.task, one.size, one.mean.value, train_rows=None) for one in PARTS]
    svg = draw(tmp_path, hidden)
    assert "5,200" not in svg
    assert texts(svg).count("training rows") == 2
    assert texts(svg).count("all") == 2


def test_the_same_sizes_give_the_same_bytes(tmp_path):
    (tmp_path / "again").mkdir()
    assert draw(tmp_path) == draw(tmp_path / "again")


def test_a_mean_that_is_undefined_leaves_a_gap(tmp_path):
    svg = draw(tmp_path, [part("tfidf", "los", 100, 0.7), part("tfidf", "los", None, 0.8)])
    without = [part("tfidf", "los", 100, float("nan")), part("tfidf", "los", None, 0.8)]
    content = sizes_of(*without)
    content["rows"][0]["mean"]["auroc"] = None
    (draw_one,) = FIGURE.drawings(StudyResults(labels=LABELS, training_size=content)).values()
    draw_one(tmp_path / "gap.svg")
    assert len((tmp_path / "gap.svg").read_text()) < len(svg)


@pytest.mark.parametrize("content", [None, {"level": 0.95, "rows": [], "whole": []}])
def test_a_study_without_sizes_has_no_figure(content):
    assert FIGURE.drawings(StudyResults(training_size=content)) == {}


heights = st.sampled_from([0.06, 0.12])


@given(st.lists(st.tuples(st.floats(0, 1), heights), min_size=1, max_size=6))
def test_labels_do_not_overlap_and_keep_their_order(labels):
    labels = sorted(labels)
    places, sizes = [place for place, _ in labels], [height for _, height in labels]
    found = spread_apart(places, sizes)
    for below in range(len(found) - 1):
        assert found[below + 1] - found[below] >= (sizes[below] + sizes[below + 1]) / 2 - 1e-9
    assert found[-1] + sizes[-1] / 2 <= 1 + 1e-9
