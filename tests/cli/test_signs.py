"""A console that lacks a sign shows another; nothing ends for it."""

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.cli import signs
from prunebench.cli.signs import bear_any_sign


@pytest.fixture
def console(monkeypatch):
    """Both streams on one console of an encoding; what is printed comes back as text."""

    def console(encoding):
        raw = io.BytesIO()
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding, write_through=True))
        bear_any_sign()
        return lambda: raw.getvalue().decode(encoding)

    return console


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "0.9 +-0.1, 0.8-0.95 ... <= 32x32 -> ? \\xe9\n"),
        ("cp437", "0.9 ±0.1, 0.8-0.95 ... ≤ 32x32 -> ? \\xe9\n"),
        ("utf-8", "0.9 ±0.1, 0.8–0.95 … ≤ 32×32 → 猫 \\xe9\n"),
    ],
)
def test_signs_that_a_code_page_lacks_are_shown_in_those_that_it_has(console, encoding, shown):
    seen = console(encoding)
    print("0.9 ±0.1, 0.8–0.95 … ≤ 32×32 → 猫 \udce9", file=sys.stderr)
    assert seen() == shown


@given(
    st.text(st.characters(codec=None), max_size=20), st.sampled_from(["ascii", "cp437", "cp1252", "shift_jis", "utf-8"])
)
def test_any_text_can_be_printed(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    stdout, sys.stdout = sys.stdout, stream
    try:
        bear_any_sign()
        print(text)
    finally:
        sys.stdout = stdout
    assert stream.buffer.getvalue().decode(encoding).endswith("\n")


def test_streams_that_are_no_files_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    bear_any_sign()
    print("±")
    assert sys.stdout.getvalue() == "±\n"


def test_what_stands_for_a_sign_is_in_every_code_page():
    assert "".join(signs.PLAIN.values()).isascii()


def test_the_command_line_ends_well_on_a_console_of_few_signs():
    about = {"env": {**os.environ, "PYTHONIOENCODING": "cp437"}, "capture_output": True}
    for command in (["list"], ["prune", "--help"]):
        ended = subprocess.run([sys.executable, "-m", "prunebench", *command], check=False, **about)
        assert (ended.returncode, ended.stderr) == (0, b"")
