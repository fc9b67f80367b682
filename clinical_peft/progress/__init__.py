"""What a running study shows on the terminal, from Snakemake's log events and the logs of its jobs."""
