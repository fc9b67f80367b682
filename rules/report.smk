rule describe_cohorts:
    """Describe the cohorts: classes, patients, lengths of the notes in words and in the tokens of each base."""
    input:
        cohorts=files.cohorts,
        classes=files.classes,
        bases=files.model_bases,
    output:
        "<study>/statistics.json",
    log:
        "<study>/logs/describe_cohorts.log",
    conda:
        "../envs/train.yaml"
    params:
        tasks=files.untitled_task_records,
    script:
        "../workflow_scripts/describe_cohorts.py"


rule tabulate:
    """Write the results tables, with published values beside ours where the paper has some, and those behind them."""
    input:
        unpack(files.results),
        leakage="<study>/cohorts/leakage.json",
    output:
        report(
            expand("<study>/tables/{table}.csv", table=files.table_names),
            caption="../report/data.rst",
            category="4. Data",
        ),
        report(
            expand("<study>/tables/{table}.html", table=files.result_table_names),
            caption="../report/tables.rst",
            category="2. Tables",
            subcategory="Results",
        ),
        report(
            expand("<study>/tables/{table}.html", table=files.further_table_names),
            caption="../report/tables.rst",
            category="2. Tables",
            subcategory="What they rest on",
        ),
        expand("<study>/tables/{table}.{format}", table=files.table_names, format=["md", "tex"]),
        stored="<study>/tables.json",
    log:
        "<study>/logs/tabulate.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=files.labels,
        tasks=files.task_records,
        metric=files.compared_metric,
        protocol=study.protocol,
        has_paper_cohorts=files.has_paper_cohorts,
    script:
        "../workflow_scripts/tabulate.py"


rule draw_figures:
    """Draw the flow to the cohorts, learning curves, the main result, curves of ranking, calibration and use."""
    input:
        unpack(files.results),
        predictions=files.predictions,
        cohorts=files.cohorts,
        classes=files.classes,
        features=files.pooled_features,
    output:
        report(
            directory("<study>/figures"),
            patterns=["{figure,[^.]+}.svg"],
            caption="../report/figures.rst",
            category="3. Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "<study>/logs/draw_figures.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=files.labels,
        tasks=files.task_records,
        metric=files.compared_metric,
        bootstrap_seed=study.evaluation.seed,
    script:
        "../workflow_scripts/draw_figures.py"


rule write_cards:
    """Write the card of every adapter, with what models built on it predict."""
    input:
        perplexities=files.perplexities,
        comparison="<study>/comparison.json",
        run_logs=files.adapter_logs,
    output:
        expand("<study>/cards/{adapter}.md", adapter=files.adapters_in_use),
    log:
        "<study>/logs/write_cards.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=files.labels,
        tasks=files.task_records,
        metric=files.compared_metric,
        study=files.description,
        sources=files.hub_ids,
        models=files.models_by_adapter,
    script:
        "../workflow_scripts/write_cards.py"


rule write_report:
    """Write the self-contained report."""
    input:
        cohorts=files.cohorts,
        attrition=files.attrition,
        tables="<study>/tables.json",
        perplexities=files.perplexities,
        comparison="<study>/comparison.json",
        metrics=files.metrics,
        figures="<study>/figures",
        runs="<study>/runs/tracked.json",
        leakage="<study>/cohorts/leakage.json",
        run_logs=files.run_logs,
        template=f"{workflow.basedir}/report/report.html.j2",
    output:
        report(
            "<study>/report.html", caption="../report/report.rst", category="1. Report", labels={"page": "report.html"}
        ),
        checklist="<study>/tripod_ai.md",
        settings="<study>/settings.json",
    log:
        "<study>/logs/write_report.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        labels=files.labels,
        tasks=files.task_records,
        metric=files.compared_metric,
        study=files.description,
        hospital=files.hospital_provenance,
        config=files.printed_config,
        settings=files.deciding_settings,
        mlflow=files.mlflow_pages,
    script:
        "../workflow_scripts/write_report.py"


rule tables:
    """Target: the results tables (CSV, Markdown, LaTeX)."""
    input:
        files.tables,
        files.carevue,
    localrule: True


rule report:
    """Target: the report."""
    input:
        "<study>/report.html",
    localrule: True
