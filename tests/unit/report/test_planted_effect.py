"""README's first results: the gains that the demo was made to show, and those that it should not show."""

import json

import pytest

from clinical_peft.errors import DataError
from clinical_peft.report.planted_effect import GAINS, opening, planted_lines, summarise_planted


def difference(first, second, task, points=10.0, low=4.0, high=17.0):
    ends = {"total_low_percent": str(low), "total_high_percent": str(high)}
    pair = {"task": task, "first": first, "second": second}
    return {"kind": "difference", "difference_percent": str(points)} | pair | ends


def rows_of_all_gains():
    # A row's difference is the second model's value less that of the first.
    return [difference(gain.unadapted, gain.adapted, gain.task, 12.34, -3.0, 19.0) for gain in GAINS]


@pytest.fixture
def study(tmp_path):
    (tmp_path / "hospital").mkdir()
    (tmp_path / "hospital/PROVENANCE.json").write_text(json.dumps({"bayes_auroc": {"destination": 0.8987}}))
    return tmp_path


def test_a_gain_is_that_of_the_adapted_model(study):
    found = summarise_planted(study, rows_of_all_gains())
    assert found["best"] == 89.9
    assert [gain["gain"] for gain in found["gains"]] == [[12.3, -3.0, 19.0]] * len(GAINS)


def test_the_order_of_a_pair_does_not_matter(study):
    turned = [difference(gain.adapted, gain.unadapted, gain.task, -12.34, -19.0, 3.0) for gain in GAINS]
    assert summarise_planted(study, turned) == summarise_planted(study, rows_of_all_gains())


def test_nothing_is_said_where_nothing_was_planted(tmp_path):
    found = summarise_planted(tmp_path, [difference("llama", "tfidf", "los")])
    assert found == {}
    assert list(planted_lines({"planted": found, "models": []})) == []
    assert opening({"planted": found, "models": []}) == ""


def test_a_missing_comparison_is_named(study):
    with pytest.raises(DataError, match=r"expected llama\+placebo-frozen against llama on destination"):
        summarise_planted(study, [row for row in rows_of_all_gains() if "placebo" not in row["second"]])


def test_the_lines_give_both_models_and_the_gain(study):
    names = {name for gain in GAINS for name in (gain.adapted, gain.unadapted)}
    values = {"destination": [80.0, 70.0, 90.0], "control": [50.0, 40.0, 60.0]}
    models = [{"model": name, "label": name.upper(), "auroc": values} for name in sorted(names)]
    summary = {"planted": summarise_planted(study, rows_of_all_gains()), "models": models}
    text = "\n".join(planted_lines(summary))
    assert "The effect is planted." in text
    assert "| LLAMA+CLINICAL-FROZEN | discharge destination | 80.0 | 80.0 | +12.3 (-3.0 to +19.0) |" in text
    assert "coin (control) | 50.0 | 50.0 |" in text
    assert "expected to reach 89.9" in text
    first = opening(summary).replace("\n", " ")
    assert "from 80.0 to 80.0, a gain of +12.3 (95% interval -3.0 to +19.0). The effect is planted" in first
