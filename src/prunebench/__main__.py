"""`python -m prunebench`."""

import os
import sys

if sys.path[0] == os.getcwd():  # noqa: PTH109
    sys.path.append(sys.path.pop(0))  # what lies in the current folder must hide no package, as with the console script

from prunebench.cli.start import main

main()
