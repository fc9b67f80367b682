rule synthesise_hospital:
    """Generate a synthetic hospital in the shape of MIMIC-III, MIMIC-IV and MIMIC-IV-Note."""
    output:
        directory("<study>/hospital"),
    log:
        "<study>/logs/synthesise_hospital.log",
    conda:
        "../envs/analysis.yaml"
    params:
        size=study.synthetic.size,
        seed=study.synthetic.seed,
    script:
        "../workflow_scripts/synthesise_hospital.py"


rule collect_general_text:
    """Collect general English from the Python standard library's documentation."""
    output:
        ensure("<study>/notes/general.parquet", non_empty=True),
    log:
        "<study>/logs/notes/general.log",
    conda:
        "../envs/analysis.yaml"
    params:
        max_characters=files.general_characters,
    script:
        "../workflow_scripts/collect_general_text.py"


rule extract_notes:
    """Extract and clean the notes of MIMIC-IV-Note, of MIMIC-III, or of both."""
    input:
        files.corpus_tables,
    output:
        notes=ensure("<study>/notes/{corpus}.parquet", non_empty=True),
        run_log="<study>/runs/notes/{corpus}.jsonl",
    log:
        "<study>/logs/notes/{corpus}.log",
    wildcard_constraints:
        corpus=files.names.hospital_corpus,
    priority: 100
    conda:
        "../envs/analysis.yaml"
    threads: files.threads_for_notes(2)
    params:
        corpus=files.corpus_name,
        folders=files.corpus_folders,
        flattened=files.corpus_flattened,
        whole_release=files.whole_release,
    script:
        "../workflow_scripts/extract_notes.py"


rule import_notes:
    """Import a corpus from a JSON-lines or CSV file of notes."""
    input:
        files.note_file,
    output:
        notes=ensure("<study>/notes/{corpus}.parquet", non_empty=True),
        run_log="<study>/runs/notes/{corpus}.jsonl",
    log:
        "<study>/logs/notes/{corpus}.log",
    wildcard_constraints:
        corpus=files.names.note_file,
    conda:
        "../envs/analysis.yaml"
    params:
        columns=files.note_columns,
        repetition=files.note_repetition,
    script:
        "../workflow_scripts/import_notes.py"


rule build_admission_notes:
    """Cut discharge summaries down to what was known at admission."""
    input:
        files.admission_tables,
    output:
        notes=ensure("<study>/notes/{admission}.parquet", non_empty=True),
        attrition="<study>/notes/{admission}.attrition.json",
    log:
        "<study>/logs/notes/{admission}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        source=study.cohorts.source,
        tables=files.outcome_folder,
        note_folder=files.admission_note_folder,
        switches=files.admission_switches,
    script:
        "../workflow_scripts/build_admission_notes.py"


rule derive_ventilation:
    """Derive ventilation episodes from chart and procedure events."""
    input:
        files.ventilation_tables,
    output:
        ensure("<study>/cohorts/ventilation.parquet", non_empty=True),
    log:
        "<study>/logs/cohorts/ventilation.log",
    conda:
        "../envs/analysis.yaml"
    params:
        source=study.cohorts.source,
        tables=files.outcome_folder,
        adjusted=study.cohorts.ventilation == "adjusted",
        work=files.work("ventilation"),
    script:
        "../workflow_scripts/derive_ventilation.py"


