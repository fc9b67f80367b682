"""What each job of a study costs by its plan, for the time left that a running study shows."""

from clinical_peft.config import experiments
from clinical_peft.config.ablations import ablation_inputs
from clinical_peft.workflow import plan
from clinical_peft.workflow.study_files import StudyFiles


def device_seconds(files: StudyFiles) -> dict[str, float]:
    """Estimate the seconds that each job computes on the study's device, by one of the job's outputs.

    Args:
        files: What the rules ask of the study.

    Returns:
        Seconds by path. Jobs that run no network are absent, though they take some seconds, too.
    """
    study, extra = files.study, ablation_inputs(files.study)
    tokens: dict[str, float] = {}
    for base in experiments.bases_in_use(study):
        tokens[f"{files.root}/bases/{base}"] = plan.base_tokens(study, base)
    for adapter in (*files.adapters_on_notes, *extra.adapters):
        tokens[f"{files.root}/perplexity/{adapter}.json"] = plan.adapter_tokens(study, adapter)
    for path, searched in plan.search_tokens(study).items():
        workers = files.searches[path].planned_workers
        for worker in range(workers):
            tokens[f"{files.root}/search/{path}/worker{worker}.json"] = searched / workers
    for features in experiments.feature_sets_in_use(study):
        tokens[f"{files.root}/features/{features}.json"] = plan.feature_tokens(study, features)
    for model, cohort in (*files.runs, *files.sized_runs, *extra.runs):
        tokens[f"{files.root}/recipes/{model}/{cohort}.json"] = plan.run_tokens(study, model, cohort)
    return {path: each / study.budget.tokens_per_second for path, each in tokens.items() if each}
