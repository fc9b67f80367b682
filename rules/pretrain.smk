rule train_adapter:
    """Train one clinical adapter on the notes of a corpus and measure its perplexity."""
    input:
        base=files.adapter_base,
        tokens=files.adapter_tokens,
        general=files.adapter_general_text,
        search=files.best_adapter_recipe,
    output:
        adapter=directory("<study>/adapters/{adapter}"),
        perplexity="<study>/perplexity/{adapter}.json",
        run_log="<study>/runs/adapters/{adapter}.jsonl",
    log:
        "<study>/logs/adapters/{adapter}.log",
    benchmark:
        "<study>/benchmarks/adapters/{adapter}.tsv"
    wildcard_constraints:
        adapter=files.names.trained_adapter,
    priority: 50
    conda:
        "../envs/train.yaml"
    threads: files.adapter_threads
    params:
        job=files.adapter_job,
        checkpoint_seconds=files.adapter_checkpoint_seconds,
        work=files.work("adapters/{adapter}"),
    script:
        "../workflow_scripts/train_adapter.py"


rule import_adapter:
    """Bring a clinical adapter that exists already into the study, checked by loading it onto its base."""
    input:
        base=files.adapter_base,
        adapter=files.external_adapter_files,
    output:
        directory("<study>/adapters/{adapter}"),
    log:
        "<study>/logs/adapters/{adapter}.log",
    wildcard_constraints:
        adapter=files.names.external_adapter,
    conda:
        "../envs/train.yaml"
    params:
        source=files.external_adapter_folder,
    script:
        "../workflow_scripts/import_adapter.py"


rule measure_adapter:
    """Measure the perplexity of a clinical adapter that exists already on the notes of a corpus."""
    input:
        base=files.adapter_base,
        adapter="<study>/adapters/{adapter}",
        tokens=files.adapter_tokens,
        general=files.adapter_general_text,
    output:
        perplexity="<study>/perplexity/{adapter}.json",
        run_log="<study>/runs/adapters/{adapter}.jsonl",
    log:
        "<study>/logs/perplexity/{adapter}.log",
    benchmark:
        "<study>/benchmarks/perplexity/{adapter}.tsv"
    wildcard_constraints:
        adapter=files.names.measured_adapter,
    priority: 50
    conda:
        "../envs/train.yaml"
    threads: files.measure_threads
    params:
        job=files.measure_job,
        work=files.work("perplexity/{adapter}"),
    script:
        "../workflow_scripts/measure_adapter.py"


rule pretrain:
    """Target: every clinical adapter of the study."""
    input:
        files.perplexities,
    localrule: True
