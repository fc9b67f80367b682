"""The validated study, wildcard domains, and the named helpers that rules use."""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(workflow.basedir))

from clinical_peft import experiments
from clinical_peft.errors import ClinicalPeftError
from clinical_peft.privacy import protect_process
from clinical_peft.provenance import git_revision
from clinical_peft.signals import ignore_notice
from clinical_peft.search import spaces

protect_process()
ignore_notice()


def load_study():
    try:
        return experiments.load_study(config)
    except ClinicalPeftError as error:
        raise WorkflowError(str(error)) from None


STUDY = load_study()
ROOT = f"results/{STUDY.study}"
SEEDS = STUDY.matrix.seeds
SYNTHETIC_FOLDER = f"{ROOT}/hospital"
MIMIC_CORPORA = ["mimic-iv", "mimic-iii", "combined"]
SCRATCH_BASES = [
    base for base in STUDY.bases if experiments.scratch_source(STUDY, base)
]
REAL_BASES = STUDY.real_bases
FEATURE_SETS = experiments.feature_sets(STUDY)
SEARCHES = experiments.searches_in_use(STUDY)
TABLE_NAMES = [
    "dataset_statistics",
    "domain_adaptation",
    "downstream_main",
    "downstream_lora_baselines",
    "cohort_details",
    "text_lengths",
    "attrition",
    "cost",
    "uncertainty",
    "calibration",
    "subgroups",
]
TABLE_TITLES = {
    "main": "Main comparison (Table 3)",
    "lora_baselines": "Encoders with LoRA (Table 4)",
}
TABLE_FORMATS = ["csv", "md", "tex", "html"]


def one_of(names):
    return "|".join(re.escape(name) for name in names) or "none"


wildcard_constraints:
    corpus=one_of(STUDY.corpora),
    task=one_of(STUDY.tasks),
    base=one_of(STUDY.bases),
    adapter=one_of(STUDY.adapters),
    model=one_of(STUDY.models),
    seed=r"\d+",
    features=one_of(FEATURE_SETS),
    worker=r"\d+",


# --- models ------------------------------------------------------------------------------------------------------


def source_of_base(wildcards):
    return STUDY.bases[wildcards.base].source.model_dump(mode="json")


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
    return f"{ROOT}/bases/{STUDY.adapters[wildcards.adapter].base}"


def tokens_of_adapter(wildcards):
    adapter = STUDY.adapters[wildcards.adapter]
    return f"{ROOT}/tokens/{adapter.base}/{adapter.corpus}"


def general_text_of_adapter(wildcards):
    corpus = experiments.general_corpus(STUDY, STUDY.adapters[wildcards.adapter].base)
    return f"{ROOT}/notes/{corpus}.parquet" if corpus else []


def job_of_adapter(wildcards):
    return experiments.as_record(experiments.pretrain_job(STUDY, wildcards.adapter))


def base_of_model(wildcards):
    base = STUDY.models[wildcards.model].base
    return f"{ROOT}/bases/{base}" if base else []


def bases_of_models(wildcards):
    """Bases whose tokenizers read the cohorts' notes."""
    used = {STUDY.models[name].base for name in STUDY.matrix.models} - {None}
    return [f"{ROOT}/bases/{base}" for base in sorted(used)]


def clinical_adapter_of_model(wildcards):
    clinical = STUDY.models[wildcards.model].clinical
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
    return experiments.as_record(feature_set_of(wildcards)[1])


def threads_of_features(wildcards):
    return feature_set_of(wildcards)[1].threads


def features_of_model(wildcards):
    """Pooled features of a model that trains nothing but a head."""
    name = experiments.feature_set(STUDY, wildcards.model, wildcards.task)
    return f"{ROOT}/features/{name}.safetensors" if name else []


def job_of_model(wildcards):
    return experiments.as_record(
        experiments.finetune_job(STUDY, wildcards.model, wildcards.task)
    )


