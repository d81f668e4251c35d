"""`python -m qrgmm.desk`, which decides, and `python -m qrgmm.desk monitor`, which looks back."""

import sys

from qrgmm.desk.command import main
from qrgmm.desk.monitor import monitor

if sys.argv[1:2] == ["monitor"]:
    monitor(sys.argv[2:])
else:
    main()
