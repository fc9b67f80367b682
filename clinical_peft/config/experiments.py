"""The experiment matrix: from a study to its jobs. Pure functions, no files."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from clinical_peft.config import search_plans as plans
from clinical_peft.config.ablations import adapter_of_model, check_gaps, plain, size_of, switch_of, switches_under
from clinical_peft.config.defaults import BUILT_IN, MEASURING, finetuning_defaults, pretraining_defaults
from clinical_peft.config.layers import resolve
from clinical_peft.config.search_spaces import Search
from clinical_peft.config.sections import Model, Partial, ScratchSource
from clinical_peft.config.selected_adapters import adapters_in_use as adapters_in_use
from clinical_peft.config.selected_adapters import adapters_on_notes, selected_adapters
from clinical_peft.config.study import Study, parse_study
from clinical_peft.errors import ConfigError
from clinical_peft.methods import Method
from clinical_peft.recipes import FinetuneJob, FinetuneRecipe, LanguageRecipe, MeasureJob, PoolJob, PretrainJob
from clinical_peft.recipes.families import find_family
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.recipes.switches import TRAINING_SWITCHES, switch_on
from clinical_peft.sources import find_source


def pretrain_job(study: Study, adapter: str) -> PretrainJob:
    """Resolve an adapter's recipe: default, then method, then adapter; its name may carry a switch."""
    entry = study.adapters[plain(adapter)]
    method = study.method_of(plain(adapter))
    recipe = resolve(LanguageRecipe, f"adapters.{plain(adapter)}.recipe", pretrain_layers(study, adapter))
    try:
        return PretrainJob(
            adapter=adapter,
            method=method.settings,
            recipe=recipe,
            seed=study.seed,
            split_salt=token_salt(study, entry.corpus),
            general_salt=study.data.split_salt,
            switches=_training_switches(study, adapter),
        )
    except ValueError as error:
        raise ConfigError(f"config: adapters.{adapter} (method {entry.method}): {error}") from None


def pretrain_layers(study: Study, adapter: str) -> dict[str, Partial]:
    """What each place of the study says of an adapter's recipe, the default first and the narrowest last."""
    entry = study.adapters[plain(adapter)]
    method = study.method_of(plain(adapter))
    return {
        BUILT_IN: pretraining_defaults(method.settings),
        "pretraining": study.pretraining,
        f"methods.{entry.method}.recipe": method.recipe,
        f"adapters.{plain(adapter)}.recipe": entry.recipe,
    }


def measure_job(study: Study, adapter: str) -> MeasureJob:
    """Resolve how the perplexity of an adapter that exists already is measured."""
    read = {key: value for key, value in study.pretraining.items() if key in MEASURING}
    layers = {BUILT_IN: pretraining_defaults(None), "pretraining": read}
    return MeasureJob(
        adapter=adapter,
        recipe=resolve(LanguageRecipe, "pretraining", layers),
        seed=study.seed,
        split_salt=token_salt(study, study.adapters[adapter].corpus),
        general_salt=study.data.split_salt,
        switches=_training_switches(study, adapter),
    )


def recipe_on_notes(study: Study, adapter: str) -> LanguageRecipe:
    """How an adapter reads the notes of its corpus, in training or to be measured; its name may carry a switch."""
    is_measured = study.adapters[plain(adapter)].is_measured
    return (measure_job if is_measured else pretrain_job)(study, adapter).recipe


def general_corpus(study: Study, base: str) -> str | None:
    """Name the corpus of general text for a base's adapters; None where a study of real weights gives none."""
    if study.data.general_corpus is not None:
        return study.data.general_corpus
    return "general" if scratch_source(study, base) else None


def token_salt(study: Study, corpus: str) -> str:
    """Salt of a corpus's own split into notes to train on and notes to measure perplexity with.

    It is the salt of the cohorts' hash split, so that a patient stays in one split everywhere. The two corpora of
    contamination mode `disjoint` get another: by the cohorts' salt, the disjoint one would have hardly a note to
    measure with, and the matched one would train on no held-out patient, and so be filtered too. So does an own table,
    whose corpus is its training notes alone.
    """
    salt = study.data.split_salt
    return f"{salt}:pretraining" if plain(corpus) in (*study.paired_corpora, *study.data.tables) else salt


