"""Whatever the command line is given, it ends in order: no traceback, a short error, nothing written when refused.

Command lines and configs are ordinary ones with a few values replaced by odd ones. The children that are the command
line are forked by server.py. Run with -m slow for 2,000 of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import click
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from prunebench.cli.main import COMMANDS, cli
from prunebench.config import field_types
from prunebench.latency.config import EfficiencyConfig

MODEL = """
from torch import nn


def build(classes):
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(6, classes))


def fails(classes):
    raise KeyError("no such thing")


def no_model(classes):
    return 3


number = 3
"""
DATA = """
import numpy as np

from prunebench import Dataset, Split


def load():
    draw = np.random.default_rng(0)
    parts = [Split(draw.integers(0, 255, (count, 8, 8)).astype(np.uint8), np.arange(count) % 3) for count in (31, 16)]
    return Dataset(*parts, ["a", "b", "c"])
"""
FILES = {"net.py": MODEL.encode(), "data.py": DATA.encode(), "file": b"a file\n"}

SETTINGS = {
    "model": "net.py:build",
    "dataset": "data.py:load",
    "image_size": 8,
    "epochs": 1,
    "batch_size": 16,
    "threads": 1,
    "workers": 0,
    "iterations": 1,
    "finetune_epochs": 1,
    "device": "cpu",
}
"""Settings of a run that takes a moment."""

LINES = {
    "train": (),
    "prune": (),
    "evaluate": (),
    "efficiency": ("--batch-sizes", "1", "--time-budget", "0.1"),
    "verify": ("net-structured",),
    "export": ("net-structured",),
    "runs": (),
    "study": ("study.toml", "--dry-run"),
    "compare": ("method=structured", "method=unstructured"),
    "plot": ("runs",),
    "report": ("runs",),
    "list": (),
}
"""What an ordinary call of each command has, besides SETTINGS where it takes them. `demo` takes nothing but minutes."""

STUDY = """
controls = true

[base]
{base}

[grid]
fraction = [0.1, 0.5]
seed = [0, 1]

[[exclude]]
fraction = 0.5
seed = 1

[efficiency]
batch_sizes = [1]
"""

NUMBERS = ["0", "1", "2", "3", "7", "-1", "0.5", "1.5", "-0.0", "1e-320", "1e30", "1e400", "nan", "inf", "-inf", "5000"]
NUMBERS += ["100000", str(2**31), str(2**63 - 1), str(2**63), str(2**64), "9" * 30, "9" * 5000, "0x10", "1_0", "²", "٣"]
SIGNS = ["", " ", "\n", "a\nb", "\0", "net\0.py", "\x1b[31mred\x1b[0m", "\x9b31m", "\udce9", "\u202egnp", "é", "猫"]
LONG = ["x" * 20_000, "x " * 10_000, "/".join(["x" * 250] * 30)]
FORMS = ["-", "--", "None", "true", "[1]", "{}", "a=b", "=", "a=", "=b", "stem=small", ":", "x:y", "%s", "{0}", "$HOME"]
LISTS = ["*", "?", "[", "[!", "0,1", "1,", ",", "1,1", "0.5,0.5,0.5", "macs<=0.5", "macs<=", "loss<=dense+0"]
LISTS += ["latency@1<=0.5", "top1>=dense-0.1"]
PLACES = ["~", ".", "gone", "gone/sub", "file", "file/sub", "runs", "gone.pth", "file.toml", "study.toml", "good.toml"]
OWN = ["net.py:", ":build", "net.py:gone", "net.py:number", "gone.py:build", "net.py:fails", "net.py:no_model"]
OWN += ["net.py", "net:build", "data.py:load", "os:system", "torch:nn", "file:x", "net-structured", "net-", "n"]
NAMES = ["imagenet", "none", "auto", "cuda", "bert", "resnet18", "image-folder", "text-file", "cifar10", "structured"]
NAMES += ["unstructured", "l1", "random", "eager"]
WORDS = [*SIGNS, *LONG, *FORMS, *LISTS, *PLACES, *OWN, *NAMES]

words = st.sampled_from(WORDS) | st.text(st.characters(codec=None), max_size=12)
odd = (st.sampled_from(NUMBERS) | words).filter(lambda text: not re.search(r"^/|\.\.", text))
"""Values: numbers at and past all bounds, and texts; no place outside the folder of the call, for this may be root."""

given_words = odd.filter(lambda text: "\0" not in text)
"""Values that a system can hand to a program."""


class Call(NamedTuple):
    """A command line, and the files that it finds besides FILES."""

    arguments: list[str]
    files: dict[str, bytes]


def flags_of(command):
    """The options of a command → whether they take a value."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    flags = {flag: not option.is_flag for option in options for flag in (*option.opts, *option.secondary_opts)}
    return {flag: takes for flag, takes in flags.items() if flag != "--debug"}  # which asks for tracebacks


