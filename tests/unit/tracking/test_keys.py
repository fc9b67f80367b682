"""Keys of user-named tasks and classes in MLflow: taken by it, and as different as they were."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from clinical_peft.tracking.keys import LONGEST_KEY, key_name, unique_names
from clinical_peft.tracking.run_logs import flat_params

KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=300)


@settings(max_examples=150, deadline=None)
@given(KEYS)
@example("a//b")
@example("../a")
@example("/a/")
@example("./.")
@example("...")
@example("a" * 251)
@example("los/auroc")
def test_every_name_is_one_that_mlflow_takes(key):
    _validate_metric_name(key_name(key))
    _validate_param_name(key_name(key))
    assert len(key_name(key)) <= LONGEST_KEY


@settings(max_examples=100, deadline=None)
@given(st.sets(st.text("a_$%/", min_size=1, max_size=3), max_size=30))
@example({"50%", "50$", "50_"})
def test_different_keys_have_different_names(keys):
    names = unique_names(keys)
    assert len({*names.values()}) == len(keys)
    for name in names.values():
        _validate_metric_name(name)


def test_a_key_that_mlflow_takes_stays_as_it_is():
    assert unique_names(["los/auroc", "interval.0", "a b-c_d"]) == {
        key: key for key in ("los/auroc", "interval.0", "a b-c_d")
    }
    assert unique_names(["a:b"]) == {"a:b": "a_b"}


def test_parameters_of_keys_alike_are_all_kept():
    assert {key.partition("_")[0]: value for key, value in flat_params({"a:": 1, "b": {"c%": 2}})} == {
        "a": "1",
        "b.c": "2",
    }
    found = dict(flat_params({"a:b": 1, "a;b": 2, "a_b": 3}))
    assert found["a_b"] == "3"
    assert sorted(found.values()) == ["1", "2", "3"]