def finetune_job(study: Study, model: str, task: str) -> FinetuneJob:
    """Resolve a model's recipe on a task: default, then task, then model, then the model's own for this task.

    The model's name may carry a switch or a training size.
    """
    entry = study.models[plain(model)]
    place = f"models.{plain(model)}.recipe (task {task})"
    recipe = resolve(FinetuneRecipe, place, finetune_layers(study, model, task))
    switches = _training_switches(study, model)
    family = study.bases[entry.base].family if entry.base else None
    if family is None or not find_family(family).is_decoder or switch_on(switches, "pool_last_position"):
        recipe = replace(recipe, pooling=FinetuneRecipe.pooling)  # these pool in a way of their own
    return FinetuneJob(
        model=model,
        task=task,
        kind=entry.kind,
        family=family,
        clinical=adapter_of_model(study, model),
        clinical_mode=entry.clinical_mode,
        task_method=_task_method(study, entry.task_method, task),
        recipe=recipe,
        switches=switches,
        task_type=study.own_tasks[task].type if task in study.own_tasks else None,
        train_size=size_of(model),
        clinical_method=_method_trained_further(study, entry),
    )


def finetune_layers(study: Study, model: str, task: str) -> dict[str, Partial]:
    """What each place of the study says of a model's recipe on a task, the default first and the narrowest last."""
    entry = study.models[plain(model)]
    place = f"models.{plain(model)}"
    return {
        BUILT_IN: finetuning_defaults(find_kind(entry.kind)),
        "finetuning": {"selection": study.evaluation.metric, **study.finetuning},
        f"tasks.{task}.recipe": study.tasks[task].recipe,
        f"{place}.recipe": entry.recipe,
        f"{place}.task_recipes.{task}": entry.task_recipes.get(task, {}),
    }


def pool_job(study: Study, model: str, task: str) -> PoolJob | None:
    """The job that pools the notes of a run's cohort, or None where a run trains more than a head.

    Only what decides the features comes from the run; the rest is the same for all, so that equal features have
    equal jobs. An encoder's features are left out: its pooler may be drawn anew for every seed.
    """
    job = finetune_job(study, model, task)
    if job.family is None or not find_family(job.family).shares_features:
        return None
    if find_kind(job.kind).trains_every_weight or job.task_method or job.clinical_mode == "trainable":
        return None
    defaults = finetuning_defaults(find_kind(job.kind))
    shared = resolve(FinetuneRecipe, "finetuning", {BUILT_IN: defaults, "finetuning": study.finetuning})
    return PoolJob(
        family=job.family,
        clinical=job.clinical,
        clinical_mode=job.clinical_mode if job.clinical else None,
        context=job.recipe.context,
        micro_batch_size=shared.micro_batch_size,
        precision=job.recipe.precision,
        threads=shared.threads,
        switches=job.switches,
        pooling=job.recipe.pooling,
    )


def feature_set(study: Study, model: str, task: str) -> str | None:
    """Name of the pooled features that a run reads, or None where it computes its own.

    Runs that read the same features name the same set: base, clinical adapter, context, precision and pooling. Training
    sizes share one. The notes of tasks that the matrix does not select are not pooled, nor is anything under a switch.
    """
    selected = not (switch_of(model) or switch_of(task)) and task in _tasks_of(study, plain(model))
    job = pool_job(study, plain(model), task) if selected else None
    if job is None:
        return None
    adapter = f"+{job.clinical}-{job.clinical_mode}" if job.clinical else ""
    pooling = "" if job.pooling == PoolJob.pooling else f"-{job.pooling}"
    return f"{study.models[plain(model)].base}{adapter}-{job.context}-{job.precision}{pooling}"


def feature_sets(study: Study) -> dict[str, tuple[str, list[str]]]:
    """Every set of pooled features that the registry's models can read: one of them, and the tasks that need it."""
    sets: dict[str, tuple[str, list[str]]] = {}
    for model in study.models:
        for task in _tasks_of(study, model):
            name = feature_set(study, model, task)
            if name is not None:
                tasks = sets.setdefault(name, (model, []))[1]
                tasks += [] if task in tasks else [task]
    return sets


