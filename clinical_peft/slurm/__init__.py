"""Commands of SLURM as its executor plugin understands them."""