FLAGS = {name: flags_of(cli.get_command(None, name)) for name in COMMANDS}


COMMONER = ["prune", "prune", "train", "study", "study", "study"]
"""Commands that have most settings, or most ways to be told them."""


@st.composite
def calls(draw):
    """A command with some of its options, a few of which have odd values."""
    name = draw(st.sampled_from([*COMMONER, *LINES]))
    flags = FLAGS[name]
    words = [*LINES[name]]
    if name in ("train", "prune", "efficiency"):
        ordinary = {f"--{key.replace('_', '-')}": str(value) for key, value in SETTINGS.items()}
        words += [word for pair in ordinary.items() if pair[0] in flags for word in pair]
    where = draw(st.sampled_from(["options", "options", "a word", "a config"]))
    if where == "options" or "--config" not in flags:
        for flag in draw(st.lists(st.sampled_from(sorted(flags)), min_size=1, max_size=3)) if flags else ():
            words += [flag, draw(given_words)] if flags[flag] else [flag]
    elif where == "a word":
        place = draw(st.integers(0, len(words)))
        words[place : place + draw(st.integers(0, 1))] = [draw(given_words)]
    files = {**FILES, "good.toml": toml_of({"fraction": 0.3}).encode()}
    files["study.toml"] = draw(studies) if name == "study" else STUDY.format(base=toml_of(SETTINGS)).encode()
    if where == "a config" and "--config" in flags:
        files["odd.toml"] = draw(configs)
        words = [*LINES[name], "--config", "odd.toml"]
    if "--dry-run" in flags and draw(st.booleans()):
        words.append("--dry-run")
    return Call([name, *words], files)


def text_of(value):
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {text_of(of)}' for key, of in value.items())}}}"
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
    return str(value)


def toml_of(values):
    return "".join(f"{name} = {text_of(value)}\n" for name, value in values.items())


numbers = st.integers() | st.floats() | st.sampled_from([0, 1, 2, 5000, 2**63, 10**30])
atoms = numbers | st.booleans() | odd.filter(lambda text: not re.search("[\ud800-\udfff]", text))
values = st.recursive(
    atoms,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from("ab"), each, max_size=2),
    max_leaves=5,
)
RAW = [
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b'model = "\xe9"\n',
    b"lr = " + b"9" * 5000 + b"\n",
    b"lr = 0." + b"9" * 5000 + b"\n",
    b"lr = 1979-05-27T07:32:00Z\n",
    b"lr = " + b"[" * 5000 + b"\n",
    b"lr = " + b"[" * 900 + b"]" * 900 + b"\n",
    b"lr = " + b"{a=" * 900 + b"1" + b"}" * 900 + b"\n",
    b".".join([b"a"] * 3000) + b" = 1\n",
    b"[" + b".".join([b"a"] * 3000) + b"]\n",
    b"x" * 20_000 + b" = 1\n",
    b'"\\u001b[31m" = 1\n',
    b'model = """' + b"x" * 20_000 + b'"""\n',
    b"[base\n",
    b"model = ",
]
raw = st.sampled_from(RAW) | st.binary(max_size=8)


