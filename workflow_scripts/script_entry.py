"""What every script of the workflow imports first.

Snakemake puts this folder on the path of a script, whatever environment or node it runs in; the library lies one
folder above.
"""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clinical_peft.locks.ownership import owned_work
from clinical_peft.runtime.jobs import job

# Importing a deep-learning library makes hundreds of thousands of objects that stay. Looking through them for garbage
# again and again takes a seventh of the import, which every short job would pay.
gc.set_threshold(100_000, 50, 50)

__all__ = ["job", "owned_work"]
