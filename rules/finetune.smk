rule pool_notes:
    """Pass every admission note once through a frozen network, for all heads trained on it."""
    input:
        cohorts=files.feature_cohorts,
        base=files.feature_base,
        adapter=files.feature_adapter,
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
    threads: files.feature_threads
    params:
        job=files.feature_job,
        work=files.work("features/{features}"),
    script:
        "../workflow_scripts/pool_notes.py"


rule finetune_model:
    """Fine-tune one model on one clinical task, all seeds."""
    input:
        cohort="<study>/cohorts/{task}.parquet",
        classes="<study>/cohorts/{task}.classes.json",
        base=files.model_base,
        adapter=files.clinical_adapter,
        features=files.model_features,
        search=files.best_model_recipe,
        whole=files.whole_run,
    output:
        predictions=expand("<study>/predictions/{{model}}/{{task}}/seed{seed}.parquet", seed=study.matrix.seeds),
        models=directory(expand("<study>/models/{{model}}/{{task}}/seed{seed}", seed=study.matrix.seeds)),
        training=expand("<study>/training/{{model}}/{{task}}/seed{seed}.json", seed=study.matrix.seeds),
        recipe="<study>/recipes/{model}/{task}.json",
        run_logs=expand("<study>/runs/finetune/{{model}}/{{task}}/seed{seed}.jsonl", seed=study.matrix.seeds),
    log:
        "<study>/logs/finetune/{model}/{task}.log",
    benchmark:
        "<study>/benchmarks/finetune/{model}/{task}.tsv"
    conda:
        "../envs/train.yaml"
    threads: files.finetune_threads
    params:
        job=files.finetune_job,
        seeds=files.seeds,
        checkpoint_seconds=files.finetune_checkpoint_seconds,
        work=files.work("finetune/{model}/{task}"),
    script:
        "../workflow_scripts/finetune_model.py"


rule finetune:
    """Target: the predictions of every model on every task."""
    input:
        files.predictions,
    localrule: True