@st.composite
def mixed(draw, text):
    """Text with something odd put into it, or cut short."""
    content = text.encode()
    for _ in range(draw(st.integers(0, 1))):
        place = draw(st.sampled_from([0, len(content)]) | st.integers(0, len(content)))
        content = content[:place] + draw(raw) + draw(st.sampled_from([content[place:], b""]))
    return content


def some(names):
    """Odd values of a few of these names."""
    return st.dictionaries(st.sampled_from(sorted(names)) | words.map(text_of), values, max_size=3)


configs = some(field_types()).flatmap(lambda chosen: mixed(toml_of(SETTINGS | chosen)))


@st.composite
def _studies(draw):
    tables = {"controls": True, "base": SETTINGS, "grid": {"fraction": [0.1, 0.5], "seed": [0, 1]}, "experiments": [{}]}
    tables |= {"exclude": [{"fraction": 0.5, "seed": 1}], "efficiency": {"batch_sizes": [1]}}
    for name in draw(st.lists(st.sampled_from(sorted(tables)), max_size=2)):
        fields = field_types(EfficiencyConfig) if name == "efficiency" else field_types()
        chosen = draw(some([*fields, "backends", "dtypes"]))
        grid = {key: value if draw(st.integers(0, 3)) == 0 else [value] for key, value in chosen.items()}
        tables[name] = draw(
            values | st.just({**tables[name], **(grid if name == "grid" else chosen)})
            if isinstance(tables[name], dict)
            else values | st.just([chosen])
        )
    return draw(mixed(toml_of(tables)))


studies = _studies()


STATUSES = {0, 1, 2, 130, 143}
"""Done; a difference or a failure that was looked for; refused; stopped by Ctrl-C; stopped by `kill`."""

PATIENCE = 3.0
"""Seconds that a call may take before it is stopped, as by `kill`."""


@pytest.fixture(scope="module")
def prunebench(tmp_path_factory):
    """Calls the command line in a new folder with files and finished runs, and tells what it came to and left there."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    folder = tmp_path_factory.mktemp("fuzz")
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"

        def call(arguments, files=FILES, *, begin=folder / "begin", patience=PATIENCE):
            work = folder / "work"
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(begin, work) if begin.exists() else work.mkdir()
            for name, content in files.items():
                (work / name).write_bytes(content)
            before = content_of(work)
            job = {"arguments": arguments, "folder": str(work), "patience": patience}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            return SimpleNamespace(**json.loads(process.stdout.readline()), before=before, after=content_of(work))

        ordinary = [word for key, value in SETTINGS.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        for method in ("structured", "unstructured"):
            made = call(["prune", *ordinary, "--method", method], patience=60)
            assert made.status == 0, made.err
            shutil.copytree(folder / "work", folder / "begin", dirs_exist_ok=True)
        yield call
        process.stdin.close()


def content_of(folder):
    """Every file in a folder → its content; locks and what is known of data are no matter."""
    files = [path for path in folder.rglob("*") if path.is_file() and not {".locks", ".digests"} & set(path.parts)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check(finished):
    """Assert that a call ended in order."""
    said = finished.out + finished.err
    assert finished.status in STATUSES, (finished.status, said)
    assert "Traceback" not in said, said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
    if finished.status == 2:
        assert re.search("^(Error|Usage): ", finished.err, re.MULTILINE), said
        assert len(finished.err) < 6_000, len(finished.err)
        if "epoch" not in finished.err:
            assert finished.after == finished.before


def fuzzed(count):
    """Decorator: a test of so many calls."""
    chosen = settings(
        max_examples=count,
        phases=(Phase.generate,) if count > 100 else (Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: chosen(given(call=calls())(test))


@fuzzed(60)
def test_whatever_is_given_ends_in_order(prunebench, call):
    check(prunebench(*call))


@pytest.mark.slow
@fuzzed(2000)
def test_two_thousand_calls_end_in_order(prunebench, call):
    check(prunebench(*call))
