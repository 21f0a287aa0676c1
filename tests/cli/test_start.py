"""Ctrl-C while prunebench is imported ends it as at any other time."""

import sys

import pytest

from prunebench.cli import start


def test_ctrl_c_while_it_is_imported_shows_no_traceback(monkeypatch):
    class Interrupts:
        """A finder of modules that is interrupted."""

        def find_spec(self, name, path=None, target=None):
            if name == "prunebench.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "prunebench.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    with pytest.raises(SystemExit) as stop:
        start.main()
    assert stop.value.code == 130


def test_it_runs_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prunebench", "--version"])
    with pytest.raises(SystemExit) as stop:
        start.main()
    assert not stop.value.code
    assert "prunebench" in capsys.readouterr().out
