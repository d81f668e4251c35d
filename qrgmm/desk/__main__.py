"""`python -m qrgmm.desk`."""

from qrgmm.desk.command import main

main()
