"""Effects of the original's choices, and of test patients' notes in pretraining (section `gaps` of the config)."""

ARMS = arms.arms_in_use(STUDY)
ARM_TASKS = list(dict.fromkeys(arm.task for arm in ARMS))


def runs_of_arms():
    """Switch, task, model and cohort of the corrected runs, then of every arm."""
    corrected = [("corrected", task, STUDY.gaps.model, task) for task in ARM_TASKS]
    return [
        *corrected,
        *((arm.switch, arm.task, arm.model, arm.cohort) for arm in ARMS),
    ]


def files_of_arms(folder, suffix):
    return [
        f"{ROOT}/{folder}/{model}/{cohort}/seed{seed}.{suffix}"
        for _, _, model, cohort in runs_of_arms()
        for seed in SEEDS
    ]


def metrics_of_arms(wildcards):
    return files_of_arms("metrics", "json")


def replicates_of_arms(wildcards):
    return files_of_arms("replicates", "parquet")


def cohorts_of_arms(wildcards):
    return [f"{ROOT}/cohorts/{cohort}.parquet" for _, _, _, cohort in runs_of_arms()]


def models_of_contamination():
    return dict(STUDY.gaps.contamination or ())


def runs_of_contamination(folder, suffix):
    return [
        f"{ROOT}/{folder}/{model}/{task}/seed{seed}.{suffix}"
        for model, task in experiments.runs_in_use(STUDY)
        if model in models_of_contamination().values()
        for seed in SEEDS
    ]


def metrics_of_contamination(wildcards):
    return runs_of_contamination("metrics", "json")


def predictions_of_contamination(wildcards):
    return runs_of_contamination("predictions", "parquet")


rule measure_protocol_gaps:
    """Compare a model under each of the original's choices with the corrected protocol, patient by patient."""
    input:
        metrics=metrics_of_arms,
        replicates=replicates_of_arms,
        cohorts=cohorts_of_arms,
    output:
        "<study>/protocol_gaps.json",
    log:
        "<study>/logs/measure_protocol_gaps.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        runs=runs_of_arms(),
        seeds=SEEDS,
        model=STUDY.gaps.model,
        untouched=arms.untouched_tasks(STUDY),
    script:
        "../workflow_scripts/measure_protocol_gaps.py"


rule measure_contamination:
    """Compare what adaptation gains inside and outside the CareVue subset, and the two arms of pretraining."""
    input:
        metrics=metrics_of_contamination,
        predictions=predictions_of_contamination,
        classes=classes_in_use,
        membership="<study>/cohorts/carevue.parquet",
        source="<study>/cohorts/carevue.json",
    output:
        "<study>/contamination.json",
    log:
        "<study>/logs/measure_contamination.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        models=models_of_contamination(),
        classes=classes_by_task(),
        resamples=STUDY.evaluation.resamples,
        bootstrap_seed=STUDY.evaluation.seed,
    script:
        "../workflow_scripts/measure_contamination.py"
