"""Effects of the original's choices, and of test patients' notes in pretraining (section `gaps` of the config)."""


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