def _task_method(study: Study, name: str | None, task: str) -> Method | None:
    if name is None:
        return None
    place = f"tasks.{task}.task_adapter"
    settings = study.methods[name].settings
    layers = {f"methods.{name}.settings": asdict(settings), place: study.tasks[task].task_adapter}
    return resolve(type(settings), place, layers)


def _method_trained_further(study: Study, model: Model) -> Method | None:
    """Method of a clinical adapter that is trained on a task with several learning rates; None for one rate."""
    if model.clinical is None or model.clinical_mode != "trainable" or study.adapters[model.clinical].path is not None:
        return None
    method = study.method_of(model.clinical).settings
    return method if method.has_several_rates else None


def _training_switches(study: Study, name: str) -> dict[str, bool]:
    return {switch: value for switch, value in switches_under(study, name).items() if switch in TRAINING_SWITCHES}


def check_recipes(study: Study) -> None:
    """Resolve every recipe of the registries, so that a wrong one is found before any job starts.

    Raises:
        ConfigError: A recipe has an unknown key or a value outside its range.
    """
    # A method that no adapter uses is resolved nowhere, but a misspelt key in it is one all the same.
    known = {field.name for field in fields(LanguageRecipe)}
    for name, method in study.methods.items():
        for key in sorted(method.recipe.keys() - known):
            raise ConfigError(f"config: unknown key methods.{name}.recipe.{key}; remove it or correct its spelling")
    for adapter in study.adapters.values():
        if adapter.reads_notes:
            token_context(study, adapter.base, adapter.corpus)
    for model in study.models:
        for task in study.tasks:
            finetune_job(study, model, task)


def check_searches(study: Study) -> None:
    """Check every search space, and those in use against the jobs that they complete.

    Raises:
        ConfigError: See `clinical_peft.config.search_plans`.
    """
    plans.check_spaces(study)
    for adapter in study.search.adapters:
        adapter_search = plans.adapter_search(study, adapter)
        if adapter_search is not None:
            plans.check_search(adapter_search, pretrain_job(study, adapter), f"search.adapters.{adapter}")
    for model in study.search.models:
        for task in study.tasks:
            model_search = plans.model_search(study, model, task)
            if model_search is not None:
                plans.check_search(model_search, finetune_job(study, model, task), f"search.models.{model}")


def token_context(study: Study, base: str, corpus: str) -> int:
    """Block length of a corpus tokenised for a base: the context that all adapters of the two agree on.

    The corpus' name may carry a switch.

    Raises:
        ConfigError: They differ; adapters of one base and corpus share their token shards.
    """
    contexts = {
        recipe_on_notes(study, name).context
        for name, adapter in study.adapters.items()
        if adapter.reads_notes and (adapter.base, adapter.corpus) == (base, plain(corpus))
    }
    if len(contexts) > 1:
        found = ", ".join(map(str, sorted(contexts)))
        raise ConfigError(
            f"config: adapters of base {base!r} on corpus {corpus!r} differ in context ({found}); give them one"
        )
    return contexts.pop() if contexts else LanguageRecipe(learning_rate=1.0).context


def longest_reading(study: Study, base: str) -> int | None:
    """Most positions of a base that the study's adapters and runs in use read at once; None if none reads it."""
    found = []
    for name in adapters_on_notes(study):
        if study.adapters[name].base == base:
            method = None if study.adapters[name].is_measured else study.method_of(name).settings
            found.append(recipe_on_notes(study, name).context + (method.virtual_tokens if method else 0))
    found += [
        finetune_job(study, model, task).recipe.context
        for model, task in runs_in_use(study)
        if study.models[plain(model)].base == base
    ]
    return max(found, default=None)


def load_study(config: Mapping[str, Any]) -> Study:
    """Validate a configuration and every recipe in it.

    Raises:
        ConfigError: See `clinical_peft.config.study.parse_study`, `check_recipes`, `check_methods`, `check_searches`,
            `check_contamination` and `clinical_peft.config.ablations.check_gaps`.
    """
    study = parse_study(config)
    check_recipes(study)
    check_methods(study)
    check_searches(study)
    check_gaps(study)
    check_contamination(study)
    return study


