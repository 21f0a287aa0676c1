"""A command that is told of a run makes this very run."""

from __future__ import annotations

import shlex

import msgspec
import pytest

from prunebench import RunConfig, dense_run, pruning_run
from prunebench.cli.commands.prune import command as prune
from prunebench.cli.commands.train import command as train
from prunebench.cli.options import gather
from prunebench.config import field_types
from prunebench.runs.commands import as_options, command_of, started_from
from prunebench.runs.index import identify
from prunebench.runs.run import Run

CONFIGS = {
    "defaults": {"model": "resnet18"},
    "unstructured, other training": {
        **{"model": "alexnet", "method": "unstructured", "criterion": "random", "scope": "layerwise", "seed": 7},
        **{"epochs": 3, "lr": 0.02, "optimizer": "sgd", "momentum": 0.5, "augment": True, "fraction": 0.25},
    },
    "globs and subsets": {
        **{"model": "resnet18", "include": ("layer1*", "fc; rm"), "exclude": ("* x",), "limit_train": 9},
        **{"validation": 0.2, "dtype": "bf16", "round_to": 8, "finetune_epochs": 0, "deterministic": True},
    },
    "goals": {"model": "resnet18", "until": ("macs<=0.5", "top1>=dense-0.01")},
    "arguments of the builder": {"model": "resnet18", "model_arg": ("stem=small",)},
    "control": {"model": "resnet18", "method": "none", "iterations": 4},
    "normalisation": {"model": "resnet18", "mean": (0.5, 0.25, 0.125), "std": (0.5, 0.5, 0.1)},
    "text": {"model": "bert", "sequence_length": 32},
    "a target": {"model": "resnet18", "method": "unstructured", "sparsity": 0.9, "sparsity_schedule": "cubic"},
    "a target at once": {"model": "resnet18", "compression": 4.0, "sparsity_schedule": "one-shot"},
    "a target of MACs": {"model": "resnet18", "macs": 0.5, "iterations": 3},
    "layers that may lose all": {"model": "resnet18", "method": "unstructured", "floor": 0.0},
    "layers that compete": {"model": "resnet18", "scope": "global"},
    "units that may all but go": {"model": "resnet18", "scope": "global", "floor": 0.0},
    "an epoch, however short": {"model": "resnet18", "finetune_epochs": 1},
    "no updates asked for": {"model": "resnet18", "finetune_updates": 0},
    "epochs and updates": {"model": "resnet18", "finetune_epochs": 2, "finetune_updates": 60},
    "no fine-tuning": {"model": "resnet18", "retrain": "none"},
    "gradual": {"model": "resnet18", "every": 2, "sparsity": 0.5},
    "rewinding": {"model": "resnet18", "retrain": "lr-rewind"},
    "2:4": {"model": "resnet18", "method": "unstructured", "pattern": "2:4"},
    "blocks": {"model": "resnet18", "method": "unstructured", "pattern": "16x16", "fraction": 0.2},
    "blocks to a target": {
        "model": "bert",
        "method": "unstructured",
        "pattern": "4x1",
        "sparsity": 0.5,
        "iterations": 2,
    },
}


@pytest.fixture
def run_of(tmp_path, here, make_record):
    """Makes the run of a config with one recorded step, computed on three threads."""

    def make(config):
        run = pruning_run(msgspec.structs.replace(config, runs_dir=str(tmp_path)))
        on = msgspec.structs.replace(here, threads=3, deterministic=bool(config.deterministic))
        with run.working(on):
            run.commit(make_record(0), lambda folder: None)
        return run

    return make