rule build_cohort:
    """Join admission notes with one task's labels and split by patient."""
    input:
        notes=files.cohort_notes,
        ventilation=files.cohort_ventilation,
        pmv_labels=files.cohort_list,
        tables=files.cohort_tables,
        icd_map=files.cohort_icd_map,
        label_file=files.cohort_label_file,
        splits=files.split_lists,
    output:
        cohort=ensure("<study>/cohorts/{task}.parquet", non_empty=True),
        classes="<study>/cohorts/{task}.classes.json",
        attrition="<study>/cohorts/{task}.attrition.json",
        run_log="<study>/runs/cohorts/{task}.jsonl",
    log:
        "<study>/logs/cohorts/{task}.log",
    wildcard_constraints:
        task=files.names.hospital_task,
    conda:
        "../envs/analysis.yaml"
    params:
        task=files.task_record,
        source=study.cohorts.source,
        tables=files.outcome_folder,
        icd=files.cohort_icd,
        splits=files.cohort_splits,
        salt=files.cohort_salt,
        pmv_split=files.cohort_pmv_split,
        switches=files.cohort_switches,
        drop_stated_outcomes=study.leakage.drop_stated_outcomes,
    script:
        "../workflow_scripts/build_cohort.py"


rule build_subgroups:
    """Add patient attributes to each admission, to compare metrics between groups of patients."""
    input:
        files.subgroup_tables,
    output:
        ensure("<study>/cohorts/subgroups.parquet", non_empty=True),
    log:
        "<study>/logs/cohorts/subgroups.log",
    conda:
        "../envs/analysis.yaml"
    params:
        source=study.cohorts.source,
        tables=files.outcome_folder,
    script:
        "../workflow_scripts/build_subgroups.py"


rule pair_corpora:
    """Take held-out patients and near-duplicates of their notes out of a corpus; draw an unfiltered one of its size."""
    input:
        notes="<study>/notes/{source}.parquet",
        cohorts=files.cohorts,
    output:
        disjoint=ensure("<study>/notes/{source}-disjoint.parquet", non_empty=True),
        matched=ensure("<study>/notes/{source}-matched.parquet", non_empty=True),
        run_logs=expand("<study>/runs/notes/{{source}}-{kind}.jsonl", kind=["disjoint", "matched"]),
    log:
        "<study>/logs/notes/{source}-paired.log",
    wildcard_constraints:
        source=files.names.paired_source,
    priority: 100
    conda:
        "../envs/analysis.yaml"
    threads: files.threads_for_notes(2)
    params:
        repetition=files.repetition,
        flattened=study.resolved_switches["notes_flattened"],
        seed=study.seed,
        work=files.work("notes/{source}-paired"),
    script:
        "../workflow_scripts/pair_corpora.py"


rule mark_carevue_patients:
    """Mark the test patients of the CareVue subset, who are not in MIMIC-IV."""
    input:
        tables=files.carevue_tables,
        cohorts=files.hospital_cohorts,
    output:
        patients=ensure("<study>/cohorts/carevue.parquet", non_empty=True),
        summary="<study>/cohorts/carevue.json",
    log:
        "<study>/logs/cohorts/carevue.log",
    conda:
        "../envs/analysis.yaml"
    params:
        mimic_iii=files.outcome_folder,
        listed=study.data.carevue_patients is not None,
    script:
        "../workflow_scripts/mark_carevue_patients.py"


rule check_leakage:
    """Fail if patients cross splits or held-out notes are pretrained on against the study's mode; count the rest."""
    input:
        cohorts=files.cohorts,
        notes=files.notes,
        source=files.disjoint_source,
    output:
        "<study>/cohorts/leakage.json",
    log:
        "<study>/logs/cohorts/leakage.log",
    priority: 200
    conda:
        "../envs/analysis.yaml"
    threads: files.threads_for_notes(2)
    params:
        corpora=files.corpora_in_use,
        tasks=files.untitled_task_records,
        forbidden=study.paired_corpora[:1],
        with_patients=files.corpora_with_patients,
        crossing_allowed=files.tasks_split_by_admission,
        fail_on_stated_outcomes=study.leakage.fail_on_stated_outcomes,
        repetition=files.repetition,
        flattened=study.resolved_switches["notes_flattened"],
        work=files.work("leakage"),
    script:
        "../workflow_scripts/check_leakage.py"


rule data:
    """Target: notes and cohorts of the study."""
    input:
        files.notes,
        files.cohorts,
        files.carevue,
        files.subgroups,
        "<study>/cohorts/leakage.json",
    localrule: True