def threads_of_adapter(wildcards):
    recipe = experiments.pretrain_job(STUDY, wildcards.adapter).recipe
    return recipe.devices.processes * recipe.threads


def threads_of_adapter_trial(wildcards):
    """A trial is trained by one process."""
    return experiments.pretrain_job(STUDY, wildcards.adapter).recipe.threads


def threads_of_model(wildcards):
    return experiments.finetune_job(
        STUDY, wildcards.model, wildcards.task
    ).recipe.threads


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
    return best_recipe(f"{wildcards.model}/{wildcards.task}")


def best_recipe_of_adapter(wildcards):
    return best_recipe(f"adapters/{wildcards.adapter}")


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


# --- what a study asks for ---------------------------------------------------------------------------------------


def cohorts_in_use():
    return expand(f"{ROOT}/cohorts/{{task}}.parquet", task=STUDY.matrix.tasks)


def notes_in_use():
    return expand(
        f"{ROOT}/notes/{{corpus}}.parquet", corpus=experiments.corpora_in_use(STUDY)
    )


def carevue_in_use():
    if STUDY.contamination != "carevue":
        return []
    return [f"{ROOT}/cohorts/carevue.parquet", f"{ROOT}/cohorts/carevue.json"]


def subgroups_in_use(wildcards=None):
    runs = experiments.runs_in_use(STUDY)
    return f"{ROOT}/cohorts/subgroups.parquet" if runs else []


def perplexities_in_use(wildcards=None):
    return expand(
        f"{ROOT}/perplexity/{{adapter}}.json",
        adapter=experiments.adapters_in_use(STUDY),
    )


def predictions_in_use(wildcards=None):
    return per_run("predictions", "parquet")


def metrics_in_use(wildcards=None):
    return per_run("metrics", "json")


def per_run(folder, suffix):
    return [
        f"{ROOT}/{folder}/{model}/{task}/seed{seed}.{suffix}"
        for model, task in experiments.runs_in_use(STUDY)
        for seed in SEEDS
    ]


def replicates_in_use(wildcards=None):
    return per_run("replicates", "parquet")


def training_records_in_use(wildcards=None):
    return per_run("training", "json")


def pooled_records_in_use(wildcards=None):
    return expand(
        f"{ROOT}/features/{{features}}.json",
        features=experiments.feature_sets_in_use(STUDY),
    )


def features_in_use(wildcards=None):
    return expand(
        f"{ROOT}/features/{{features}}.safetensors",
        features=experiments.feature_sets_in_use(STUDY),
    )


def adapter_folders_in_use(wildcards=None):
    return expand(
        f"{ROOT}/adapters/{{adapter}}", adapter=experiments.adapters_in_use(STUDY)
    )


def cards_in_use(wildcards=None):
    return expand(
        f"{ROOT}/cards/{{adapter}}.md", adapter=experiments.adapters_in_use(STUDY)
    )


def classes_in_use(wildcards=None):
    return expand(f"{ROOT}/cohorts/{{task}}.classes.json", task=STUDY.matrix.tasks)


def classes_by_task():
    return {task: f"{ROOT}/cohorts/{task}.classes.json" for task in STUDY.matrix.tasks}


def attrition_in_use(wildcards=None):
    return expand(f"{ROOT}/cohorts/{{task}}.attrition.json", task=STUDY.matrix.tasks)


