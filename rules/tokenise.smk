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
        base=one_of(SCRATCH_BASES),
    priority: 100
    conda:
        "../envs/train.yaml"
    threads: threads_of_base
    params:
        family=family_of_base,
        source=source_of_base,
        checkpoint_seconds=checkpoint_seconds_of_base,
        seed=STUDY.seed,
        split_salt=STUDY.data.split_salt,
        work=f"{ROOT}/work/bases/{{base}}",
    script:
        "../workflow_scripts/train_base.py"


rule import_base:
    """Bring a base with real weights into the study: from the Hub, a folder, a package or a GGUF file."""
    input:
        files_of_base,
    output:
        directory("<study>/bases/{base}"),
    log:
        "<study>/logs/bases/{base}.log",
    wildcard_constraints:
        base=one_of(REAL_BASES),
    conda:
        "../envs/train.yaml"
    params:
        family=family_of_base,
        source=source_of_base,
        precision=precision_of_base,
    script:
        "../workflow_scripts/import_base.py"


rule prefetch:
    """Target: every base with real weights, fetched by revision (for compute nodes without network)."""
    input:
        real_bases_in_use(),
    localrule: True


rule tokenise_notes:
    """Turn a corpus into Arrow shards of token ids for one base."""
    input:
        notes=notes_of_tokens,
        base="<study>/bases/{base}",
    output:
        tokens=directory("<study>/tokens/{base}/{corpus}"),
        run_log="<study>/runs/tokens/{base}/{corpus}.jsonl",
    log:
        "<study>/logs/tokens/{base}/{corpus}.log",
    priority: 100
    conda:
        "../envs/train.yaml"
    threads: unless_synthetic(4)
    resources:
        mem=memory_of_tokens,
    params:
        context=context_of_tokens,
        split_salt=salt_of_tokens,
        truncate_and_pad=truncate_and_pad_of_tokens,
        work=f"{ROOT}/work/tokens/{{base}}/{{corpus}}",
    script:
        "../workflow_scripts/tokenise_notes.py"
