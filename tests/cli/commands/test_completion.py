"""Every shell gets a script that asks prunebench."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from prunebench.cli.commands.completion import SHELLS
from prunebench.cli.main import cli


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_asks_prunebench(shell):
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0, result.output
    assert f"_PRUNEBENCH_COMPLETE={shell}_complete" in result.output
    assert "_prunebench_completion" in result.output


def test_another_shell_is_refused():
    result = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert result.exit_code == 2
    assert "'tcsh' is not one of" in result.output
