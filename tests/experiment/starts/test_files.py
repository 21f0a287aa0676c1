"""Weight files: those that fit are taken whole, others refused with the tensor named; exported ones as they are."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from prunebench import Dataset, RunConfig, Split, prune, pruning_run, train
from prunebench.data.images import IMAGENET
from prunebench.errors import ModelError
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.starts.files import filled
from prunebench.experiment.starts.opening import open_start
from prunebench.models import checkpoint
from prunebench.models.architecture import models
from prunebench.models.export import export
from prunebench.models.weight_files import WeightFile


@pytest.fixture
def published(tmp_path):
    """A weight file of torchvision's ResNet18 for 1,000 classes, and its state."""
    torch.manual_seed(1)
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth", state


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_for_other_classes_leave_the_head_alone_fresh(suffix, published, tmp_path, started):
    path, state = published
    if suffix == ".safetensors":
        path = tmp_path / "resnet18.safetensors"
        save_file(state, path)
    start, model = started(RunConfig(model="resnet18", weights=str(path), limit_train=20, limit_test=10))
    assert start.statistics == IMAGENET
    assert model.fc.weight.shape == (10, 512)
    own = model.state_dict()
    assert all(torch.equal(own[name], state[name]) for name in state if not name.startswith("fc."))


def test_weights_for_the_same_classes_are_taken_whole(tiny_state):
    source, target = tiny_state().model, tiny_state().model
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    found = filled(replace(tiny_state(), model=target), WeightFile(source.state_dict()))
    assert (found.notes, found.fresh, found.masks) == ((), (), {})
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def without(name):
    return lambda state: state.pop(name)


