"""`python -m prunebench`."""

from prunebench.cli.main import main

main()
