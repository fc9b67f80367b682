rule track_model:
    """Send one model's runs to MLflow, as soon as its seeds are done on every task."""
    input:
        run_logs=files.model_run_logs,
    output:
        "<study>/runs/tracked/{model}.json",
    log:
        "<study>/logs/track_model/{model}.log",
    priority: 10
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        uri=files.tracking_uri,
        study=study.study,
    script:
        "../workflow_scripts/track_runs.py"


rule track_runs:
    """Send the run logs of every job to MLflow."""
    input:
        models=files.tracked_models,
        run_logs=files.run_logs,
    output:
        "<study>/runs/tracked.json",
    log:
        "<study>/logs/track_runs.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        uri=files.tracking_uri,
        study=study.study,
    script:
        "../workflow_scripts/track_runs.py"


rule track_study:
    """Send MLflow the study's metrics by model, and its tables, figures and report."""
    input:
        runs="<study>/runs/tracked.json",
        run_logs=files.run_logs,
        comparison="<study>/comparison.json",
        tables=files.tables,
        figures="<study>/figures",
        report="<study>/report.html",
        cards=files.cards,
        adapters=files.adapters,
    output:
        "<study>/runs/study.json",
    log:
        "<study>/logs/track_study.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        uri=files.tracking_uri,
        labels=files.labels,
        metric=files.compared_metric,
        study=files.description,
        artifacts=study.tracking.artifacts,
        register=study.tracking.register_adapters,
    script:
        "../workflow_scripts/track_study.py"


rule push_to_hub:
    """Target: send the adapters with their cards to the Hugging Face Hub; refuses unless hub.repository is set."""
    input:
        adapters=files.adapters,
        cards=files.cards,
    output:
        "<study>/hub/pushed.json",
    log:
        "<study>/logs/push_to_hub.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        hub=study.hub.model_dump(mode="json"),
        synthetic=files.synthetic_adapters,
    script:
        "../workflow_scripts/push_to_hub.py"


rule pull_from_hub:
    """Target: fetch the study's adapters from the Hugging Face Hub, beside those that were trained here."""
    output:
        adapters=directory(expand("<study>/hub/adapters/{adapter}", adapter=files.adapters_in_use)),
        record="<study>/hub/pulled.json",
    log:
        "<study>/logs/pull_from_hub.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        hub=study.hub.model_dump(mode="json"),
    script:
        "../workflow_scripts/pull_from_hub.py"
