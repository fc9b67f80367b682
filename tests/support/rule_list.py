"""Print the rules of the workflow as Snakemake reads them: a JSON object of each rule's parts by its name."""

import json
import sys
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings


def list_rules(snakefile: Path) -> dict[str, dict[str, Any]]:
    """Docstring, script, environment, and whether there is a log and a benchmark, of every rule."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(ResourceSettings(), ConfigSettings(), snakefile=snakefile)._workflow
        return {
            rule.name: {
                "docstring": rule.docstring,
                "script": Path(rule.script).name if rule.script else None,
                "environment": Path(str(rule.conda_env)).stem if rule.conda_env else None,
                "has_log": bool(rule.log),
                "has_benchmark": rule.benchmark is not None,
            }
            for rule in workflow.rules
        }


if __name__ == "__main__":
    json.dump(list_rules(Path(sys.argv[1])), sys.stdout)
