"""Options are the fields of RunConfig, and say the same."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from prunebench import RunConfig
from prunebench.cli.commands import efficiency, evaluate, prune, train
from prunebench.cli.options import config_options, decimals, gather, numbers
from prunebench.config import deciding, default, field_types, meta, option_name
from prunebench.data.dataset import datasets
from prunebench.errors import ConfigError
from prunebench.models.architecture import models

COMMANDS = [train.command, prune.command, evaluate.command, efficiency.command]
EXAMPLES = {bool: None, int: "3", float: "0.25", str: "some"}


def parsed(*arguments):
    """The config that a command with every option makes of some arguments."""
    seen = []

    @click.command()
    @config_options("training", "pruning", "nothing")
    def command(config_file, **values):
        seen.append(gather(values, config_file))

    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False, standalone_mode=False)
    assert result.exception is None
    return seen[0]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_has_an_option_for_each_field_that_concerns_it(command):
    parts = ("training", "nothing") if command.name == "train" else ("training", "pruning", "nothing")
    flags = {flag for parameter in command.params for flag in parameter.opts}
    without = {"prune": set(), "train": {"--until"}}.get(command.name, {"--until", "--devices", "--track"})
    assert {option_name(name) for name in deciding(*parts)} - without <= flags
    assert {"--json", "--quiet", "--debug", "--config"} <= flags
    assert not without & flags


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_every_option_once_with_its_default(command):
    text = CliRunner().invoke(command, ["--help"], terminal_width=200).output
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            continue
        flags = [line for line in text.splitlines() if line.startswith(f"  {parameter.opts[0]}")]
        exact = [line for line in flags if line.strip().split()[0].rstrip(",").split("/")[0] == parameter.opts[0]]
        assert len(exact) == 1, parameter.name
    assert "[default: the model's, else one-cycle]" in text
    assert "[default: performance]" in text


@pytest.mark.parametrize("name", field_types())
def test_an_option_says_what_its_field_says(name):
    (option,) = [parameter for parameter in prune.command.params if parameter.name == name]
    assert option.opts[0] == option_name(name)
    assert (meta(name).description or "") in (option.help or "")
    value = default(name)
    fitting = {field for registry in (models, datasets) for key in registry.names() for field in of(registry.get(key))}
    if value not in (None, (), False):
        shown = f"the model's, else {value}" if name in fitting else value
        assert f"[default: {shown}]" in option.help


def of(entry):
    """The fields that a model or dataset has values for."""
    return {*(entry.defaults or {}), *(getattr(entry, "pretrained", None) or {})}


def test_no_option_is_an_empty_config():
    assert parsed() == RunConfig()


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (("--model", "vgg16", "--fraction", "0.2", "--seed", "0"), {"model": "vgg16", "fraction": 0.2, "seed": 0}),
        (("--augment", "--no-freeze"), {"augment": True, "freeze": False}),
        (("--include", "a.*", "--include", "b"), {"include": ("a.*", "b")}),
        (("--mean", "0.5, .25,1e-1"), {"mean": (0.5, 0.25, 0.1)}),
        (("--dtype", "bf16", "--clip-norm", "0"), {"dtype": "bf16", "clip_norm": 0.0}),
    ],
)
def test_values_arrive_in_their_fields(arguments, fields):
    assert parsed(*arguments) == RunConfig(**fields)


def test_options_win_over_the_file(tmp_path):
    (tmp_path / "a.toml").write_text("model = 'vgg16'\nlr = 0.5\naugment = true\nexclude = ['x']\n")
    config = parsed("--config", str(tmp_path / "a.toml"), "--lr", "0.1", "--no-augment")
    assert config == RunConfig(model="vgg16", lr=0.1, augment=False, exclude=("x",))


def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_option():
    with pytest.raises(ConfigError, match="--finetune-lr"):
        parsed("--finetune-lr", "-1")


@pytest.mark.parametrize(("text", "expected"), [(None, None), ("3", (3,)), ("0,3, 6", (0, 3, 6))])
def test_numbers_are_separated_by_commas(text, expected):
    assert numbers(click.Context(click.Command("x")), click.Option(["--steps"]), text) == expected


@pytest.mark.parametrize("text", ["", "1;2", "1,,2", "1.5"])
def test_what_is_no_list_of_numbers_is_refused(text):
    with pytest.raises(click.BadParameter):
        numbers(click.Context(click.Command("x")), click.Option(["--steps"]), text)


@pytest.mark.parametrize("text", ["", "0.5;0.5", "0.5,,", "half"])
def test_what_is_no_list_of_decimals_is_refused(text):
    with pytest.raises(click.BadParameter, match="is not a list of numbers"):
        decimals(click.Context(click.Command("x")), click.Option(["--mean"]), text)
