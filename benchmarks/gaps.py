"""Keep the effects that study gaps measured, with the machine that measured them, in benchmarks/results.

snakemake --cores 2 --configfile config/gaps.yaml
python benchmarks/gaps.py
"""

import sys
from pathlib import Path
from typing import Any

from clinical_peft.files import read_json, write_json
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

HERE = Path(__file__).resolve().parent
RECORDS = ("protocol_gaps", "contamination")


def collect(study: Path) -> dict[str, Any]:
    """Return both records of a finished study with revision, versions and machine."""
    missing = [name for name in RECORDS if not (study / f"{name}.json").is_file()]
    if missing:
        sys.exit(f"{study}: expected {missing[0]}.json, found no file; run the study gaps first")
    return {name: read_json(study / f"{name}.json") for name in RECORDS} | {
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    write_json(HERE / "results" / "gaps.json", collect(HERE.parent / "results" / "gaps"))