def with_another(name, tensor):
    return lambda state: state.update({name: tensor})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("layer1.0.conv1.weight"), "layer1.0.conv1.weight is missing"),
        (with_another("bn1.bias", torch.zeros(3)), "bn1.bias has shape (3,) instead of (64,)"),
        (with_another("layer9.weight", torch.zeros(3)), "layer9.weight is not part of the model"),
        (with_another("fc.weight", torch.zeros(7, 9)), "fc.weight has shape (7, 9) instead of (10, 512)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_tensor_named(change, message, published, started):
    path, state = published
    change(state)
    torch.save(state, path)
    with pytest.raises(ModelError) as error:
        started(RunConfig(model="resnet18", weights=str(path), limit_train=20, limit_test=10))
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_nothing_is_copied_where_something_does_not_fit(tiny_state):
    source, target = tiny_state().model.state_dict(), tiny_state().model
    changed = {name: tensor + 1 for name, tensor in source.items() if name != "classifier.3.bias"}
    with pytest.raises(ModelError, match=r"^classifier.3.bias is missing$"):
        filled(replace(tiny_state(), model=target), WeightFile(changed))
    assert all(torch.equal(tensor, source[name]) for name, tensor in target.state_dict().items())


def test_weights_of_the_adapted_shape_fit_as_well(tmp_path, architecture_of, started):
    adapted = architecture_of("alexnet")
    state = msgspec.structs.replace(adapted, arguments={**adapted.arguments, "classes": 10}).build().state_dict()
    save_file(state, tmp_path / "own.safetensors")
    config = RunConfig(model="alexnet", weights=str(tmp_path / "own.safetensors"), image_size=64, limit_train=20)
    _, model = started(config)
    assert torch.equal(model.classifier[1].weight, state["classifier.1.weight"])


def test_a_file_of_weights_comes_under_the_masks_of_the_builder_unless_it_has_its_own(
    tiny_config, tmp_path, masked_net
):
    setup = set_up(resolve(tiny_config(model=masked_net)))
    state = setup.fresh()
    ones = {name: torch.ones_like(tensor) for name, tensor in state.model.state_dict().items()}
    plain = filled(state, WeightFile(dict(ones)))
    assert plain.masks == state.masks
    assert all(torch.equal(plain.model.get_parameter(name) == 1, mask) for name, mask in state.masks.items())
    own = {**ones, "0.weight_orig": ones["0.weight"], "0.weight_mask": ones["0.weight"]}
    del own["0.weight"]
    taken = filled(setup.fresh(), WeightFile(own))
    assert taken.masks == {}
    assert taken.model.get_parameter("2.weight").eq(1).all()


def exported(config, path, to="safetensors"):
    """The run whose last step is exported to a file."""
    run = pruning_run(config)
    for _ in prune(config, run=run):
        pass
    export(checkpoint.load(run.checkpoint(run.steps()[-1]), models.get(config.model)), to, path)
    return run


def test_an_exported_file_is_started_from_in_its_shape_and_with_its_own_normalisation(tiny_config, tmp_path):
    path = tmp_path / "pruned.safetensors"
    run = exported(tiny_config(method="structured", iterations=1, fraction=0.4), path)
    experiment = resolve(tiny_config(weights=str(path), epochs=0))
    start = open_start(experiment)
    state = start.make(make_task(experiment, statistics=start.statistics))
    pruned = checkpoint.load(run.checkpoint(1), experiment.model)
    assert {name: value.shape for name, value in state.model.state_dict().items()} == {
        name: value.shape for name, value in pruned.model.state_dict().items()
    }
    assert start.statistics == (pruned.architecture.inputs.mean, pruned.architecture.inputs.std)
    assert train(tiny_config(weights=str(path), epochs=0)).test_after == run.record(1).test_after


def test_an_exported_file_of_another_model_is_refused_by_name(tiny_config, tmp_path):
    path = tmp_path / "pruned.safetensors"
    exported(tiny_config(method="none", iterations=1), path)
    config = RunConfig(model="resnet18", weights=str(path), limit_train=20, limit_test=10)
    with pytest.raises(ModelError, match=r"pruned\.safetensors is a .*build_tiny_net, not a resnet18"):
        open_start(resolve(config))


def test_zeros_of_an_exported_file_are_told_where_they_are_many(tiny_config, tmp_path):
    path = tmp_path / "pruned.safetensors"
    exported(tiny_config(method="unstructured", iterations=1, fraction=0.4), path)
    experiment = resolve(tiny_config(weights=str(path), epochs=1))
    start = open_start(experiment)
    state = start.make(make_task(experiment, statistics=start.statistics))
    assert any("are zero without a mask: training does not keep them so" in note for note in state.notes)


def test_a_training_that_starts_from_exported_masks_keeps_them(tiny_config, tmp_path):
    path = tmp_path / "pruned.masks.safetensors"
    pruned = exported(tiny_config(method="unstructured", iterations=1, fraction=0.4), path, "masks")
    config = tiny_config(weights=str(path), epochs=1)
    run, entry = dense_run(config), models.get(config.model)
    train(config, run)
    was, trained = (checkpoint.load(each.checkpoint(each.steps()[-1]), entry) for each in (pruned, run))
    assert was.masks.keys() == trained.masks.keys() != set()
    assert all(torch.equal(was.masks[name], mask) for name, mask in trained.masks.items())
    assert all((trained.model.get_parameter(name)[~mask] == 0).all() for name, mask in trained.masks.items())


def test_only_what_has_lost_nothing_starts_with_a_fresh_classifier(tiny_config, tmp_path, blobs):
    whole, pruned = tmp_path / "whole.safetensors", tmp_path / "pruned.safetensors"
    run_of = tiny_config(method="structured", iterations=1, fraction=0.4)
    run = exported(run_of, pruned)
    export(checkpoint.load(run.checkpoint(0), models.get(run_of.model)), "safetensors", whole)
    data = blobs()

    def few(part):
        return Split(part.inputs[part.labels < 2], part.labels[part.labels < 2])

    def fewer():
        return Dataset(few(data.train), few(data.test), data.classes[:2])

    config = tiny_config(weights=str(whole), epochs=1, dataset=fewer)
    assert train(config).test_after
    with pytest.raises(ModelError, match="A run goes on with its own classes alone"):
        train(tiny_config(weights=str(pruned), epochs=1, dataset=fewer))
