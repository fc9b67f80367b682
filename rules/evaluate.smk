rule evaluate_model:
    """Score one model's predictions on one task, with intervals."""
    input:
        predictions=expand("<study>/predictions/{{model}}/{{task}}/seed{seed}.parquet", seed=study.matrix.seeds),
        run_logs=expand("<study>/runs/finetune/{{model}}/{{task}}/seed{seed}.jsonl", seed=study.matrix.seeds),
        cohort="<study>/cohorts/{task}.parquet",
        cohorts=files.cohorts,
        classes="<study>/cohorts/{task}.classes.json",
        recipe="<study>/recipes/{model}/{task}.json",
    output:
        metrics=expand("<study>/metrics/{{model}}/{{task}}/seed{seed}.json", seed=study.matrix.seeds),
        replicates=expand("<study>/replicates/{{model}}/{{task}}/seed{seed}.parquet", seed=study.matrix.seeds),
        run_logs=expand("<study>/runs/models/{{model}}/{{task}}/seed{seed}.jsonl", seed=study.matrix.seeds),
    log:
        "<study>/logs/evaluate/{model}/{task}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        seeds=files.seeds,
        task=files.task_record,
        tasks=files.untitled_task_records,
        metric=study.evaluation.metric,
        protocol=files.run_protocol,
        patients_apart=files.patients_apart,
        resamples=study.evaluation.resamples,
        bootstrap_seed=study.evaluation.seed,
    script:
        "../workflow_scripts/evaluate_model.py"


rule compare_models:
    """Average the seeds, and compare the models of each table in pairs."""
    input:
        metrics=files.metrics,
        replicates=files.replicates,
        predictions=files.predictions,
        classes=files.classes,
    output:
        "<study>/comparison.json",
    log:
        "<study>/logs/compare_models.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        groups=files.models_by_table,
        classes=files.classes_by_task,
        tasks=files.untitled_task_records,
        metric=study.evaluation.metric,
    script:
        "../workflow_scripts/compare_models.py"


rule calibrate_models:
    """Recalibrate every run on validation; reliability, decision curves and alerts on test."""
    input:
        metrics=files.metrics,
        predictions=files.predictions,
        classes=files.classes,
    output:
        "<study>/calibration.json",
    log:
        "<study>/logs/calibrate_models.log",
    conda:
        "../envs/analysis.yaml"
    params:
        classes=files.classes_by_task,
        metric=study.evaluation.metric,
        resamples=files.group_resamples,
        bootstrap_seed=study.evaluation.seed,
    script:
        "../workflow_scripts/calibrate_models.py"


rule compare_subgroups:
    """Compare every model's metrics between groups of patients."""
    input:
        metrics=files.metrics,
        predictions=files.predictions,
        classes=files.classes,
        subgroups=files.subgroups,
    output:
        "<study>/subgroups.json",
    log:
        "<study>/logs/compare_subgroups.log",
    conda:
        "../envs/analysis.yaml"
    params:
        classes=files.classes_by_task,
        tasks=files.untitled_task_records,
        metric=study.evaluation.metric,
        resamples=files.group_resamples,
        bootstrap_seed=study.evaluation.seed,
    script:
        "../workflow_scripts/compare_subgroups.py"


rule measure_protocol_gaps:
    """Compare a model under each of the original's choices with the corrected protocol, patient by patient."""
    input:
        metrics=files.ablation_metrics,
        replicates=files.ablation_replicates,
        cohorts=files.ablation_cohorts,
    output:
        "<study>/protocol_gaps.json",
    log:
        "<study>/logs/measure_protocol_gaps.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        runs=files.ablation_runs,
        seeds=study.matrix.seeds,
        model=study.gaps.model,
        untouched=files.untouched_tasks,
        metric=study.evaluation.metric,
    script:
        "../workflow_scripts/measure_protocol_gaps.py"


rule measure_contamination:
    """Compare what adaptation gains inside and outside the CareVue subset, and between the pair of corpora."""
    input:
        metrics=files.contamination_metrics,
        predictions=files.contamination_predictions,
        classes=files.classes,
        membership="<study>/cohorts/carevue.parquet",
        source="<study>/cohorts/carevue.json",
    output:
        "<study>/contamination.json",
    log:
        "<study>/logs/measure_contamination.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        models=files.contamination_models,
        classes=files.classes_by_task,
        metric=study.evaluation.metric,
        resamples=study.evaluation.resamples,
        bootstrap_seed=study.evaluation.seed,
    script:
        "../workflow_scripts/measure_contamination.py"


rule measure_training_size:
    """Compare every model on parts of the training split with the whole, patient by patient."""
    input:
        metrics=files.training_size_metrics,
        replicates=files.training_size_replicates,
        training=files.training_size_records,
        cohorts=files.cohorts,
    output:
        "<study>/training_size.json",
    log:
        "<study>/logs/measure_training_size.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        runs=files.training_size_runs,
        tasks=files.untitled_task_records,
        metric=study.evaluation.metric,
    script:
        "../workflow_scripts/measure_training_size.py"
