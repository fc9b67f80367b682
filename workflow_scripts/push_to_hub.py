"""Send the study's adapters to the Hugging Face Hub."""

from pathlib import Path

from script_entry import job

hub = snakemake.params.hub
with job(snakemake.log[0], network=hub["repository"] is not None):
    from clinical_peft.files import write_json
    from clinical_peft.models.hub import plan_shipments, push_adapters

    shipments = plan_shipments(
        hub["repository"],
        {Path(path).name: Path(path) for path in snakemake.input.adapters},
        {Path(path).stem: Path(path) for path in snakemake.input.cards},
    )
    sent = push_adapters(
        shipments,
        private=hub["private"],
        synthetic=snakemake.params.synthetic,
        share_derived_weights=hub["share_derived_weights"],
    )
    write_json(Path(snakemake.output[0]), sent)
