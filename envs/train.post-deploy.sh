#!/bin/sh
# Written by envs/lock.py from envs/requirements.lock and envs/torch.lock; do not edit.
# Snakemake runs it in the environment that it has made. pip takes the build of torch that it finds newest;
# PIP_EXTRA_INDEX_URL names an index with others.
set -eu
python -m pip install torch==2.13.0
python -m pip install --no-deps --require-hashes --requirement /dev/stdin <<'PINS'
accelerate==1.15.0 \
    --hash=sha256:97eacca0b73e45cb867dbf8c5d5d4dc32219544300e0c8992c7334dc2ef33cec
peft==0.21.2 \
    --hash=sha256:106ab6077ff72c54d21577f9af5970e34bac7582cb14209f7b2b511e322a4eae
PINS
