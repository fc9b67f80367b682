rule train_adapter:
    """Train one clinical adapter on the notes of a corpus and measure its perplexity."""
    input:
        base=base_of_adapter,
        tokens=tokens_of_adapter,
        general=general_text_of_adapter,
        search=best_recipe_of_adapter,
    output:
        adapter=directory("<study>/adapters/{adapter}"),
        perplexity="<study>/perplexity/{adapter}.json",
        run_log="<study>/runs/adapters/{adapter}.jsonl",
    log:
        "<study>/logs/adapters/{adapter}.log",
    benchmark:
        "<study>/benchmarks/adapters/{adapter}.tsv"
    priority: 50
    conda:
        "../envs/train.yaml"
    threads: threads_of_adapter
    params:
        job=job_of_adapter,
        checkpoint_seconds=checkpoint_seconds_of_adapter,
        work=f"{ROOT}/work/adapters/{{adapter}}",
    script:
        "../workflow_scripts/train_adapter.py"


rule pretrain:
    """Target: every clinical adapter of the study."""
    input:
        perplexities_in_use(),
    localrule: True
