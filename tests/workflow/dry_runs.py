"""Several dry runs in one process, which spares each the imports: which jobs would run under each configuration.

Usage: python dry_runs.py SNAKEFILE FOLDER CONFIG... prints a JSON list with a list of jobs per configuration, each
named by its rule and, where it has wildcards, by their values.
"""

import contextlib
import io
import json
import re
import sys

from snakemake.cli import main

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)


def planned_jobs(snakefile: str, folder: str, config: str) -> list[str]:
    """Names of the jobs of a dry run; a list of one line that begins with `error` when it fails."""
    output = io.StringIO()
    arguments = ["--snakefile", snakefile, "--cores", "2", "--directory", folder, "--dry-run", "--quiet", "host"]
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        try:
            main([*arguments, "--configfile", config])
            code = 0
        except SystemExit as end:
            code = end.code
    text = output.getvalue()
    if code:
        return [f"error: {text[-1500:]}"]
    return sorted(name_of(rule, block) for rule, block in JOB.findall(text))


def name_of(rule: str, block: str) -> str:
    """The rule, and the values of its wildcards."""
    found = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
    values = [pair.partition("=")[2] for pair in found[1].split(", ")] if found else []
    return " ".join([rule, *values])


if __name__ == "__main__":
    snakefile, folder, *configs = sys.argv[1:]
    print(json.dumps([planned_jobs(snakefile, folder, config) for config in configs]))
