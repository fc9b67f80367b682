"""Generate a synthetic hospital."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.files import atomic_path
    from clinical_peft.synthetic.hospital import generate_hospital

    with atomic_path(Path(snakemake.output[0])) as folder:
        generate_hospital(folder, size=snakemake.params.size, seed=snakemake.params.seed)
