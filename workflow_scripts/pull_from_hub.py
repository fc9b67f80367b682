"""Fetch the study's adapters from the Hugging Face Hub."""

from pathlib import Path

from script_entry import job

hub = snakemake.params.hub
with job(snakemake.log[0], network=hub["repository"] is not None):
    from clinical_peft.files import write_json
    from clinical_peft.models.hub import pull_adapter, repository_of

    pulled = [
        pull_adapter(
            folder.name,
            repository=repository_of(hub["repository"], folder.name),
            revision=hub["revisions"].get(folder.name),
            output=folder,
        )
        for folder in map(Path, snakemake.output.adapters)
    ]
    write_json(Path(snakemake.output.record), pulled)
