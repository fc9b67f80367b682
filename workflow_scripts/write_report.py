"""Write the report."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.evaluation.report import build_report
    from clinical_peft.evaluation.study_tables import TableSources, study_tables
    from clinical_peft.files import read_json, sha256_file
    from clinical_peft.provenance import git_revision, machine, package_versions

    given, labels = snakemake.input, snakemake.params.labels
    cohorts = [Path(path) for path in given.cohorts]
    provenance = [Path(snakemake.params.hospital)] if snakemake.params.hospital else []
    build_report(
        template=Path(given.template),
        study=snakemake.params.study,
        tables=study_tables(TableSources.of(given), labels=labels, protocol=snakemake.params.study["protocol"]),
        aggregate=read_json(Path(given.comparison)),
        metrics=[read_json(Path(path)) for path in given.metrics],
        perplexities=[read_json(Path(path)) for path in given.perplexities],
        figures={path.stem: path for path in sorted(Path(given.figures).glob("*.svg"))},
        labels=labels,
        provenance={
            "git revision": git_revision(Path(__file__).parent),
            "versions": package_versions(),
            "machine": machine(),
            "input checksums (SHA-256)": {path.stem: sha256_file(path) for path in [*cohorts, *provenance]},
        },
        output=Path(snakemake.output[0]),
    )
