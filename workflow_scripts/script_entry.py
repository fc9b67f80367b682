"""What every script of the workflow imports first.

Snakemake puts this folder on the path of a script, whatever environment or node it runs in; the library lies one
folder above.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clinical_peft.jobs import job

__all__ = ["job"]
