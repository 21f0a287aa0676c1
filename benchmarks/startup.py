"""`prunebench --help` answers in at most 0.1 s, `prune --help` in 0.15 s, a run that is finished in 0.3 s, and a shell
that asks for names in 0.3 s.

    python benchmarks/startup.py

Seconds of the whole process, from its start to its end, with files in the page cache. What is finished is a run of
ResNet18 on a few digits: the same command again reads its records, prints its table and writes its matrices.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from pairing import Claim, alternate, options, report

RUN = "prunebench prune --model resnet18 --limit-train 60 --limit-test 20 --epochs 1 --iterations 2"
COMPLETED = ("prunebench prune --model ", "prunebench prune --dataset ", "prunebench prune --criterion ")
"""Lines at whose ends a shell asks for names."""

TARGETS = {"prunebench --help": 0.1, "prunebench prune --help": 0.15, RUN: 0.3, **dict.fromkeys(COMPLETED, 0.3)}


def call(command: str, folder: str) -> None:
    """Run a command line of prunebench, as it is installed beside this Python, in a folder."""
    program, *arguments = command.split()
    path = Path(sys.executable).with_name(program).absolute()
    about = {"COMP_WORDS": command, "COMP_CWORD": "3", "_PRUNEBENCH_COMPLETE": "bash_complete"}
    completes = command in COMPLETED
    subprocess.run(
        [path, *([] if completes else arguments)],
        check=True,
        cwd=folder,
        env=os.environ | (about if completes else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main() -> int:
    """Run it."""
    given = options(__doc__ or "", rounds=15).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        contenders = {command: partial(call, command, folder) for command in TARGETS}
        alternate(contenders, 1)  # computes the run, and fills the page cache
        seconds = alternate(contenders, given.rounds)
    names = {command: "a finished run" if command == RUN else command for command in TARGETS}
    names |= {command: f"{command.strip()} TAB" for command in COMPLETED}
    claims = [Claim(names[command], seconds[command], "≤", target, unit="s") for command, target in TARGETS.items()]
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
