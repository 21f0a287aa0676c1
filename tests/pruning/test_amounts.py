"""How much goes in a step of the iterations, towards a target or not."""

from __future__ import annotations

import pytest

from prunebench import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import pruning_run, resolve
from prunebench.pruning.amounts import amount, gone, left
from prunebench.pruning.registry import methods

MASKED = {"model": "resnet18", "method": "unstructured"}


def settings_of(**given):
    experiment = resolve(RunConfig(**MASKED | given))
    return experiment.settings, experiment.method


@pytest.mark.parametrize("schedule", ["geometric", "linear", "cubic", "cosine"])
@pytest.mark.parametrize(("target", "end"), [({"sparsity": 0.9}, 0.9), ({"compression": 8.0}, 0.875)])
def test_the_last_iteration_reaches_the_target_exactly(schedule, target, end):
    settings, method = settings_of(iterations=7, sparsity_schedule=schedule, **target)
    assert gone(settings, 0) == 0
    assert gone(settings, 7) == end
    assert left(settings, method, 7) == 1 - end
    taken = 1.0
    for step in range(1, 8):
        taken *= 1 - amount(settings, method, step)["fraction"]
    assert taken == pytest.approx(1 - end)


def test_what_a_target_counts_is_what_the_request_is_told():
    of_weights = settings_of(compression=4.0, iterations=1)
    of_units = settings_of(method="structured", compression=4.0, iterations=1)
    of_macs = settings_of(method="structured", macs=0.3, iterations=1)
    assert [sorted(amount(*found, 1)) for found in (of_weights, of_units, of_macs)] == [
        ["fraction", "gone"],
        ["fraction", "params_left"],
        ["fraction", "macs_left"],
    ]
    assert amount(*of_macs, 1)["macs_left"] == pytest.approx(0.3)


def test_without_a_target_each_iteration_takes_the_fraction():
    settings, method = settings_of(fraction=0.3)
    assert amount(settings, method, 4) == {"fraction": 0.3}
    assert left(settings, method, 4) == methods.get("unstructured").left(0.3, 4)


def test_all_at_once_is_one_iteration():
    assert settings_of(sparsity=0.5, sparsity_schedule="one-shot")[0].iterations == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsity": 0.5, "compression": 2.0}, "--sparsity says how much goes in all, and --compression"),
        ({"sparsity": 0.5, "fraction": 0.3}, "--sparsity says .* --fraction"),
        ({"sparsity": 0.5, "until": ("params<=0.5",)}, "--sparsity says .* --until"),
        ({"sparsity_schedule": "cubic"}, "--sparsity-schedule cubic is a way to a target"),
        ({"sparsity": 0.5, "sparsity_schedule": "one-shot", "iterations": 2}, "one-shot takes all in one iteration"),
        ({"sparsity": 0.5, "sparsity_schedule": "cubik"}, "cubik.*Did you mean 'cubic'"),
        ({"macs": 0.5}, "--macs is not for unstructured pruning"),
        ({"method": "none", "sparsity": 0.5}, "--method none removes nothing"),
    ],
)
def test_amounts_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve(RunConfig(**MASKED | given))


def test_iterations_are_in_the_key_where_they_decide_the_steps(tmp_path):
    def key(**given):
        return pruning_run(RunConfig(**MASKED | {"runs_dir": str(tmp_path)} | given)).key

    assert key(iterations=3) == key(iterations=5)
    assert key(iterations=3, sparsity=0.5) != key(iterations=5, sparsity=0.5)
    assert key(sparsity=0.5, sparsity_schedule="exponential") == key(sparsity=0.5)
