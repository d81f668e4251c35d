"""`python -m qrgmm.studies`."""

import sys

from qrgmm.studies.runner import main

sys.exit(main())
