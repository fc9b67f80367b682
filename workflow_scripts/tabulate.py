"""Write the results tables."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.evaluation.cohort_tables import build_cohort_tables
    from clinical_peft.evaluation.evidence_tables import build_evidence_tables
    from clinical_peft.evaluation.render import write_table
    from clinical_peft.evaluation.tables import build_tables
    from clinical_peft.files import read_json

    statistics = read_json(Path(snakemake.input.statistics))
    comparison = read_json(Path(snakemake.input.comparison))
    tables = build_tables(
        statistics=statistics,
        perplexities=[read_json(Path(path)) for path in snakemake.input.perplexities],
        aggregate=comparison,
        labels=snakemake.params.labels,
    )
    tables |= build_evidence_tables(
        aggregate=comparison,
        calibration=read_json(Path(snakemake.input.calibration)),
        subgroups=read_json(Path(snakemake.input.subgroups)),
        labels=snakemake.params.labels,
    )
    tables |= build_cohort_tables(
        protocol=snakemake.params.protocol,
        statistics=statistics,
        attrition={Path(path).name.split(".")[0]: read_json(Path(path)) for path in snakemake.input.attrition},
    )
    for name, table in tables.items():
        write_table(table, Path(snakemake.output[0]).parent / name)
