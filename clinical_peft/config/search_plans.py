"""From a study's section `search` to the searches of its models and adapters."""

from dataclasses import asdict, fields

from pydantic import TypeAdapter, ValidationError

from clinical_peft.config.search import AdapterSearch, Domain, IntervalEntry, Space
from clinical_peft.config.search_spaces import (
    NOT_SEARCHED,
    PERPLEXITY,
    SHARED_BY_TRIALS,
    Choices,
    Interval,
    Job,
    Point,
    Search,
    apply_point,
    searchable,
)
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.methods import METHODS
from clinical_peft.recipes import FinetuneJob, FinetuneRecipe, LanguageRecipe
from clinical_peft.recipes.kinds import find_kind


def model_search(study: Study, model: str, task: str) -> Search | None:
    """The search for a model's recipe on a task, or None where the study asks for none."""
    entry = study.search.models.get(model)
    if entry is None or (entry.tasks is not None and task not in entry.tasks):
        return None
    return _search(study, entry, f"search.models.{model}", f"validation_{study.evaluation.metric}")


def adapter_search(study: Study, adapter: str) -> Search | None:
    """The search for an adapter's recipe, or None where the study asks for none."""
    entry = study.search.adapters.get(adapter)
    return _search(study, entry, f"search.adapters.{adapter}", PERPLEXITY) if entry else None


def _search(study: Study, entry: AdapterSearch, place: str, metric: str) -> Search:
    space = study.search.spaces[entry.space]
    search = Search(
        space=entry.space,
        parameters=_parameters(entry.space, space),
        sampler=entry.sampler or space.sampler,
        pruner=entry.pruner or study.search.pruner,
        trials=entry.trials or space.trials,
        seed=study.search.seed,
        workers=entry.workers or study.search.workers,
        metric=metric,
    )
    if search.sampler == "grid" and search.points is None:
        raise ConfigError(f"config: {place}: a grid needs lists of values, found an interval in space {entry.space}")
    return search


def _parameters(name: str, space: Space) -> dict[str, Choices | Interval]:
    named = {f"settings.{key}": domain for key, domain in space.settings.items()}
    named |= {f"recipe.{key}": domain for key, domain in space.recipe.items()}
    if not named:
        raise ConfigError(f"config: search.spaces.{name}: expected a parameter in settings or recipe, found none")
    return {key: _domain(f"search.spaces.{name}.{key}", domain) for key, domain in named.items()}


def _domain(place: str, domain: Domain) -> Choices | Interval:
    try:
        if isinstance(domain, IntervalEntry):
            return Interval(**domain.model_dump())
    except ValueError as error:
        raise ConfigError(f"config: {place}: {error}") from None
    if len({(type(value), value) for value in domain}) < len(domain):
        raise ConfigError(f"config: {place}: lists a value twice; list each once")
    return Choices(values=tuple(domain))


def check_spaces(study: Study) -> None:
    """Check every space of the registry, those that nothing uses too.

    Raises:
        ConfigError: A space is empty, or names a parameter that no job has.
    """
    methods = {field.name for method in METHODS.values() for field in fields(method)} - NOT_SEARCHED
    recipes = {field.name for recipe in (LanguageRecipe, FinetuneRecipe) for field in fields(recipe)}
    known = {"settings": methods, "recipe": recipes - SHARED_BY_TRIALS}
    for name, space in study.search.spaces.items():
        for parameter in _parameters(name, space):
            part, key = parameter.split(".")
            if key not in known[part]:
                raise ConfigError(
                    f"config: search.spaces.{name}.{parameter}: unknown parameter; expected one of "
                    f"{', '.join(sorted(known[part]))}"
                )


def check_search(search: Search, job: Job, place: str) -> None:
    """Check that every value of a space fits a job, so that a wrong one is found before any job starts.

    Args:
        search: The search.
        job: The resolved job that it completes.
        place: How messages call it, such as `search.models.llama`.

    Raises:
        ConfigError: The job has nothing that can be searched, lacks a parameter of the space, or a value is wrong.
    """
    where = f"config: {place} (space {search.space})"
    if isinstance(job, FinetuneJob):
        _check_model(search, job, where)
    known = searchable(job)
    for name, domain in search.parameters.items():
        if name not in known:
            raise ConfigError(f"{where}: {name} is not a parameter here; expected one of {', '.join(known)}")
        values = domain.values if isinstance(domain, Choices) else (domain.low, domain.high)
        for value in values:
            _check_value(job, {name: value}, where)


def _check_model(search: Search, job: FinetuneJob, where: str) -> None:
    if not find_kind(job.kind).has_network:
        raise ConfigError(f"{where}: {job.model} is a {job.kind} model, which has no recipe to search")
    measured = f"validation_{job.recipe.compared}"
    if search.metric != measured:
        raise ConfigError(
            f"{where}: {job.model} measures {measured} by its recipe.selection, and evaluation.metric asks for "
            f"{search.metric}; remove recipe.selection"
        )
    settings = [name for name in search.parameters if name.startswith("settings.")]
    if job.task_method is None and settings:
        raise ConfigError(
            f"{where}: {job.model} has no task adapter, whose {', '.join(settings)} could be searched; choose a space "
            "over recipe alone or a model with task_method"
        )


def _check_value(job: Job, point: Point, where: str) -> None:
    ((name, value),) = point.items()
    try:
        # Types are checked as those of a configured job are.
        TypeAdapter(type(job)).validate_python(asdict(apply_point(job, point)))
    except ValidationError as error:
        raise ConfigError(f"{where}: {name} = {value!r}: {error.errors()[0]['msg']}") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {name} = {value!r}: {error}") from None
