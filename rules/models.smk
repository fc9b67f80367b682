"""What the jobs of bases, adapters, models and searches read, and their recipes."""

from clinical_peft.recipes.job_records import read_record
from clinical_peft.models.base_sources import files_to_watch
from clinical_peft.config import search_spaces as spaces


def source_of_base(wildcards):
    source = STUDY.bases[wildcards.base].source.model_dump(mode="json")
    recipe = {**source.get("recipe", {})}
    recipe.pop("checkpoint_seconds", None)
    return source | ({"recipe": recipe} if recipe else {})


def files_of_base(wildcards):
    """Files that a base is imported from, where it lies on this machine and in no package."""
    source = STUDY.bases[wildcards.base].source
    if source.kind not in ("local", "gguf") or source.package:
        return []
    found = files_to_watch(source.path) if source.kind == "local" else [source.path]
    return [str(path) for path in found]


def family_of_base(wildcards):
    return STUDY.bases[wildcards.base].family


def precision_of_base(wildcards):
    """Type in which weights are kept: that of adapter training; an encoder is small and stays exact."""
    causal = STUDY.bases[wildcards.base].family == "causal"
    precision = STUDY.pretraining.get("precision", "fp32") if causal else "fp32"
    return "bf16" if precision == "nf4" else precision


def context_of_tokens(wildcards):
    return experiments.token_context(STUDY, wildcards.base, wildcards.corpus)


def base_of_adapter(wildcards):
    return f"{ROOT}/bases/{STUDY.adapters[arms.plain(wildcards.adapter)].base}"


def tokens_of_adapter(wildcards):
    base = STUDY.adapters[arms.plain(wildcards.adapter)].base
    return f"{ROOT}/tokens/{base}/{arms.shards_of_adapter(STUDY, wildcards.adapter)}"


def general_text_of_adapter(wildcards):
    base = STUDY.adapters[arms.plain(wildcards.adapter)].base
    corpus = experiments.general_corpus(STUDY, base)
    return f"{ROOT}/notes/{corpus}.parquet" if corpus else []


def job_of_adapter(wildcards):
    return read_record(experiments.pretrain_job(STUDY, wildcards.adapter))


def base_of_model(wildcards):
    base = STUDY.models[arms.plain(wildcards.model)].base
    return f"{ROOT}/bases/{base}" if base else []


def bases_of_models(wildcards):
    """Bases whose tokenizers read the cohorts' notes."""
    used = {STUDY.models[name].base for name in STUDY.matrix.models} - {None}
    return [f"{ROOT}/bases/{base}" for base in sorted(used)]


def clinical_adapter_of_model(wildcards):
    clinical = arms.adapter_of_model(STUDY, wildcards.model)
    return f"{ROOT}/adapters/{clinical}" if clinical else []


def feature_set_of(wildcards):
    model, tasks = FEATURE_SETS[wildcards.features]
    return STUDY.models[model], experiments.pool_job(STUDY, model, tasks[0]), tasks


def base_of_features(wildcards):
    return f"{ROOT}/bases/{feature_set_of(wildcards)[0].base}"


def adapter_of_features(wildcards):
    clinical = feature_set_of(wildcards)[0].clinical
    return f"{ROOT}/adapters/{clinical}" if clinical else []


def cohorts_of_features(wildcards):
    return expand(f"{ROOT}/cohorts/{{task}}.parquet", task=feature_set_of(wildcards)[2])


def job_of_features(wildcards):
    return read_record(feature_set_of(wildcards)[1])


def threads_of_features(wildcards):
    return feature_set_of(wildcards)[1].threads


def features_of_model(wildcards):
    """Pooled features of a model that trains nothing but a head."""
    name = experiments.feature_set(STUDY, wildcards.model, wildcards.task)
    return f"{ROOT}/features/{name}.safetensors" if name else []


def finetune_job_of(wildcards):
    task = arms.plain(wildcards.task)
    return experiments.finetune_job(STUDY, wildcards.model, task)


def protocol_of_run(wildcards):
    return arms.protocol_of_run(STUDY, wildcards.model, wildcards.task)


def job_of_model(wildcards):
    return read_record(finetune_job_of(wildcards))


# Snakemake compares no parameter of a function that asks for threads or outputs: a job is not run again for the time
# between its checkpoints, nor because a seed is no longer asked for.


def checkpoint_seconds_of_base(wildcards, threads):
    source = experiments.scratch_source(STUDY, wildcards.base)
    return source.recipe.checkpoint_seconds if source else None


def checkpoint_seconds_of_adapter(wildcards, threads):
    return experiments.pretrain_job(STUDY, wildcards.adapter).recipe.checkpoint_seconds


def checkpoint_seconds_of_model(wildcards, threads):
    return finetune_job_of(wildcards).recipe.checkpoint_seconds


def seeds_of_outputs(wildcards, output):
    return SEEDS


def threads_of_adapter(wildcards):
    recipe = experiments.pretrain_job(STUDY, wildcards.adapter).recipe
    return recipe.devices.processes * recipe.threads


def threads_of_adapter_trial(wildcards):
    """A trial is trained by one process."""
    return experiments.pretrain_job(STUDY, wildcards.adapter).recipe.threads


def threads_of_model(wildcards):
    return finetune_job_of(wildcards).recipe.threads


def threads_of_base(wildcards):
    source = experiments.scratch_source(STUDY, wildcards.base)
    return source.recipe.threads if source else 1


# --- searches ----------------------------------------------------------------------------------------------------


def planned_search(path):
    if path not in SEARCHES:
        raise WorkflowError(f"study {STUDY.study}: searches no recipe for {path}")
    return SEARCHES[path]


def search_of_model(wildcards):
    return spaces.as_record(planned_search(f"{wildcards.model}/{wildcards.task}"))


def search_of_adapter(wildcards):
    return spaces.as_record(planned_search(f"adapters/{wildcards.adapter}"))


def workers_of_search(path):
    workers = range(planned_search(path).planned_workers)
    return [f"{ROOT}/search/{path}/worker{worker}.json" for worker in workers]


def workers_of_model(wildcards):
    return workers_of_search(f"{wildcards.model}/{wildcards.task}")


def workers_of_adapter(wildcards):
    return workers_of_search(f"adapters/{wildcards.adapter}")


def best_recipe(path):
    return f"{ROOT}/search/{path}.json" if path in SEARCHES else []


def best_recipe_of_model(wildcards):
    model, task = arms.plain(wildcards.model), arms.plain(wildcards.task)
    return best_recipe(f"{model}/{task}")


def best_recipe_of_adapter(wildcards):
    return best_recipe(f"adapters/{arms.plain(wildcards.adapter)}")


def best_recipes_in_use():
    return [
        f"{ROOT}/search/{path}.{suffix}"
        for path in SEARCHES
        for suffix in ("json", "csv")
    ]


def run_logs_of_searches():
    return [
        f"{ROOT}/runs/search/{path}/worker{worker}"
        for path, search in SEARCHES.items()
        for worker in range(search.planned_workers)
    ]
