"""Run one worker's trials of a model on a task."""

from pathlib import Path

from script_entry import job, owned_work

share = f"{snakemake.params.work}/worker{snakemake.wildcards.worker}"
with job(snakemake.log[0]), owned_work(share, snakemake.output):
    from clinical_peft.config.search_spaces import from_record
    from clinical_peft.recipes import FinetuneJob
    from clinical_peft.search.objectives import FinetuneObjective
    from clinical_peft.search.outcome import complete_job, write_worker
    from clinical_peft.search.trials import run_trials
    from clinical_peft.training.task_data import TaskInputs

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    finetune_job, _ = complete_job(FinetuneJob, params.job, checkpoint_seconds=params.checkpoint_seconds)
    search, work = from_record(params.search), Path(params.work)
    names = ("cohort", "classes", "base", "adapter", "features")
    inputs = TaskInputs(**{name: Path(given[name]) for name in names if given[name]})
    objective = FinetuneObjective(finetune_job, search, inputs, work=work)
    worker, journal = int(snakemake.wildcards.worker), work / "trials.journal"
    records = run_trials(search, objective, worker=worker, journal=journal, identity=objective.identity)
    write_worker(records, work=objective.work, trials=Path(output.trials), run_logs=Path(output.run_logs))
