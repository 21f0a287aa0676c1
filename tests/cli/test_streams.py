"""Streams that are closed, full, gone, or of few signs: the work goes on, and the exit status says what was printed."""

import errno
import io
import json
import os
import struct
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.cli import streams
from prunebench.cli.main import main
from prunebench.cli.streams import Streams
from prunebench.runs.index import all_runs

MODEL = """
from torch import nn


def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, classes))
"""
SMALL = ("--dataset", "digits", "--image-size", "8", "--limit-train", "40", "--limit-test", "20", "--epochs", "1")


class Faulty(io.RawIOBase):
    """A stream that takes so many bytes, and then fails."""

    def __init__(self, takes, number):
        super().__init__()
        self.taken, self._takes, self._number = b"", takes, number

    def writable(self):
        return True

    def write(self, data):
        if len(self.taken) + len(data) > self._takes:
            raise OSError(self._number, os.strerror(self._number))
        self.taken += bytes(data)
        return len(data)


def text_on(raw, encoding="utf-8", errors="strict"):
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, write_through=True)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command line in this process, on the streams that are given; returns its exit status."""

    def command(*arguments, stdin=None, stdout=None, stderr=None):
        for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["prunebench", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert (sys.stdin, sys.stdout, sys.stderr) == (stdin, stdout, stderr)
        return stop.value.code

    monkeypatch.chdir(tmp_path)
    return command


GONE, FULL = errno.EPIPE, errno.ENOSPC


@pytest.mark.parametrize(
    ("out", "err", "status"),
    [(GONE, None, 141), (FULL, None, 2), (None, GONE, 141), (None, FULL, 2), (GONE, GONE, 141), (GONE, FULL, 2)],
)
def test_a_run_is_kept_whatever_becomes_of_the_streams(out, err, status, command, tmp_path):
    """Streams fail after 30 bytes: in the plan, and in the first line of the table."""
    (tmp_path / "net.py").write_text(MODEL)
    raw = [Faulty(30 if number else 10**6, number or 0) for number in (out, err)]
    arguments = ("prune", "--model", "net.py:build", *SMALL, "--iterations", "1", "--finetune-epochs", "1")
    assert command(*arguments, stdout=text_on(raw[0]), stderr=text_on(raw[1])) == status
    steps = {run.manifest.kind: run.steps() for run in all_runs(tmp_path / "runs")}
    assert steps == {"train": [0], "prune": [0, 1]}
    told = b"Error: Not everything could be printed: No space left on device. What was computed is kept.\n"
    assert raw[1].taken.endswith(told) == (out == FULL)
    assert (b"95 % interval" in raw[0].taken) == (out is None)


@pytest.mark.parametrize("number", [GONE, FULL])
def test_an_error_keeps_its_status(number, command):
    both = {name: text_on(Faulty(0, number)) for name in ("stdout", "stderr")}
    assert command("prune", "--model", "gone", **both) == 2


def test_a_reader_that_left_is_the_shells_141(command):
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(os.fdopen(writer, "wb")) as pipe:
        assert command("list", stdout=pipe, stderr=pipe) == 141


def test_without_streams_all_goes_well(command):
    assert command("list") == 0
    assert command("prune", "--model", "gone") == 2


def test_what_windows_says_of_a_pipe_that_is_closed(command, monkeypatch):
    assert command("list", stdout=text_on(Faulty(9, errno.EINVAL)), stderr=io.StringIO()) == 2
    monkeypatch.setattr(streams, "WINDOWS", True)
    assert command("list", stdout=text_on(Faulty(9, errno.EINVAL)), stderr=io.StringIO()) == 141


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_numbers_of_closed_streams_are_given_to_no_file(closed, tmp_path):
    code = """
        import sys
        from pathlib import Path
        from prunebench.cli.streams import Streams
        with Streams():
            with Path(sys.argv[1]).open("w") as file:
                print("lost")
                print("lost", file=sys.stderr)
                file.write(f"{file.fileno() > 2}, {sys.stdin.read()!r}")
    """
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "told")]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert done.returncode == 0
    assert (tmp_path / "told").read_text() == "True, ''"


def test_a_pipe_that_does_not_block_gets_all(monkeypatch):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    read = []
    thread = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(reader, 2**20), b"")))
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with Streams() as borne:
            threading.Timer(0.05, thread.start).start()
            print("x" * 10**6)
            assert borne.status(0) == 0
        assert not os.get_blocking(writer)
    thread.join()
    os.close(reader)
    assert b"".join(read) == b"x" * 10**6 + b"\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "0.9 +-0.1, 0.8-0.95 ... <= 32x32 -> ? \\xe9\n"),
        ("latin-1", "0.9 ±0.1, 0.8-0.95 ... <= 32×32 -> ? \\xe9\n"),
        ("cp437", "0.9 ±0.1, 0.8-0.95 ... ≤ 32x32 -> ? \\xe9\n"),
        ("cp1252", "0.9 ±0.1, 0.8–0.95 … <= 32×32 -> ? \\xe9\n"),
        ("utf-8", "0.9 ±0.1, 0.8–0.95 … ≤ 32×32 → 猫 \\xe9\n"),
    ],
)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_signs_that_a_code_page_lacks_are_shown_in_those_that_it_has(name, encoding, shown, monkeypatch):
    raw = Faulty(10**6, 0)
    monkeypatch.setattr(sys, name, text_on(raw, encoding))
    with Streams():
        click.echo("0.9 ±0.1, 0.8–0.95 … ≤ 32×32 → 猫 \udce9", err=name == "stderr")
    assert raw.taken.decode(encoding) == shown


@given(
    st.text(st.characters(codec=None), max_size=20), st.sampled_from(["ascii", "cp437", "cp1252", "shift_jis", "utf-8"])
)
def test_any_text_can_be_printed(text, encoding):
    raw = Faulty(10**6, 0)
    stdout, sys.stdout = sys.stdout, text_on(raw, encoding)
    try:
        with Streams():
            print(text)
    finally:
        sys.stdout = stdout
    assert raw.taken.decode(encoding).endswith("\n")


def test_streams_that_are_no_files_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with Streams():
        print("±")
    assert sys.stdout.getvalue() == "±\n"


def test_the_command_line_ends_well_on_a_console_of_few_signs():
    about = {"env": {**os.environ, "PYTHONIOENCODING": "cp437"}, "capture_output": True}
    for arguments in (["list"], ["prune", "--help"]):
        ended = subprocess.run([sys.executable, "-m", "prunebench", *arguments], check=False, **about)
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_names_of_any_bytes_are_records(command, tmp_path):
    (tmp_path / "net.py").write_text(MODEL)
    raw = Faulty(10**6, 0)
    folder = os.fsdecode(b"caf\xe9")
    made = command("train", "--model", "net.py:build", *SMALL, "--runs-dir", folder, stdout=text_on(raw))
    assert made == 0
    assert command("runs", "--runs-dir", folder, "--json", stdout=text_on(raw)) == 0
    json.loads(raw.taken.splitlines()[-1])


@pytest.fixture
def terminal():
    """Makes the end of a terminal of so many columns that is written to, and what is seen on it then."""
    pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))
    ends = []

    def make(columns):
        reader, writer = pty.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        stream = os.fdopen(writer, "w", encoding="utf-8")
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(iter(lambda: _read(reader), b"")))
        thread.start()
        ends.append((reader, stream))

        def text():
            stream.close()
            thread.join()
            return b"".join(seen).decode()

        return stream, text

    yield make
    for reader, stream in ends:
        stream.close()
        os.close(reader)


def _read(reader):
    try:
        return os.read(reader, 4096)
    except OSError:  # what Linux says of a terminal whose other end is closed
        return b""


@pytest.mark.parametrize(("columns", "term"), [(20, "xterm"), (0, "xterm"), (20, "dumb"), (80, None)])
def test_a_run_is_drawn_within_any_terminal(columns, term, terminal, command, monkeypatch):
    monkeypatch.setenv("TERM", term) if term else monkeypatch.delenv("TERM", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    Path("net.py").write_text(MODEL)
    stream, text = terminal(columns)
    arguments = ("prune", "--model", "net.py:build", *SMALL, "--iterations", "1", "--finetune-epochs", "2")
    assert command(*arguments, stdout=stream, stderr=stream) == 0
    seen = text()
    drawn = [part for line in seen.split("\n") for part in line.split("\r") if "% |" in part]
    assert bool(drawn) == (term != "dumb")
    assert not [part for part in drawn if columns and len(part) > columns]
    assert "95 % interval" in seen


@pytest.mark.parametrize("columns", ["20", "0", "-1", "wide"])
def test_help_fits_any_number_of_columns(columns, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    raw = Faulty(10**6, 0)
    assert command("prune", "--help", stdout=text_on(raw)) == 0
    assert b"--fraction" in raw.taken
