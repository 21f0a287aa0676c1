"""Runs that start from another run: with its weights and statistics, or refused."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from prunebench import prune, pruning_run, train
from prunebench.errors import ModelError
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.models import checkpoint
from prunebench.models.architecture import models


def test_a_run_is_started_from_with_its_weights_and_statistics(tiny_config, started):
    config = tiny_config()
    train(config, dense_run(config))
    again = resolve(tiny_config(weights=dense_run(config).key))
    _, model = started(again)
    trained = dense_run(config).step_folder(0) / "model.safetensors"
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in load_file(trained).items())
    assert dense_run(again).key != dense_run(config).key


def test_a_run_that_starts_from_another_describes_its_own_inputs(tiny_config, tiny_net):
    config = tiny_config(epochs=1)
    train(config, first := dense_run(config))
    again = tiny_config(epochs=1, weights=first.key, image_size=20)
    train(again, second := dense_run(again))
    sizes = [
        checkpoint.load(run.step_folder(0), models.get(tiny_net)).architecture.inputs.size for run in (first, second)
    ]
    assert sizes == [12, 20]


def test_a_run_that_starts_from_another_knows_how_far_that_one_was(tiny_config):
    config = tiny_config(epochs=1, iterations=1)
    list(prune(config, first := pruning_run(config)))
    again = tiny_config(weights=first.key)
    before = dense_run(again).manifest
    assert before.contents["weights"] == "step 1"
    longer = tiny_config(epochs=1, iterations=2)
    list(prune(longer, first))
    after = dense_run(again).manifest
    assert (after.contents["weights"], after.config) == ("step 2", before.config)
    assert after.key != before.key


def test_a_run_in_another_folder_is_started_from_as_well(tiny_config, tmp_path):
    config = tiny_config(epochs=1)
    train(config, first := dense_run(config))
    inside = dense_run(tiny_config(epochs=1, weights=first.key))
    away = tiny_config(epochs=1, weights=str(first.folder), runs_dir=str(tmp_path / "elsewhere"))
    run = dense_run(away)
    assert run.key == dense_run(resolve(away)).key == inside.key
    assert train(away, run).step == 0


def test_a_run_of_another_model_or_of_other_classes_is_refused(tiny_config, tiny_net, blobs):
    config = tiny_config(epochs=1)
    train(config, run := dense_run(config))

    def other_net(classes):
        return tiny_net(classes)

    for other in (other_net, "alexnet"):
        with pytest.raises(ModelError, match=r"is a .*build_tiny_net, not a .*(other_net>|alexnet)\.$"):
            train(tiny_config(weights=run.key, model=other, image_size=64))
    with pytest.raises(ModelError, match="3 classes, but the data has 10"):
        next(prune(tiny_config(weights=run.key, dataset="digits")))