def run_logs_in_use(wildcards=None):
    """Run logs of every job that computes, so that each becomes an MLflow run."""
    runs = f"{ROOT}/runs"
    adapters = experiments.adapters_in_use(STUDY)
    scratch = [
        base for base in experiments.bases_in_use(STUDY) if base in SCRATCH_BASES
    ]
    tokens = {
        (STUDY.adapters[name].base, STUDY.adapters[name].corpus) for name in adapters
    }
    return [
        *expand(
            f"{runs}/notes/{{corpus}}.jsonl", corpus=experiments.corpora_in_use(STUDY)
        ),
        *expand(f"{runs}/cohorts/{{task}}.jsonl", task=STUDY.matrix.tasks),
        *expand(f"{runs}/bases/{{base}}.jsonl", base=scratch),
        *sorted(f"{runs}/tokens/{base}/{corpus}.jsonl" for base, corpus in tokens),
        *expand(f"{runs}/adapters/{{adapter}}.jsonl", adapter=adapters),
        *expand(
            f"{runs}/features/{{features}}.jsonl",
            features=experiments.feature_sets_in_use(STUDY),
        ),
        *per_run("runs/models", "jsonl"),
        *run_logs_of_searches(),
    ]


def real_bases_in_use():
    return expand(f"{ROOT}/bases/{{base}}", base=experiments.real_bases_in_use(STUDY))


# --- tables and report -------------------------------------------------------------------------------------------


def labels_of_study():
    """How models and adapters are called in print, in the order of the matrix, and their published rows."""
    labels = {}
    for name in STUDY.matrix.models:
        model = STUDY.models[name]
        labels[name] = {
            "label": model.label,
            "table": model.table,
            "published": model.published,
        }
    for name in experiments.adapters_in_use(STUDY):
        adapter = STUDY.adapters[name]
        base, method = STUDY.bases[adapter.base], STUDY.methods[adapter.method]
        published = base.published and method.published
        labels[name] = {
            "label": f"{base.label}: {method.label}",
            "published": f"{base.published}/{method.published}" if published else None,
        }
    return labels


def models_by_table():
    groups = {}
    for name in STUDY.matrix.models:
        groups.setdefault(TABLE_TITLES[STUDY.models[name].table], []).append(name)
    return groups


def description_of_study():
    return {
        "study": STUDY.study,
        "protocol": STUDY.protocol,
        "contamination": STUDY.contamination,
        "split": str(STUDY.data.splits),
        "cohorts": STUDY.cohorts.source,
        "synthetic": experiments.reads_synthetic_notes(STUDY),
        "switches": STUDY.resolved_switches,
    }


def hospital_provenance():
    synthetic = experiments.reads_synthetic_notes(STUDY)
    return f"{SYNTHETIC_FOLDER}/PROVENANCE.json" if synthetic else None


def sources_of_bases():
    """Identifiers on the Hub of bases that come from there."""
    sources = {name: base.source for name, base in STUDY.bases.items()}
    return {name: getattr(source, "id", None) for name, source in sources.items()}


def models_by_adapter():
    adapters = {name: [] for name in experiments.adapters_in_use(STUDY)}
    for name in STUDY.matrix.models:
        if STUDY.models[name].clinical:
            adapters[STUDY.models[name].clinical].append(name)
    return adapters


def printed_config():
    """The study's settings for the report; a server's address may hold a password."""
    return STUDY.model_dump(mode="json", exclude={"tracking": {"uri"}})


def mlflow_pages():
    """Address of MLflow's pages, and the command that serves them where no server does."""
    uri = tracking_uri()
    if uri.startswith("http"):
        return uri, None
    local = uri.startswith("sqlite:")
    command = f"mlflow ui --backend-store-uri {uri}" if local else None
    return ("http://127.0.0.1:5000", command) if local else (None, None)


def tracking_uri():
    return STUDY.tracking.uri or f"sqlite:///{ROOT}/mlflow.db"


# --- hooks -------------------------------------------------------------------------------------------------------


def refuse_real_weights_on_synthetic_notes():
    try:
        experiments.check_runnable(STUDY)
    except ClinicalPeftError as error:
        raise WorkflowError(str(error)) from None


def print_results():
    page = Path(ROOT) / "report.html"
    if not page.exists():
        return
    print(f"Tables: {ROOT}/tables", f"Report: {page}", sep="\n")
    print(f"Runs:   mlflow ui --backend-store-uri {tracking_uri()}")
