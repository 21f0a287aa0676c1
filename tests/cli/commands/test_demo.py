"""`demo` runs the main job, in whatever folder it is called."""

from __future__ import annotations

import click

from prunebench.cli.commands import demo
from prunebench.cli.main import cli


def test_the_demo_is_the_main_job():
    assert demo.STEPS == (
        "prune --model resnet18 --method structured --fraction 0.1 --iterations 10",
        "efficiency --model resnet18 --steps 5,10 --batch-sizes 1,16",
    )


def test_the_demo_prints_results_and_where_they_are(prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smaller = " --limit-train 60 --limit-test 20 --epochs 1 --finetune-epochs 1"
    prune, efficiency = demo.STEPS
    steps = (prune.replace("10", "2") + smaller, efficiency.replace("5,10", "1,2") + " --time-budget 0.1")
    monkeypatch.setattr(demo, "STEPS", steps)
    finished = prunebench("demo")
    assert finished.status == 0
    assert "95 % interval" in finished.out
    assert "speed-up" in finished.out
    assert "performance/" in finished.out.splitlines()[-1]
    assert len(list((tmp_path / "performance").glob("resnet18_structured_*.txt"))) == 4
    kinds = {path.name.rpartition("-")[0] for path in (tmp_path / "runs").glob("*-*/")}
    assert kinds == {"resnet18-dense", "resnet18-structured", "resnet18-efficiency-structured"}


def test_a_demo_that_is_stopped_in_its_first_command_does_not_go_on_to_the_second(prunebench, monkeypatch):
    @click.command()
    @click.pass_context
    def stopped(context: click.Context) -> None:
        context.exit(130)

    monkeypatch.setattr(demo, "STEPS", ("stopped", "list"))
    get_command = cli.get_command
    monkeypatch.setattr(
        cli, "get_command", lambda context, name: {"stopped": stopped}.get(name) or get_command(context, name)
    )
    finished = prunebench("demo")
    assert finished.status == 130
    assert "$ prunebench list" not in finished.err
    assert finished.out == ""
