# Of calibration and subgroups, whose intervals are read and not corrected for many comparisons.
FEWER_RESAMPLES = min(1000, STUDY.evaluation.resamples)


rule evaluate_model:
    """Score one model's predictions on one task, with intervals."""
    input:
        predictions=expand(
            "<study>/predictions/{{model}}/{{task}}/seed{seed}.parquet", seed=SEEDS
        ),
        run_logs=expand(
            "<study>/runs/finetune/{{model}}/{{task}}/seed{seed}.jsonl", seed=SEEDS
        ),
        cohort="<study>/cohorts/{task}.parquet",
        cohorts=cohorts_in_use(),
        classes="<study>/cohorts/{task}.classes.json",
        recipe="<study>/recipes/{model}/{task}.json",
    output:
        metrics=expand("<study>/metrics/{{model}}/{{task}}/seed{seed}.json", seed=SEEDS),
        replicates=expand(
            "<study>/replicates/{{model}}/{{task}}/seed{seed}.parquet", seed=SEEDS
        ),
        run_logs=expand(
            "<study>/runs/models/{{model}}/{{task}}/seed{seed}.jsonl", seed=SEEDS
        ),
    log:
        "<study>/logs/evaluate/{model}/{task}.log",
    conda:
        "../envs/report.yaml"
    params:
        seeds=seeds_of_outputs,
        protocol=protocol_of_run,
        patients_apart=patients_apart,
        resamples=STUDY.evaluation.resamples,
        bootstrap_seed=STUDY.evaluation.seed,
    script:
        "../workflow_scripts/evaluate_model.py"


rule compare_models:
    """Average the seeds, and compare the models of each table in pairs."""
    input:
        metrics=metrics_in_use,
        replicates=replicates_in_use,
        predictions=predictions_in_use,
        classes=classes_in_use,
    output:
        "<study>/comparison.json",
    log:
        "<study>/logs/compare_models.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        groups=models_by_table(),
        classes=classes_by_task(),
    script:
        "../workflow_scripts/compare_models.py"


rule calibrate_models:
    """Recalibrate every run on validation; reliability, decision curves and alerts on test."""
    input:
        metrics=metrics_in_use,
        predictions=predictions_in_use,
        classes=classes_in_use,
    output:
        "<study>/calibration.json",
    log:
        "<study>/logs/calibrate_models.log",
    conda:
        "../envs/report.yaml"
    params:
        classes=classes_by_task(),
        resamples=FEWER_RESAMPLES,
        bootstrap_seed=STUDY.evaluation.seed,
    script:
        "../workflow_scripts/calibrate_models.py"


rule compare_subgroups:
    """Compare every model's figures between groups of patients."""
    input:
        metrics=metrics_in_use,
        predictions=predictions_in_use,
        classes=classes_in_use,
        subgroups=subgroups_in_use,
    output:
        "<study>/subgroups.json",
    log:
        "<study>/logs/compare_subgroups.log",
    conda:
        "../envs/report.yaml"
    params:
        classes=classes_by_task(),
        resamples=FEWER_RESAMPLES,
        bootstrap_seed=STUDY.evaluation.seed,
    script:
        "../workflow_scripts/compare_subgroups.py"


rule describe_cohorts:
    """Describe the cohorts: classes, patients, lengths of the notes in words and in the tokens of each base."""
    input:
        cohorts=cohorts_in_use(),
        classes=classes_in_use,
        bases=bases_of_models,
    output:
        "<study>/statistics.json",
    log:
        "<study>/logs/describe_cohorts.log",
    conda:
        "../envs/train.yaml"
    script:
        "../workflow_scripts/describe_cohorts.py"


rule tabulate:
    """Write the four tables of the paper, with the published figures beside ours, and what they rest on."""
    input:
        statistics="<study>/statistics.json",
        attrition=attrition_in_use,
        corpora=corpus_logs_in_use,
        perplexities=perplexities_in_use,
        training=training_records_in_use,
        pooled=pooled_records_in_use,
        metrics=metrics_in_use,
        replicates=replicates_in_use,
        comparison="<study>/comparison.json",
        calibration="<study>/calibration.json",
        subgroups="<study>/subgroups.json",
        protocol_gaps=protocol_gaps_in_use,
        contamination=contamination_in_use,
        leakage="<study>/cohorts/leakage.json",
    output:
        report(
            expand("<study>/tables/{table}.csv", table=TABLE_NAMES),
            caption="../report/tables.rst",
            category="Tables",
        ),
        expand(
            "<study>/tables/{table}.{format}",
            table=TABLE_NAMES,
            format=["md", "tex", "html"],
        ),
    log:
        "<study>/logs/tabulate.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        labels=labels_of_study(),
        protocol=STUDY.protocol,
    script:
        "../workflow_scripts/tabulate.py"


