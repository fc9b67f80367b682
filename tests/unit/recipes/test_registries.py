import subprocess
import sys
from typing import get_args

import pytest

from clinical_peft.errors import ConfigError
from clinical_peft.models.heads import float32_head
from clinical_peft.models.pooling import POOLINGS, find_pooling
from clinical_peft.recipes import FinetuneRecipe
from clinical_peft.recipes.families import FAMILIES, Family, find_family
from clinical_peft.recipes.kinds import KINDS, Kind, find_kind


def test_every_family_has_a_record_and_a_pooling():
    assert [*FAMILIES] == [*POOLINGS] == [*get_args(Family)]
    assert [*KINDS] == [*get_args(Kind)]


@pytest.mark.parametrize("find", [find_family, find_pooling])
def test_an_unknown_family_is_refused_with_the_known_ones(find):
    with pytest.raises(ConfigError, match="family: expected one of causal, encoder, found roberta"):
        find("roberta")


def test_an_unknown_kind_of_model_is_refused_by_name():
    with pytest.raises(ConfigError, match="kind: expected one of adapted, full, tfidf, found head"):
        find_kind("head")


def test_a_head_of_an_unknown_family_is_not_guessed():
    with pytest.raises(ConfigError, match="expected one of causal, encoder"):
        float32_head(object(), "roberta")


def test_kinds_of_models_name_keys_that_recipes_have():
    recipe = FinetuneRecipe(learning_rate=1.0)
    assert all(hasattr(recipe, key) for kind in KINDS.values() for key in kind.recipe_keys or ())


def test_heads_are_found_without_transformers():
    code = "import sys, clinical_peft.models.pooling; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
