"""Fresh weights: what the data and the user give reaches the builder, and what it masks stays masked."""

from __future__ import annotations

import msgspec
import pytest
from torch import nn

from prunebench import RunConfig, prune, pruning_run, train
from prunebench.errors import ConfigError
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.models import checkpoint
from prunebench.models.architecture import models


def test_arguments_that_the_user_gives_reach_the_builder_and_come_back_with_the_checkpoint(tiny_config, tiny_net):
    def build(classes, width=16, act="relu"):
        model = tiny_net(classes)
        layers = nn.Linear(48, width), {"relu": nn.ReLU, "tanh": nn.Tanh}[act](), nn.Linear(width, classes)
        model.classifier = nn.Sequential(nn.Dropout(0.2), *layers)
        return model

    experiment = resolve(tiny_config(model=build, model_arg=("width=5", "act=tanh"), epochs=1))
    train(experiment, experiment.dense)
    found = checkpoint.load(experiment.dense.step_folder(0), experiment.model)
    assert found.architecture.arguments["given"] == {"act": "tanh", "width": 5}
    assert (found.model.classifier[1].out_features, type(found.model.classifier[2])) == (5, nn.Tanh)
    assert experiment.dense.key != dense_run(tiny_config(model=build, epochs=1)).key


@pytest.mark.parametrize("method", ["unstructured", "none"])
def test_masks_of_a_users_builder_are_taken_over_and_hold(method, tiny_config, tmp_path, masked_net):
    config = tiny_config(model=masked_net, method=method, fraction=0.5, iterations=1, optimizer="sgd", momentum=0.9)
    run = pruning_run(config)
    first, second = prune(config, run)
    assert first.units[0].original == 108 + 180 + 15
    assert first.units[0].left == 54 + 144 + 15
    assert first.nonzero_params == first.params - 90
    assert first.effective_macs < first.macs
    assert "2 masks of torch.nn.utils.prune: 90 of 288 weights are masked, and stay so" in first.summary.weights
    trained, pruned = (checkpoint.load(run.checkpoint(step), resolve(config).model) for step in (0, 1))
    assert set(trained.model.state_dict()) == {f"{i}.{own}" for i in (0, 2, 5) for own in ("weight", "bias")}
    for name, mask in trained.masks.items():
        assert trained.model.get_parameter(name)[~mask].eq(0).all()
        assert not (pruned.masks[name] & ~mask).any()
        assert pruned.model.get_parameter(name)[~pruned.masks[name]].eq(0).all()
    assert second.units[0].left == (213 - round(0.5 * 213) if method == "unstructured" else 213)


def test_fresh_weights_depend_on_the_seed(tiny_config):
    def first_loss(seed):
        return train(tiny_config(seed=seed, epochs=1)).loss

    assert first_loss(0) == first_loss(0) != first_loss(1)


class Bag(nn.Module):
    """The mean of its words' vectors, and a layer."""

    def __init__(self, classes, vocab_size, width=4):
        super().__init__()
        self.words, self.head = nn.Embedding(vocab_size, width), nn.Linear(width, classes)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].float()
        return self.head((self.words(input_ids) * mask).sum(1) / mask.sum(1))


def bag(classes, vocab_size):
    return Bag(classes, vocab_size)


def bag_of_config(classes, config, **more):
    return Bag(classes, config["vocab_size"], **more)


@pytest.mark.parametrize("build", [bag, bag_of_config])
def test_a_users_model_of_text_is_told_how_many_tokens_there_are_and_is_built_so_again(build, tmp_path):
    config = RunConfig(
        model=build,
        dataset="reviews",
        epochs=1,
        iterations=1,
        finetune_epochs=1,
        limit_train=60,
        limit_test=20,
        threads=1,
    )
    config = msgspec.structs.replace(config, runs_dir=str(tmp_path), method="unstructured", device="cpu")
    list(prune(config, pruning_run(config)))
    found = checkpoint.load(pruning_run(config).checkpoint(1), models.get(build))
    tokens = make_task(resolve(config)).inputs.vocabulary
    assert found.model.words.num_embeddings == found.architecture.inputs.vocabulary == tokens > 100
    assert ("vocab_size" in found.architecture.arguments) == (build is bag)


def test_a_model_of_images_is_told_of_no_tokens(started):
    with pytest.raises(ConfigError, match="asks for an argument 'vocab_size'; it can have: classes, channels"):
        started(RunConfig(model=bag, dataset="digits", limit_train=20, limit_test=10))


def test_the_number_of_tokens_is_not_the_users_to_give():
    with pytest.raises(ConfigError, match=r"--model-arg vocab_size=9: the builder of .* has no such argument"):
        resolve(RunConfig(model=bag, dataset="reviews", model_arg=("vocab_size=9",)))
