"""Which files the study's matrix asks for."""


def cohorts_in_use():
    return expand(f"{ROOT}/cohorts/{{task}}.parquet", task=STUDY.matrix.tasks)


def notes_in_use():
    return expand(
        f"{ROOT}/notes/{{corpus}}.parquet", corpus=experiments.corpora_in_use(STUDY)
    )


def carevue_in_use():
    if not STUDY.divides_carevue:
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


def corpus_logs_in_use(wildcards=None):
    """Run logs of the corpora in use, and of the one that a pair of them is made from."""
    corpora = experiments.corpora_in_use(STUDY)
    if set(corpora) & set(STUDY.paired_corpora):
        corpora = list(dict.fromkeys([STUDY.cohorts.source, *corpora]))
    return expand(f"{ROOT}/runs/notes/{{corpus}}.jsonl", corpus=corpora)


def protocol_gaps_in_use(wildcards=None):
    return f"{ROOT}/protocol_gaps.json" if STUDY.gaps.model else []


def contamination_in_use(wildcards=None):
    return f"{ROOT}/contamination.json" if STUDY.gaps.contamination else []


def run_logs_of_arms():
    """Run logs of what exists under a switch alone: adapters, and models."""
    further = arms.further(STUDY)
    adapters = expand(f"{ROOT}/runs/adapters/{{name}}.jsonl", name=further.adapters)
    runs = [
        f"{ROOT}/runs/models/{model}/{cohort}/seed{seed}.jsonl"
        for model, cohort in further.runs
        for seed in SEEDS
    ]
    return [*adapters, *runs]


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
        *run_logs_of_arms(),
    ]


def real_bases_in_use():
    return expand(f"{ROOT}/bases/{{base}}", base=experiments.real_bases_in_use(STUDY))
