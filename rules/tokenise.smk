rule train_base:
    """Train a small base model on general English text."""
    input:
        "<study>/notes/general.parquet",
    output:
        base=directory("<study>/bases/{base}"),
        run_log="<study>/runs/bases/{base}.jsonl",
    log:
        "<study>/logs/bases/{base}.log",
    benchmark:
        "<study>/benchmarks/bases/{base}.tsv"
    wildcard_constraints:
        base=files.names.scratch_base,
    priority: 100
    conda:
        "../envs/train.yaml"
    threads: files.base_threads
    params:
        family=files.base_family,
        source=files.base_source,
        checkpoint_seconds=files.base_checkpoint_seconds,
        seed=study.seed,
        split_salt=study.data.split_salt,
        work=files.work("bases/{base}"),
    script:
        "../workflow_scripts/train_base.py"


rule import_base:
    """Bring a base with real weights into the study: from the Hub, a folder, a package or a GGUF file."""
    input:
        files.base_files,
    output:
        directory("<study>/bases/{base}"),
    log:
        "<study>/logs/bases/{base}.log",
    wildcard_constraints:
        base=files.names.real_base,
    conda:
        "../envs/train.yaml"
    params:
        family=files.base_family,
        source=files.base_source,
        precision=files.base_precision,
    script:
        "../workflow_scripts/import_base.py"


rule prefetch:
    """Target: every base with real weights, fetched by revision (for compute nodes without network)."""
    input:
        files.real_bases,
    localrule: True


rule tokenise_notes:
    """Turn a corpus into Arrow shards of token ids for one base."""
    input:
        notes=files.token_notes,
        base="<study>/bases/{base}",
    output:
        tokens=directory("<study>/tokens/{base}/{corpus}"),
        run_log="<study>/runs/tokens/{base}/{corpus}.jsonl",
    log:
        "<study>/logs/tokens/{base}/{corpus}.log",
    priority: 100
    conda:
        "../envs/train.yaml"
    threads: files.threads_for_notes(4)
    resources:
        mem=files.token_memory,
    params:
        context=files.token_context,
        split_salt=files.token_salt,
        truncate_and_pad=files.token_truncation,
        work=files.work("tokens/{base}/{corpus}"),
    script:
        "../workflow_scripts/tokenise_notes.py"
