"""At the tab key a shell is offered what fits, quickly, and nothing that takes long is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from prunebench.cli import completing
from prunebench.cli.main import COMMANDS, cli
from prunebench.data.dataset import datasets
from prunebench.models.architecture import models
from prunebench.pruning.registry import criteria
from prunebench.records import METRICS


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder with runs, a dense and a pruned one, and what is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/resnet18-dense-1", "runs/resnet18-structured-2", "other/bert-dense-3"):
        Path(name).mkdir(parents=True)
        Path(name, "run.json").write_text("{}")
    Path("runs/aside").mkdir()


def offered(line):
    """What is offered for the last word of a line, or for the next one after a space."""
    *words, incomplete = line.split(" ")
    found = ShellComplete(cli, {}, "prunebench", "_PRUNEBENCH_COMPLETE").get_completions(words, incomplete)
    return [item.value if item.type == "plain" else f"({item.type})" for item in found]


def beginning(names, with_):
    return [name for name in names if name.startswith(with_)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", list(COMMANDS)),
        ("pr", ["prune"]),
        ("--ver", ["--version"]),
        ("nosuch --x", []),
        ("prune --model-", ["--model-arg"]),
        ("prune --model ", models.names()),
        ("prune --model net.p", ["(file)"]),
        ("train --dataset d", beginning(datasets.names(), "d")),
        ("prune --model resnet18 --criterion l", beginning(criteria.names(), "l")),
        ("prune --optimizer ad", ["adam", "adamw"]),
        ("prune --config c", ["(file)"]),
        ("prune --runs-dir o", ["(dir)"]),
        ("verify ", ["resnet18-dense-1", "resnet18-structured-2"]),
        ("damage resnet18-s", ["resnet18-structured-2"]),
        ("evaluate --run x", ["(dir)"]),
        ("export --runs-dir other ", ["bert-dense-3"]),
        ("export --runs-dir nosuch ", ["(dir)"]),
        ("compare resnet18-dense-1 resnet18-s", ["resnet18-structured-2"]),
        ("compare --metric ", list(METRICS)),
        ("report ru", ["(file)"]),
        ("completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_fits_is_offered(line, found):
    assert offered(line) == found


@pytest.mark.parametrize("option", completing.REGISTRIES)
def test_every_option_that_names_an_entry_offers_them(option):
    commands = [cli.get_command(click.Context(cli), name) for name in COMMANDS]
    command = next(each for each in commands if any(option in parameter.opts for parameter in each.params))
    assert len(offered(f"{command.name} {option} ")) > 1


def test_that_something_is_offered_changes_nothing_about_a_command():
    before = cli.get_command(click.Context(cli), "prune")
    offered("prune --model ")
    assert cli.get_command(click.Context(cli), "prune") is before


def run(*command, **environment):
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.mark.parametrize("line", ["", "prune --model ", "prune --dataset ", "prune --criterion ", "verify "])
def test_no_torch_is_imported_for_it(line):
    code = "import sys; from prunebench.cli.main import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    words = {"COMP_WORDS": f"prunebench {line}", "COMP_CWORD": str(len(line.split(" ")))}
    told = run(
        sys.executable,
        "-c",
        f"import sys; sys.argv = ['prunebench']\n{code}",
        **words,
        _PRUNEBENCH_COMPLETE="bash_complete",
    )
    assert len(told.splitlines()) > 2
    assert told.splitlines()[-1] == "False"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_by_what_is_printed(tmp_path):
    program = tmp_path / "bin" / "prunebench"
    program.parent.mkdir()
    start = "import sys; sys.argv[0] = 'prunebench'; from prunebench.cli.start import main; main()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(prunebench completion bash)" && COMP_WORDS=(prunebench verify resnet18-s) && COMP_CWORD=2 && '
        '_prunebench_completion prunebench && echo "${COMPREPLY[@]}"'
    )
    assert run("bash", "-c", script, PATH=f"{program.parent}:{os.environ['PATH']}").strip() == "resnet18-structured-2"
