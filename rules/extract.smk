rule synthesise_hospital:
    """Generate a synthetic hospital in the shape of MIMIC-III, MIMIC-IV and MIMIC-IV-Note."""
    output:
        directory("<study>/hospital"),
    log:
        "<study>/logs/synthesise_hospital.log",
    conda:
        "../envs/data.yaml"
    params:
        size=STUDY.synthetic.size,
        seed=STUDY.synthetic.seed,
    script:
        "../workflow_scripts/synthesise_hospital.py"


rule collect_general_text:
    """Collect general English from the Python standard library's documentation."""
    output:
        ensure("<study>/notes/general.parquet", non_empty=True),
    log:
        "<study>/logs/notes/general.log",
    conda:
        "../envs/data.yaml"
    params:
        max_characters=general_characters(),
    script:
        "../workflow_scripts/collect_general_text.py"


rule extract_notes:
    """Extract and clean the notes of MIMIC-IV-Note, of MIMIC-III, or of both."""
    input:
        tables_of_corpus,
    output:
        notes=ensure("<study>/notes/{corpus}.parquet", non_empty=True),
        run_log="<study>/runs/notes/{corpus}.jsonl",
    log:
        "<study>/logs/notes/{corpus}.log",
    wildcard_constraints:
        corpus=switched(MIMIC_CORPORA, "corpus"),
    priority: 100
    conda:
        "../envs/data.yaml"
    threads: unless_synthetic(2)
    params:
        corpus=corpus_of_notes,
        folders=folders_of_corpus,
        flattened=flattened_of_corpus,
        whole_release=whole_release_of_tables(),
    script:
        "../workflow_scripts/extract_notes.py"


rule import_notes:
    """Import a corpus from a JSON-lines or CSV file of notes."""
    input:
        note_file_of_corpus,
    output:
        notes=ensure("<study>/notes/{corpus}.parquet", non_empty=True),
        run_log="<study>/runs/notes/{corpus}.jsonl",
    log:
        "<study>/logs/notes/{corpus}.log",
    wildcard_constraints:
        corpus=one_of(STUDY.data.note_files),
    conda:
        "../envs/data.yaml"
    params:
        columns=note_columns_of_corpus,
        repetition=repetition_of_import,
    script:
        "../workflow_scripts/import_notes.py"


rule build_admission_notes:
    """Cut discharge summaries down to what was known at admission."""
    input:
        tables_of_admission_notes,
    output:
        notes=ensure("<study>/notes/{admission}.parquet", non_empty=True),
        attrition="<study>/notes/{admission}.attrition.json",
    log:
        "<study>/logs/notes/{admission}.log",
    conda:
        "../envs/data.yaml"
    params:
        source=STUDY.cohorts.source,
        tables=outcome_folder,
        mimic_iv_note=note_folder_of_admissions,
        switches=switches_of_admission_notes,
    script:
        "../workflow_scripts/build_admission_notes.py"


rule derive_ventilation:
    """Derive ventilation episodes from chart and procedure events."""
    input:
        tables_of_ventilation,
    output:
        ensure("<study>/cohorts/ventilation.parquet", non_empty=True),
    log:
        "<study>/logs/cohorts/ventilation.log",
    conda:
        "../envs/data.yaml"
    params:
        source=STUDY.cohorts.source,
        tables=outcome_folder,
        adjusted=STUDY.cohorts.ventilation == "adjusted",
        work=f"{ROOT}/work/ventilation",
    script:
        "../workflow_scripts/derive_ventilation.py"


rule build_cohort:
    """Join admission notes with one task's labels and split by patient."""
    input:
        notes=admission_notes_of_cohort,
        ventilation=ventilation_of_task,
        pmv_labels=pmv_labels_of_task,
        tables=tables_of_task,
        icd_map=icd_map_of_task,
        splits=split_lists,
    output:
        cohort=ensure("<study>/cohorts/{task}.parquet", non_empty=True),
        classes="<study>/cohorts/{task}.classes.json",
        attrition="<study>/cohorts/{task}.attrition.json",
        run_log="<study>/runs/cohorts/{task}.jsonl",
    log:
        "<study>/logs/cohorts/{task}.log",
    conda:
        "../envs/data.yaml"
    params:
        task=task_of_cohort,
        source=STUDY.cohorts.source,
        tables=outcome_folder,
        icd=icd_of_task,
        splits=splits_of_cohort,
        salt=salt_of_cohort,
        pmv_split=pmv_split_of_task,
        switches=switches_of_cohort,
        drop_stated_outcomes=STUDY.leakage.drop_stated_outcomes,
    script:
        "../workflow_scripts/build_cohort.py"


