"""Write the report."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.statistics import dataset_statistics
    from clinical_peft.evaluation.report import build_report
    from clinical_peft.evaluation.tables import build_tables
    from clinical_peft.files import read_json, sha256_file
    from clinical_peft.provenance import git_revision, machine, package_versions

    given, params = snakemake.input, snakemake.params
    perplexities = [read_json(Path(path)) for path in given.perplexities]
    comparison = read_json(Path(given.comparison))
    hospital = {"hospital": sha256_file(Path(params.hospital))} if params.hospital else {}
    build_report(
        template=Path(given.template),
        study=params.study,
        tables=build_tables(
            statistics=dataset_statistics(Path(path) for path in given.cohorts),
            perplexities=perplexities,
            aggregate=comparison,
            labels=params.labels,
        ),
        attrition={Path(path).name.split(".")[0]: read_json(Path(path)) for path in given.attrition},
        aggregate=comparison,
        metrics=[read_json(Path(path)) for path in given.metrics],
        perplexities=perplexities,
        figures={path.stem: path for path in sorted(Path(given.figures).glob("*.svg"))},
        labels=params.labels,
        provenance={
            "git revision": git_revision(Path(__file__).parent),
            "versions": package_versions(),
            "machine": machine(),
            "input checksums (SHA-256)": {Path(path).stem: sha256_file(Path(path)) for path in given.cohorts}
            | hospital,
        },
        output=Path(snakemake.output[0]),
    )
