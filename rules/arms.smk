"""Which runs the section `gaps` of the config compares."""

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