def check_methods(study: Study) -> None:
    """Refuse jobs that a base in four bits, or a study without general text, makes impossible.

    Raises:
        ConfigError: A job in use trains or changes the matrices of a base with precision nf4, or replays text that the
            study does not have.
    """
    for name in adapters_in_use(study):
        job = pretrain_job(study, name)
        if job.recipe.precision == "nf4" and not job.method.can.four_bits:
            raise ConfigError(f"config: adapters.{name}: {job.method.title} cannot train a base in nf4; use bf16")
        if job.recipe.replay and general_corpus(study, study.adapters[name].base) is None:
            raise ConfigError(
                f"config: adapters.{name}: recipe.replay needs general text; set data.general_corpus, or replay to 0"
            )
    for model, task in runs_in_use(study):
        run = finetune_job(study, model, task)
        if run.recipe.precision == "nf4" and run.task_method is not None and not run.task_method.can.four_bits:
            raise ConfigError(f"config: models.{model}: {run.task_method.title} cannot train a base in nf4; use bf16")
        whole = find_kind(run.kind).trains_every_weight or run.clinical_mode == "merged"
        if whole and run.recipe.precision == "nf4":
            raise ConfigError(
                f"config: models.{model}: precision nf4 holds matrices that are neither trained nor merged into; set "
                "recipe.precision of this model to bf16"
            )


def check_contamination(study: Study) -> None:
    """Refuse corpora that contradict the contamination mode.

    Raises:
        ConfigError: An adapter in use is trained on a corpus that the mode leaves no room for, or the mode asks for
            tasks and the study has none.
    """
    mode = study.contamination
    if mode == "paper":
        return
    if mode == "disjoint" and not study.hospital_tasks:
        raise ConfigError(
            "config: matrix.tasks: contamination disjoint leaves the held-out patients of a hospital's tasks out of "
            "its notes, found no such task; add one, or set contamination to paper (an own table's corpus holds "
            "training patients alone in every mode)"
        )
    of_hospital = study.paired_corpora or (str(find_source(study.cohorts.source).carevue_absent_from),)
    allowed = (*of_hospital, *study.data.tables)
    for name in adapters_in_use(study):
        corpus = study.adapters[name].corpus
        if corpus not in allowed:
            raise ConfigError(
                f"config: adapters.{name}.corpus: expected {' or '.join(allowed)} with contamination {mode}, "
                f"found {corpus}"
            )


def runs_in_use(study: Study) -> list[tuple[str, str]]:
    """Model and task of every fine-tuning on whole training splits that the matrix selects, model by model."""
    return [(model, task) for model in study.matrix.models for task in _tasks_of(study, model)]


def feature_sets_in_use(study: Study) -> list[str]:
    """Sets of pooled features that the selected runs read, each once."""
    names = (feature_set(study, model, task) for model, task in runs_in_use(study))
    return list(dict.fromkeys(name for name in names if name is not None))


def _tasks_of(study: Study, model: str) -> list[str]:
    """Tasks of the matrix that a model may run."""
    allowed = {task: study.tasks[task].models for task in study.matrix.tasks}
    return [task for task, models in allowed.items() if models is None or model in models]


def searches_in_use(study: Study) -> dict[str, Search]:
    """Searches that the selected jobs need, by `{model}/{task}` or `adapters/{adapter}`."""
    found = {f"adapters/{name}": plans.adapter_search(study, name) for name in adapters_in_use(study)}
    found |= {f"{model}/{task}": plans.model_search(study, model, task) for model, task in runs_in_use(study)}
    return {path: search for path, search in found.items() if search is not None}


def bases_in_use(study: Study) -> list[str]:
    """Bases that a selected adapter or model needs, each once."""
    bases = [study.adapters[adapter].base for adapter in selected_adapters(study)]
    bases += [base for model in study.matrix.models if (base := study.models[model].base) is not None]
    return list(dict.fromkeys(bases))


def real_bases_in_use(study: Study) -> list[str]:
    """Bases in use whose weights come from outside the workflow."""
    return [base for base in bases_in_use(study) if base in study.real_bases]


def corpora_in_use(study: Study) -> list[str]:
    """Corpora that a selected adapter is trained or measured on, each once."""
    return list(dict.fromkeys(study.adapters[adapter].corpus for adapter in adapters_on_notes(study)))


def scratch_source(study: Study, base: str) -> ScratchSource | None:
    """The source of a base that the workflow trains, or None for real weights."""
    source = study.bases[base].source
    return source if isinstance(source, ScratchSource) else None
