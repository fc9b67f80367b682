rule import_table:
    """Import a user's own table: ids, patients, splits and cleaned texts, for all of its tasks and its corpus."""
    input:
        files.table_sources_present,
    output:
        imported=ensure("<study>/imported/{table}.parquet", non_empty=True),
        attrition="<study>/imported/{table}.attrition.json",
    log:
        "<study>/logs/imported/{table}.log",
    priority: 100
    conda:
        "../envs/analysis.yaml"
    params:
        table=files.table_spec,
        salt=files.table_salt,
        repetition=files.table_repetition,
        work=files.work("imported/{table}"),
    script:
        "../workflow_scripts/import_table.py"


rule write_table_corpus:
    """Write the training notes of an own table as a corpus."""
    input:
        "<study>/imported/{corpus}.parquet",
    output:
        notes=ensure("<study>/notes/{corpus}.parquet", non_empty=True),
        run_log="<study>/runs/notes/{corpus}.jsonl",
    log:
        "<study>/logs/notes/{corpus}.log",
    wildcard_constraints:
        corpus=files.names.table,
    conda:
        "../envs/analysis.yaml"
    script:
        "../workflow_scripts/write_table_corpus.py"


rule build_table_cohort:
    """Join the notes of an own table with one task's labels."""
    input:
        imported=files.table_task_notes,
        files=files.table_task_files_present,
    output:
        cohort=ensure("<study>/cohorts/{task}.parquet", non_empty=True),
        classes="<study>/cohorts/{task}.classes.json",
        attrition="<study>/cohorts/{task}.attrition.json",
        run_log="<study>/runs/cohorts/{task}.jsonl",
    log:
        "<study>/logs/cohorts/{task}.log",
    wildcard_constraints:
        task=files.names.table_task,
    conda:
        "../envs/analysis.yaml"
    params:
        task=files.task_record,
        table=files.table_task_spec,
        drop_stated_outcomes=study.leakage.drop_stated_outcomes,
    script:
        "../workflow_scripts/build_table_cohort.py"


rule build_table_subgroups:
    """Take the columns of an own table that metrics are compared between."""
    input:
        "<study>/imported/{table}.parquet",
    output:
        ensure("<study>/cohorts/{table}.subgroups.parquet", non_empty=True),
    log:
        "<study>/logs/cohorts/{table}.subgroups.log",
    conda:
        "../envs/analysis.yaml"
    params:
        table=files.table_spec,
    script:
        "../workflow_scripts/build_table_subgroups.py"


rule label_admissions:
    """Label a hospital's admissions for one task, whether they have a note or not."""
    input:
        ventilation=files.cohort_ventilation,
        pmv_labels=files.cohort_list,
        tables=files.cohort_tables,
        icd_map=files.cohort_icd_map,
        label_file=files.cohort_label_file,
    output:
        labels=ensure("<study>/labels/{task}.parquet", non_empty=True),
        classes="<study>/labels/{task}.classes.json",
        attrition="<study>/labels/{task}.attrition.json",
    log:
        "<study>/logs/labels/{task}.log",
    wildcard_constraints:
        task=files.names.hospital_task,
    conda:
        "../envs/analysis.yaml"
    params:
        task=files.task_record,
        source=study.cohorts.source,
        tables=files.outcome_folder,
        icd=files.cohort_icd,
        salt=files.cohort_salt,
        pmv_split=files.cohort_pmv_split,
        switches=files.cohort_switches,
    script:
        "../workflow_scripts/label_admissions.py"