def parsed(command, by=prune):
    """The config that `prunebench prune …` (or another) reads from a command."""
    program, name, *words = shlex.split(command)
    assert (program, name) == ("prunebench", by.name)
    with by.make_context(name, words) as context:
        return gather({name: context.params[name] for name in field_types() if name in context.params}, None)


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_the_command_of_a_run_makes_the_same_run(settings, run_of, tmp_path):
    run = run_of(RunConfig(**settings))
    again = parsed(command_of(run))
    assert pruning_run(again).key == run.key
    asked = {name: getattr(again, name) for name in ("iterations", "until", "device", "threads", "deterministic")}
    config = run.manifest.config
    assert asked["iterations"] == config["iterations"]
    assert list(asked["until"] or ()) == (config["until"] or [])
    assert (asked["device"], asked["threads"]) == ("cpu", 3)
    assert bool(asked["deterministic"]) == bool(settings.get("deterministic"))
    assert not {"--runs-dir", "--keep"} & set(shlex.split(command_of(run)))


@pytest.mark.parametrize("amount", [{"sparsity": 0.9}, {"pattern": "2:4"}])
def test_no_fraction_is_told_where_a_target_stands_in_its_place(amount, run_of):
    command = command_of(run_of(RunConfig(model="resnet18", method="unstructured", **amount)))
    assert "--fraction" not in command
    assert all(f"--{name} {value}" in command for name, value in amount.items())


def test_a_run_that_starts_from_another_is_told_in_full_since_it_inherits(run_of, tmp_path, here, make_record):
    first = RunConfig(model="resnet18", optimizer="sgd", momentum=0.5, runs_dir=str(tmp_path))
    dense = dense_run(first)
    with dense.working(here):
        dense.commit(make_record(0), lambda folder: None)
    run = run_of(RunConfig(model="resnet18", weights=dense.key, momentum=0.9))
    assert started_from(run).manifest == dense.manifest
    assert started_from(dense) is None
    trained = msgspec.structs.replace(parsed(command_of(dense), train), runs_dir=str(tmp_path))
    assert dense_run(trained).key == dense.key
    again = msgspec.structs.replace(parsed(command_of(run)), runs_dir=str(tmp_path))
    assert (again.momentum, again.weights) == (0.9, dense.key)
    assert pruning_run(again).key == run.key


def test_what_is_the_default_for_everyone_is_not_told(run_of):
    command = command_of(run_of(RunConfig(model="resnet18")))
    assert "--scope" not in command
    assert "--method structured" in command


def test_what_was_made_of_an_object_has_no_command(tiny_config, run_of):
    config = tiny_config(model=lambda classes: None, iterations=1)
    assert command_of(run_of(config)) is None


@pytest.mark.parametrize(
    ("chosen", "options"),
    [
        ({"backend": "openvino", "dtype": "bf16"}, "--backend openvino --dtype bf16"),
        (
            {"backend": "onnxruntime", "dtype": "int8", "int8_samples": 64},
            "--backend onnxruntime --dtype int8 --int8-samples 64",
        ),
    ],
)
def test_a_command_of_timings_names_the_run_and_other_sizes_alone(  # noqa: PLR0917
    chosen, options, tmp_path, here, commit, make_record
):
    config = {"model": "resnet18", "dataset": "digits", "criterion": "l2", "method": "structured"}
    config |= {"image_size": 32, "sequence_length": 128}
    source = Run(tmp_path, identify("prune", config, config, {}))
    timing = {**chosen, "batch_sizes": [1, 4], "ci_width": 0.03, "time_budget": 2.0}
    values = {**config, **timing, "image_size": 64}
    timed = Run(tmp_path, identify("efficiency", values, values, {}, source.key))
    commit(timed, make_record(1))
    assert command_of(timed, source) == (
        f"prunebench efficiency --run {source.key} {options} --batch-sizes 1,4 "
        "--ci-width 0.03 --time-budget 2.0 --image-size 64 --device cpu --threads 2"
    )


def test_options_are_quoted_for_a_shell():
    chosen = {"model": "a b.py:f", "augment": False, "freeze": True, "include": ["x*", "y"]}
    assert as_options(chosen) == "--model 'a b.py:f' --no-augment --freeze --include 'x*' --include y"
    assert shlex.split(as_options({"model": "$(rm -r x); `y`\n"}))[1] == "$(rm -r x); `y`\n"