rule draw_figures:
    """Draw the flow to the cohorts, learning curves, the main result, curves of ranking, calibration and use."""
    input:
        perplexities=perplexities_in_use,
        comparison="<study>/comparison.json",
        calibration="<study>/calibration.json",
        predictions=predictions_in_use,
        training=training_records_in_use,
        cohorts=cohorts_in_use(),
        classes=classes_in_use,
        attrition=attrition_in_use,
        pooled=features_in_use,
    output:
        directory("<study>/figures"),
    log:
        "<study>/logs/draw_figures.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        labels=labels_of_study(),
        bootstrap_seed=STUDY.evaluation.seed,
    script:
        "../workflow_scripts/draw_figures.py"


rule write_cards:
    """Write the card of every adapter, with what models built on it predict."""
    input:
        perplexities=perplexities_in_use,
        comparison="<study>/comparison.json",
        run_logs=expand(
            "<study>/runs/adapters/{adapter}.jsonl",
            adapter=experiments.adapters_in_use(STUDY),
        ),
    output:
        expand(
            "<study>/cards/{adapter}.md",
            adapter=experiments.adapters_in_use(STUDY),
        ),
    log:
        "<study>/logs/write_cards.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        labels=labels_of_study(),
        study=description_of_study(),
        sources=sources_of_bases(),
        models=models_by_adapter(),
    script:
        "../workflow_scripts/write_cards.py"


rule write_report:
    """Write the self-contained report."""
    input:
        cohorts=cohorts_in_use(),
        statistics="<study>/statistics.json",
        attrition=attrition_in_use,
        corpora=corpus_logs_in_use,
        perplexities=perplexities_in_use,
        training=training_records_in_use,
        pooled=pooled_records_in_use,
        comparison="<study>/comparison.json",
        calibration="<study>/calibration.json",
        subgroups="<study>/subgroups.json",
        protocol_gaps=protocol_gaps_in_use,
        contamination=contamination_in_use,
        metrics=metrics_in_use,
        replicates=replicates_in_use,
        figures="<study>/figures",
        runs="<study>/runs/tracked.json",
        run_logs=run_logs_in_use,
        template=f"{workflow.basedir}/report/report.html.j2",
    output:
        report("<study>/report.html", caption="../report/report.rst", category="Report"),
        checklist="<study>/tripod_ai.md",
        settings="<study>/settings.json",
    log:
        "<study>/logs/write_report.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        labels=labels_of_study(),
        study=description_of_study(),
        hospital=hospital_provenance(),
        config=printed_config(),
        settings=in_fixed_order(settings.deciding_settings(STUDY)),
        mlflow=mlflow_pages(),
    script:
        "../workflow_scripts/write_report.py"


rule track_runs:
    """Send the run logs of every job to MLflow."""
    input:
        run_logs_in_use,
    output:
        "<study>/runs/tracked.json",
    log:
        "<study>/logs/track_runs.log",
    localrule: True
    conda:
        "../envs/track.yaml"
    params:
        uri=tracking_uri(),
        study=STUDY.study,
    script:
        "../workflow_scripts/track_runs.py"


rule track_study:
    """Give MLflow the study's figures by model, and its tables, figures and report."""
    input:
        runs="<study>/runs/tracked.json",
        run_logs=run_logs_in_use,
        comparison="<study>/comparison.json",
        tables=rules.tabulate.output,
        figures="<study>/figures",
        report="<study>/report.html",
        cards=cards_in_use(),
        adapters=adapter_folders_in_use(),
    output:
        "<study>/runs/study.json",
    log:
        "<study>/logs/track_study.log",
    localrule: True
    conda:
        "../envs/track.yaml"
    params:
        uri=tracking_uri(),
        labels=labels_of_study(),
        study=description_of_study(),
        artifacts=STUDY.tracking.artifacts,
        register=STUDY.tracking.register_adapters,
    script:
        "../workflow_scripts/track_study.py"


rule tables:
    """Target: the results tables (CSV, Markdown, LaTeX)."""
    input:
        expand(
            "<study>/tables/{table}.{format}", table=TABLE_NAMES, format=TABLE_FORMATS
        ),
        carevue_in_use(),
    localrule: True


rule report:
    """Target: the report."""
    input:
        "<study>/report.html",
    localrule: True
