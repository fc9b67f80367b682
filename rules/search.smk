rule search_model:
    """Try recipes of one model on one task: one worker's share of the trials, judged by the validation split."""
    input:
        cohort="<study>/cohorts/{task}.parquet",
        classes="<study>/cohorts/{task}.classes.json",
        base=files.model_base,
        adapter=files.clinical_adapter,
        features=files.model_features,
    output:
        trials="<study>/search/{model}/{task}/worker{worker}.json",
        run_logs=directory("<study>/runs/search/{model}/{task}/worker{worker}"),
    log:
        "<study>/logs/search/{model}/{task}/worker{worker}.log",
    benchmark:
        "<study>/benchmarks/search/{model}/{task}/worker{worker}.tsv"
    conda:
        "../envs/train.yaml"
    threads: files.finetune_threads
    params:
        job=files.finetune_job,
        checkpoint_seconds=files.finetune_checkpoint_seconds,
        search=files.model_search,
        work=files.work("search/{model}/{task}"),
    script:
        "../workflow_scripts/search_model.py"


rule search_recipe:
    """Choose the best recipe of a model on a task from all trials."""
    input:
        files.model_trials,
    output:
        best="<study>/search/{model}/{task}.json",
        table="<study>/search/{model}/{task}.csv",
    log:
        "<study>/logs/search/{model}/{task}.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        search=files.model_search,
    script:
        "../workflow_scripts/search_recipe.py"


rule search_adapter:
    """Try recipes of one clinical adapter: one worker's share of the trials, judged by validation perplexity."""
    input:
        base=files.adapter_base,
        tokens=files.adapter_tokens,
        general=files.adapter_general_text,
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
    threads: files.adapter_trial_threads
    params:
        job=files.adapter_job,
        checkpoint_seconds=files.adapter_checkpoint_seconds,
        search=files.adapter_search,
        work=files.work("search/adapters/{adapter}"),
    script:
        "../workflow_scripts/search_adapter.py"


rule search_adapter_recipe:
    """Choose the best recipe of a clinical adapter from all trials."""
    input:
        files.adapter_trials,
    output:
        best="<study>/search/adapters/{adapter}.json",
        table="<study>/search/adapters/{adapter}.csv",
    log:
        "<study>/logs/search/adapters/{adapter}.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        search=files.adapter_search,
    script:
        "../workflow_scripts/search_recipe.py"


rule search:
    """Target: the best recipe of every search."""
    input:
        files.best_recipes,
    localrule: True
