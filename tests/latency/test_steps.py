"""Which steps are timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunebench import EfficiencyConfig, pruning_run
from prunebench.errors import RunError
from prunebench.experiment.resolve import resolve
from prunebench.latency.steps import planned_steps, timed_steps


def keep(folder: Path) -> None:
    """What makes a step's checkpoint count as kept."""
    (folder / "structure.json").write_text("{}")


@pytest.fixture
def run(tiny_config, commit, make_record):
    """A run of seven pruned steps whose checkpoints are kept."""
    found = pruning_run(tiny_config())
    commit(found, *(make_record(step) for step in range(8)), write=keep)
    return found


@pytest.mark.parametrize(
    ("about", "steps"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7]),
        ({"backend": "compile"}, [1, 4, 7]),
        ({"steps": (3, 0, 3)}, [0, 3]),
        ({"steps": (2,), "backend": "compile"}, [2]),
    ],
)
def test_all_pruned_steps_or_a_few_or_those_that_were_named(about, steps, run, tiny_config):
    efficiency = EfficiencyConfig(**about)
    assert timed_steps(run, efficiency) == steps
    assert planned_steps(resolve(tiny_config(iterations=7)).settings, efficiency) == steps


@pytest.mark.parametrize(("iterations", "steps"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3])])
def test_few_steps_of_few_are_all(iterations, steps, tiny_config):
    settings = resolve(tiny_config(iterations=iterations)).settings
    assert planned_steps(settings, EfficiencyConfig(backend="compile")) == steps


def test_a_step_that_is_not_there_is_named_with_those_that_are(run, tiny_config):
    with pytest.raises(RunError, match=r"has no step 9 that can be timed; it has: 0, 1, 2, 3, 4, 5, 6, 7\."):
        timed_steps(run, EfficiencyConfig(steps=(1, 9)))
    with pytest.raises(RunError, match="The schedule has no step 9"):
        planned_steps(resolve(tiny_config()).settings, EfficiencyConfig(steps=(9,)))


def test_steps_that_were_timed_need_no_checkpoint(run):
    run.drop_checkpoints([0, 1, 2, 3, 4, 5, 6, 7])
    assert timed_steps(run, EfficiencyConfig(steps=(2, 5)), had=[2, 5]) == [2, 5]
    assert timed_steps(run, EfficiencyConfig(), had=[2, 5]) == [2, 5]
    with pytest.raises(RunError, match=r"has no step 6 that can be timed; it has: 0, 2, 5\."):
        timed_steps(run, EfficiencyConfig(steps=(2, 6)), had=[2, 5])


def test_a_run_without_kept_steps_is_refused(tiny_config, commit, make_record):
    run = pruning_run(tiny_config())
    commit(run, make_record(0), write=keep)
    with pytest.raises(RunError, match="has no pruned step yet"):
        timed_steps(run, EfficiencyConfig())
    commit(run, make_record(1))
    with pytest.raises(RunError, match="has kept no checkpoint of a pruned step"):
        timed_steps(run, EfficiencyConfig())
