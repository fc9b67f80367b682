"""Bring a base with real weights into the study."""

from pathlib import Path

from script_entry import job

source = snakemake.params.source
with job(snakemake.log[0], network=source["kind"] == "hub"):
    from clinical_peft.config import experiments
    from clinical_peft.models import pretrained
    from clinical_peft.models.base_sources import package_folder

    output, name, family = Path(snakemake.output[0]), snakemake.wildcards.base, snakemake.params.family
    # No parameter of the rule: a longer context must not import the base, and so train everything, again.
    context = experiments.longest_reading(experiments.load_study(snakemake.config), name)
    settings = {"precision": snakemake.params.precision, "context": context}
    if source["kind"] == "hub":
        pretrained.prepare_hub_base(source["id"], source["revision"], output, family=family, **settings)
    else:
        package = source["package"]
        path = package_folder(package) / source["path"] if package else Path(source["path"])
        origin = f"{package}/{source['path']}" if package else path.name
        if source["kind"] == "gguf":
            pretrained.prepare_gguf_base(path, output, name=name, source=origin, **settings)
        else:
            pretrained.prepare_local_base(path, output, name=name, family=family, source=origin, **settings)
