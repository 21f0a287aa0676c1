"""Each layer is pruned alone, at each share, and scored on data that is not the test data."""

from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import pytest

from prunebench.errors import ConfigError, Stopped
from prunebench.experiment.existing import of_run, pruned_otherwise
from prunebench.experiment.loop import train
from prunebench.experiment.resolve import resolve
from prunebench.experiment.sensitivity import sensitivity
from prunebench.experiment.setup import set_up
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.models import checkpoint
from prunebench.pruning.registry import methods
from prunebench.records import Scores


@pytest.fixture
def trained(tiny_config):
    """Makes an experiment and its dense run."""

    def make(**given):
        experiment = resolve(tiny_config(**given))
        train(experiment, experiment.dense)
        return experiment, experiment.dense

    return make


def test_every_group_is_pruned_alone_at_every_share(trained):
    cells = list(sensitivity(*trained(method="structured"), (0.25, 0.5)))
    assert [(cell.layer, cell.share, cell.units, cell.left) for cell in cells] == [
        ("features.0", 0.25, 8, 6),
        ("features.0", 0.5, 8, 4),
        ("features.4", 0.25, 12, 9),
        ("features.4", 0.5, 12, 6),
        ("classifier.1", 0.25, 16, 12),
        ("classifier.1", 0.5, 16, 8),
    ]
    assert [cell.kind for cell in cells[::2]] == ["channels", "channels", "neurons"]
    assert {cell.part for cell in cells} == {"train"}
    assert len({msgspec.json.encode(cell.dense) for cell in cells}) == 1


def test_every_weight_is_masked_alone_and_the_score_is_that_of_the_masked_model(trained):
    experiment, run = trained(method="unstructured", validation=0.2)
    cells = list(sensitivity(experiment, run, (0.9,)))
    layers = ["features.0", "features.4", "classifier.1", "classifier.3"]
    assert [cell.layer for cell in cells] == layers
    assert {cell.part for cell in cells} == {"validation"}
    state = checkpoint.load(run.checkpoint(0), experiment.model)
    setup = set_up(experiment, start_of(state))
    assert cells[0].dense == setup.validation(state) == run.record(0).validation
    weight = state.model.get_parameter("features.4.weight")
    threshold = weight.abs().flatten().sort().values[cells[1].units - cells[1].left - 1]
    weight.data[weight.abs() <= threshold] = 0
    assert setup.validation(state) == cells[1].scores
    assert (cells[1].units, cells[1].left) == (8 * 12 * 9, round(0.1 * 8 * 12 * 9))


def test_patterns_and_kinds_choose_what_is_pruned_alone(trained):
    experiment, run = trained(method="structured", include=("classifier.1", "features.0"), prune=("neurons",))
    assert [cell.layer for cell in sensitivity(experiment, run, (0.5,))] == ["classifier.1"]


def test_a_subset_of_the_training_data_is_scored_and_the_run_is_left_as_it_was(trained):
    experiment, run = trained(method="structured")
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    (first, *_) = sensitivity(experiment, run, (0.5,), samples=20)
    assert first.dense.total == first.scores.total == 20
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_what_was_found_is_not_computed_again_and_a_stopped_one_goes_on(trained):
    experiment, run = trained(method="structured")
    asked = itertools.count()
    with pytest.raises(Stopped):
        list(sensitivity(experiment, run, (0.5,), stop=lambda: next(asked) == 9))
    done = []
    cells = list(sensitivity(experiment, run, (0.5,), progress=lambda tick: done.append(tick.phase)))
    assert done == ["features.4", "classifier.1"]
    again = list(sensitivity(experiment, run, (0.5,), stop=lambda: pytest.fail("it computes")))
    assert again == cells
    more = list(sensitivity(experiment, run, (0.5, 0.7)))
    assert [cell for cell in more if cell.share == 0.5] == cells
    other = replace(experiment, settings=msgspec.structs.replace(experiment.settings, seed=1))
    assert [cell.seed for cell in sensitivity(other, run, (0.5,))] == [1, 1, 1]


@pytest.mark.parametrize("method", [name for name in methods.names() if methods.get(name).alone is None])
def test_a_method_that_prunes_no_shares_of_layers_is_refused(method, tiny_config):
    experiment = resolve(tiny_config(method=method))
    with pytest.raises(ConfigError, match=f"which --method {method} does not; give structured or unstructured"):
        list(sensitivity(experiment, experiment.dense))


def test_a_run_is_pruned_in_another_way(trained):
    experiment, run = trained(method="structured")
    stored = of_run(run, {}, trusted=True)
    stored = replace(stored, stored=None, settings=experiment.settings)  # whose builder only this process has
    other = pruned_otherwise(stored, {"method": "unstructured", "include": ("classifier.*",)})
    assert (other.method.name, other.settings.criterion, other.settings.scope) == ("unstructured", "l1", "global")
    assert [cell.layer for cell in sensitivity(other, run, (0.5,))] == ["classifier.1", "classifier.3"]
    for how, message in (
        ({"criterion": "influence"}, "scores whole blocks"),
        ({"method": "unstructured", "prune": ("heads",)}, "--prune is for structured pruning"),
        ({"targets": "all"}, "--targets is for unstructured pruning"),
    ):
        with pytest.raises(ConfigError, match=message):
            pruned_otherwise(stored, how)


def test_scores_are_counted_not_rounded(trained):
    (first, *_) = sensitivity(*trained(method="structured"), (0.5,))
    assert isinstance(first.scores, Scores)
    assert first.scores.counted["top1"].sum.is_integer()
