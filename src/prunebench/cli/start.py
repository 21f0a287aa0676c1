"""Start: the console script. It imports nothing before Ctrl-C is cared for, since imports take a while."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from prunebench.cli.launched import leading
        from prunebench.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    with leading():
        run()
