"""The JSON schema of a study, generated from the pydantic models.

`python -m clinical_peft.config.schema` writes it to `config/schema.json`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from clinical_peft.config.study import Study
from clinical_peft.files import write_text


def study_schema() -> dict[str, Any]:
    """Return the schema with the `$schema` key that Snakemake's validator asks for."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}


def schema_text() -> str:
    """Return the schema as it is kept in the repository."""
    return json.dumps(study_schema(), indent=2) + "\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1] if len(sys.argv) > 1 else "config/schema.json"), schema_text())
