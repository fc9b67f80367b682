rule pool_notes:
    """Pass every admission note once through a frozen network, for all heads trained on it."""
    input:
        cohorts=cohorts_of_features,
        base=base_of_features,
        adapter=adapter_of_features,
    output:
        features="<study>/features/{features}.safetensors",
        record="<study>/features/{features}.json",
        run_log="<study>/runs/features/{features}.jsonl",
    log:
        "<study>/logs/features/{features}.log",
    benchmark:
        "<study>/benchmarks/features/{features}.tsv"
    conda:
        "../envs/train.yaml"
    threads: threads_of_features
    params:
        job=job_of_features,
        work=f"{ROOT}/work/features/{{features}}",
    script:
        "../workflow_scripts/pool_notes.py"


rule finetune_model:
    """Fine-tune one model on one clinical task, all seeds."""
    input:
        cohort="<study>/cohorts/{task}.parquet",
        classes="<study>/cohorts/{task}.classes.json",
        base=base_of_model,
        adapter=clinical_adapter_of_model,
        features=features_of_model,
        search=best_recipe_of_model,
    output:
        predictions=expand(
            "<study>/predictions/{{model}}/{{task}}/seed{seed}.parquet", seed=SEEDS
        ),
        models=directory(
            expand("<study>/models/{{model}}/{{task}}/seed{seed}", seed=SEEDS)
        ),
        training=expand(
            "<study>/training/{{model}}/{{task}}/seed{seed}.json", seed=SEEDS
        ),
        recipe="<study>/recipes/{model}/{task}.json",
        run_logs=expand(
            "<study>/runs/finetune/{{model}}/{{task}}/seed{seed}.jsonl", seed=SEEDS
        ),
    log:
        "<study>/logs/finetune/{model}/{task}.log",
    benchmark:
        "<study>/benchmarks/finetune/{model}/{task}.tsv"
    conda:
        "../envs/train.yaml"
    threads: threads_of_model
    params:
        job=job_of_model,
        seeds=seeds_of_outputs,
        checkpoint_seconds=checkpoint_seconds_of_model,
        work=f"{ROOT}/work/finetune/{{model}}/{{task}}",
    script:
        "../workflow_scripts/finetune_model.py"


rule finetune:
    """Target: the predictions of every model on every task."""
    input:
        predictions_in_use(),
    localrule: True
