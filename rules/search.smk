rule search_model:
    """Try recipes of one model on one task: one worker's share of the trials, judged by the validation split."""
    input:
        cohort="<study>/cohorts/{task}.parquet",
        classes="<study>/cohorts/{task}.classes.json",
        base=base_of_model,
        adapter=clinical_adapter_of_model,
        features=features_of_model,
    output:
        trials="<study>/search/{model}/{task}/worker{worker}.json",
        run_logs=directory("<study>/runs/search/{model}/{task}/worker{worker}"),
    log:
        "<study>/logs/search/{model}/{task}/worker{worker}.log",
    benchmark:
        "<study>/benchmarks/search/{model}/{task}/worker{worker}.tsv"
    conda:
        "../envs/train.yaml"
    threads: threads_of_model
    params:
        job=job_of_model,
        checkpoint_seconds=checkpoint_seconds_of_model,
        search=search_of_model,
        work=f"{ROOT}/work/search/{{model}}/{{task}}",
    script:
        "../workflow_scripts/search_model.py"


rule search_recipe:
    """Choose the best recipe of a model on a task from all trials."""
    input:
        workers_of_model,
    output:
        best="<study>/search/{model}/{task}.json",
        table="<study>/search/{model}/{task}.csv",
    log:
        "<study>/logs/search/{model}/{task}.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        search=search_of_model,
    script:
        "../workflow_scripts/search_recipe.py"


rule search_adapter:
    """Try recipes of one clinical adapter: one worker's share of the trials, judged by validation perplexity."""
    input:
        base=base_of_adapter,
        tokens=tokens_of_adapter,
        general=general_text_of_adapter,
    output:
        trials="<study>/search/adapters/{adapter}/worker{worker}.json",
        run_logs=directory("<study>/runs/search/adapters/{adapter}/worker{worker}"),
    log:
        "<study>/logs/search/adapters/{adapter}/worker{worker}.log",
    benchmark:
        "<study>/benchmarks/search/adapters/{adapter}/worker{worker}.tsv"
    priority: 50
    conda:
        "../envs/train.yaml"
    threads: threads_of_adapter_trial
    params:
        job=job_of_adapter,
        checkpoint_seconds=checkpoint_seconds_of_adapter,
        search=search_of_adapter,
        work=f"{ROOT}/work/search/adapters/{{adapter}}",
    script:
        "../workflow_scripts/search_adapter.py"


rule search_adapter_recipe:
    """Choose the best recipe of a clinical adapter from all trials."""
    input:
        workers_of_adapter,
    output:
        best="<study>/search/adapters/{adapter}.json",
        table="<study>/search/adapters/{adapter}.csv",
    log:
        "<study>/logs/search/adapters/{adapter}.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        search=search_of_adapter,
    script:
        "../workflow_scripts/search_recipe.py"


rule search:
    """Target: the best recipe of every search."""
    input:
        best_recipes_in_use(),
    localrule: True
