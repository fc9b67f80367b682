"""Collect general English text."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.general_text import collect_general_text

    collect_general_text(Path(snakemake.output[0]), max_characters=snakemake.params.max_characters)
