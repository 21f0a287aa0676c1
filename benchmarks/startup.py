"""`prunebench --help` answers in at most 0.3 s, and `prunebench prune --help` in at most 0.6 s.

    python benchmarks/startup.py

Seconds of the whole process, from its start to its end, with files in the page cache.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from pairing import Claim, alternate, options, report

TARGETS = {"prunebench --help": 0.3, "prunebench prune --help": 0.6}


def call(command: str) -> None:
    """Run a command line of prunebench as it is installed beside this Python."""
    program, *arguments = command.split()
    path = Path(sys.executable).with_name(program)
    subprocess.run([path, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Run it."""
    given = options(__doc__ or "", rounds=15).parse_args()
    contenders = {command: partial(call, command) for command in TARGETS}
    alternate(contenders, 1)  # fills the page cache
    seconds = alternate(contenders, given.rounds)
    claims = [Claim(command, seconds[command], "≤", target, unit="s") for command, target in TARGETS.items()]
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
