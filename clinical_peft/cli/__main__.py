"""`python -m clinical_peft.cli`, the same as `clinical-peft`."""

import sys

from clinical_peft.cli.app import main

sys.exit(main())
