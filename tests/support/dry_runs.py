"""Several dry runs in one process, which spares each the imports: which jobs would run by each command.

Standard input is a JSON list of Snakemake's arguments, standard output a JSON list with, per command, its exit code,
its jobs (the rule, and the values of its wildcards) and the end of what it printed.
"""

import contextlib
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from snakemake.cli import main

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)


def dry_run(arguments: Sequence[str]) -> dict[str, Any]:
    """What a command would do."""
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        try:
            sys.argv = ["snakemake", "--dry-run", "--quiet", "host", *arguments]
            code = main(sys.argv[1:]) or 0
        except SystemExit as end:
            code = end.code
    text = output.getvalue()
    return {"code": code, "jobs": sorted(name_of(*found) for found in JOB.findall(text)), "output": text[-2000:]}


def name_of(rule: str, block: str) -> str:
    """The rule, and the values of its wildcards."""
    found = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
    values = [pair.partition("=")[2] for pair in found[1].split(", ")] if found else []
    return " ".join([rule, *values])


if __name__ == "__main__":
    json.dump([dry_run(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
