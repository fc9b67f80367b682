"""The section `search`: spaces as data, and what is searched."""

from typing import Annotated

from pydantic import Field

from clinical_peft.config.search_spaces import Pruner, Sampler, Value
from clinical_peft.config.sections import Name, Section, Seed, TaskName


class IntervalEntry(Section):
    """Any value between two ends; whole numbers where both ends are."""

    low: int | float
    high: int | float
    log: bool = Field(False, description="draw on a logarithmic scale")


Domain = Annotated[list[Value], Field(min_length=1)] | IntervalEntry


class Space(Section):
    """What a trial may choose, and how by default."""

    settings: dict[str, Domain] = Field(
        {}, description="settings of the PEFT method: of an adapter, or a model's task adapter"
    )
    recipe: dict[str, Domain] = Field({}, description="keys of the training recipe")
    sampler: Sampler = Field(
        "tpe", description="tpe learns from finished trials; grid takes the points in a drawn order"
    )
    trials: int = Field(20, ge=1, description="trials at most, pruned and failed ones included")


class AdapterSearch(Section):
    """A search for an adapter's recipe, by validation perplexity."""

    space: Name
    trials: int | None = Field(None, ge=1, description="in place of the space's")
    sampler: Sampler | None = Field(None, description="in place of the space's")
    pruner: Pruner | None = Field(None, description="in place of `search.pruner`")
    workers: int | None = Field(None, ge=1, description="in place of `search.workers`")


class ModelSearch(AdapterSearch):
    """A search for a model's recipe on each of some tasks, by validation AUROC."""

    tasks: list[TaskName] | None = Field(
        None, description="tasks whose recipes are searched; null means all that it runs"
    )


class SearchSection(Section):
    """Hyperparameter search; nothing is searched unless `models` or `adapters` name it."""

    spaces: dict[Name, Space] = Field({})
    pruner: Pruner = Field("median", description="median ends a trial that is behind half of the completed ones")
    seed: Seed = Field(0, description="seed of the samplers, and of the fine-tuning of every trial")
    workers: int = Field(1, ge=1, description="jobs that share the trials of one search")
    models: dict[Name, ModelSearch] = Field({})
    adapters: dict[Name, AdapterSearch] = Field({})