rule build_subgroups:
    """Tell of every admission who the patient is, for comparing figures between groups of patients."""
    input:
        tables_of_subgroups,
    output:
        ensure("<study>/cohorts/subgroups.parquet", non_empty=True),
    log:
        "<study>/logs/cohorts/subgroups.log",
    conda:
        "../envs/data.yaml"
    params:
        source=STUDY.cohorts.source,
        tables=outcome_folder,
    script:
        "../workflow_scripts/build_subgroups.py"


rule pair_corpora:
    """Take held-out patients and near-duplicates of their notes out of a corpus; draw an unfiltered one of its size."""
    input:
        notes="<study>/notes/{source}.parquet",
        cohorts=cohorts_in_use(),
    output:
        disjoint=ensure("<study>/notes/{source}-disjoint.parquet", non_empty=True),
        matched=ensure("<study>/notes/{source}-matched.parquet", non_empty=True),
        run_logs=expand(
            "<study>/runs/notes/{{source}}-{arm}.jsonl", arm=["disjoint", "matched"]
        ),
    log:
        "<study>/logs/notes/{source}-paired.log",
    wildcard_constraints:
        source=one_of([STUDY.cohorts.source]),
    priority: 100
    conda:
        "../envs/data.yaml"
    threads: unless_synthetic(2)
    params:
        repetition=repetition_of_notes(),
        flattened=STUDY.resolved_switches["notes_flattened"],
        seed=STUDY.seed,
        work=f"{ROOT}/work/notes/{{source}}-paired",
    script:
        "../workflow_scripts/pair_corpora.py"


rule mark_carevue_patients:
    """Tell which test patients belong to the CareVue subset, who are not in MIMIC-IV."""
    input:
        tables=tables_of_carevue_subset,
        cohorts=cohorts_in_use(),
    output:
        patients=ensure("<study>/cohorts/carevue.parquet", non_empty=True),
        summary="<study>/cohorts/carevue.json",
    log:
        "<study>/logs/cohorts/carevue.log",
    conda:
        "../envs/data.yaml"
    params:
        mimic_iii=mimic_iii_folder,
        listed=STUDY.data.carevue_patients is not None,
    script:
        "../workflow_scripts/mark_carevue_patients.py"


rule check_leakage:
    """Fail if patients cross splits or held-out notes are pretrained on against the study's mode; count the rest."""
    input:
        cohorts=cohorts_in_use(),
        notes=notes_in_use(),
        source=source_of_disjoint_corpus(),
    output:
        "<study>/cohorts/leakage.json",
    log:
        "<study>/logs/cohorts/leakage.log",
    priority: 200
    conda:
        "../envs/data.yaml"
    threads: unless_synthetic(2)
    params:
        corpora=experiments.corpora_in_use(STUDY),
        forbidden=STUDY.paired_corpora[:1],
        with_patients=corpora_with_patients(),
        crossing_allowed=[
            task for task in tasks_split_by_admission() if task in STUDY.matrix.tasks
        ],
        fail_on_stated_outcomes=STUDY.leakage.fail_on_stated_outcomes,
        repetition=repetition_of_notes(),
        flattened=STUDY.resolved_switches["notes_flattened"],
        work=f"{ROOT}/work/leakage",
    script:
        "../workflow_scripts/check_leakage.py"


rule data:
    """Target: notes and cohorts of the study."""
    input:
        notes_in_use(),
        cohorts_in_use(),
        carevue_in_use(),
        subgroups_in_use(),
        "<study>/cohorts/leakage.json",
    localrule: True
