"""Write the card of every adapter."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.files import read_json, write_text
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.report.model_cards import CardFacts, model_card
    from clinical_peft.runtime.lineage import training_environments
    from clinical_peft.runtime.provenance import git_revision, together
    from clinical_peft.tables.study_results import StudyResults
    from clinical_peft.tables.study_tasks import tasks_of

    params = snakemake.params
    adapters = [read_json(Path(path)) for path in snakemake.input.perplexities]
    results = StudyResults(
        labels=params.labels,
        tasks=tasks_of(params.tasks),
        metric=find_metric(params.metric),
        comparison=read_json(Path(snakemake.input.comparison)),
        perplexities=adapters,
    )
    trained = training_environments(map(Path, snakemake.input.run_logs))
    facts = CardFacts(
        study=params.study,
        sources=params.sources,
        models=params.models,
        results=results,
        provenance={"git revision": git_revision(Path(__file__).parent)},
        environments={identity.rpartition("/")[2]: together([found]) for identity, found in trained.items()},
    )
    cards = {Path(path).stem: Path(path) for path in snakemake.output}
    for adapter in adapters:
        if adapter["adapter"] in cards:  # not one that exists already
            write_text(cards[adapter["adapter"]], model_card(adapter, facts))
