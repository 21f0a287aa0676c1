"""Where a run starts from: weights that fit are taken whole, others are refused with the tensor named."""

from __future__ import annotations

import contextlib
import json
import runpy
from dataclasses import replace

import msgspec
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune as torch_prune
from transformers import PreTrainedTokenizerFast

from prunebench import Dataset, RunConfig, Split, prune, pruning_run, train
from prunebench.data.dataset import no_downloads
from prunebench.data.images import IMAGENET
from prunebench.data.text import train_tokenizer
from prunebench.errors import ConfigError, DataError, DownloadNeeded, ModelError
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.weights import filled, open_start
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


def started(config):
    experiment = resolve(config)
    start = open_start(experiment)
    return start, start.make(make_task(experiment, tokenizer=start.tokenizer, statistics=start.statistics)).model


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_for_other_classes_leave_the_head_alone_fresh(suffix, published, tmp_path):
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
def test_weights_that_do_not_fit_are_refused_with_the_tensor_named(change, message, published):
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


def test_weights_of_the_adapted_shape_fit_as_well(tmp_path, architecture_of):
    adapted = architecture_of("alexnet")
    state = msgspec.structs.replace(adapted, arguments={**adapted.arguments, "classes": 10}).build().state_dict()
    save_file(state, tmp_path / "own.safetensors")
    config = RunConfig(model="alexnet", weights=str(tmp_path / "own.safetensors"), image_size=64, limit_train=20)
    _, model = started(config)
    assert torch.equal(model.classifier[1].weight, state["classifier.1.weight"])


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


def masked_net(classes):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.append(nn.Linear(5, classes))
    torch_prune.random_unstructured(model[0], "weight", 54)
    torch_prune.random_unstructured(model[2], "weight", 36)
    return model


@pytest.mark.parametrize("method", ["unstructured", "none"])
def test_masks_of_a_users_builder_are_taken_over_and_hold(method, tiny_config, tmp_path):
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


def test_a_file_of_weights_comes_under_the_masks_of_the_builder_unless_it_has_its_own(tiny_config, tmp_path):
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


def test_fresh_weights_depend_on_the_seed(tiny_config):
    def first_loss(seed):
        return train(tiny_config(seed=seed, epochs=1)).loss

    assert first_loss(0) == first_loss(0) != first_loss(1)


def test_a_run_is_started_from_with_its_weights_and_statistics(tiny_config):
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


def test_nothing_is_downloaded_where_that_is_refused(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for given in ({"model": "resnet18", "weights": "imagenet"}, {"model": "bert", "weights": "no-one/no-such-model"}):
        with no_downloads(), pytest.raises(DownloadNeeded, match="Not on this machine yet"):
            started(RunConfig(**given, limit_train=20, limit_test=10, runs_dir=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("classes", [2, 5])
def test_a_local_folder_of_bert_is_taken_with_its_own_tokenizer_and_size(classes, tmp_path, architecture_of):
    tokenizer = train_tokenizer(["the plot was dull", "the music was warm"])
    build = architecture_of("bert")
    settings = {**build.arguments["config"], "vocab_size": tokenizer.get_vocab_size()}
    model = msgspec.structs.replace(build, arguments={"classes": classes, "config": settings}).build()
    model.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path)
    start, loaded = started(RunConfig(model="bert", weights=str(tmp_path), limit_train=20, limit_test=10))
    assert start.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert loaded.config.num_hidden_layers == 2
    own, saved = loaded.state_dict(), model.state_dict()
    differing = {name for name in saved if not torch.equal(own[name], saved[name])}
    assert differing == (set() if classes == 2 else {"classifier.weight", "classifier.bias"})


@pytest.fixture
def berts(tmp_path, architecture_of):
    """A folder of BERT with 32 positions and 50 tokens, as transformers saves it."""
    tokenizer = train_tokenizer(["the plot was dull"])
    architecture_of("bert").build().save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path)
    assert (
        open_start(resolve(RunConfig(model="bert", weights=str(tmp_path)))).tokenizer.get_vocab()
        == tokenizer.get_vocab()
    )
    return tmp_path


def test_tokens_that_the_tokenizer_of_a_folder_does_not_know_are_told(berts):
    given = RunConfig(model="bert", weights=str(berts), limit_train=20, limit_test=10, sequence_length=16)
    experiment = resolve(given)
    start = open_start(experiment)
    notes = start.make(make_task(experiment, tokenizer=start.tokenizer)).notes
    assert f"their tokenizer knows {start.tokenizer.get_vocab_size()} of their 50 tokens" in notes


def settings_changed(**changes):
    return lambda folder: (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | changes)
    )


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (
            lambda folder: (folder / "tokenizer.json").unlink(),
            {},
            "has no tokenizer: neither tokenizer.json nor vocab.txt",
        ),
        (lambda folder: (folder / "config.json").unlink(), {}, "has no config.json. Give the whole folder"),
        (lambda folder: (folder / "config.json").write_text("{"), {}, "its config or its tokenizer cannot be read: "),
        (lambda folder: (folder / "config.json").write_text("[]"), {}, "its config or its tokenizer cannot be read: "),
        (
            lambda folder: (folder / "tokenizer.json").write_text("{"),
            {},
            "its config or its tokenizer cannot be read: ",
        ),
        (settings_changed(num_attention_heads="4"), {}, "its config or its tokenizer cannot be read: "),
        (settings_changed(vocab_size=9), {}, " special, and its weights 9, so they do not belong together"),
        (lambda folder: None, {"sequence_length": 33}, "reads at most 32 tokens: give --sequence-length 32, or less"),
    ],
)
def test_a_folder_of_bert_that_is_not_whole_is_refused_by_what_it_lacks(change, given, message, berts):
    change(berts)
    with pytest.raises(ModelError) as caught:
        open_start(resolve(RunConfig(model="bert", weights=str(berts), **given)))
    assert str(caught.value).startswith(f"--weights {berts}")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_tokenizer_of_special_tokens_alone_is_none(berts):
    (berts / "tokenizer.json").unlink()
    (berts / "tokenizer_config.json").unlink()
    (berts / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    with pytest.raises(ModelError, match="its tokenizer knows 5 tokens, 5 of them special, and its weights 50"):
        open_start(resolve(RunConfig(model="bert", weights=str(berts))))


def test_an_activation_that_does_not_exist_is_told(berts):
    settings_changed(hidden_act="none of these")(berts)
    with pytest.raises(ModelError, match="bert cannot be built for sentences of 32 tokens: 'none of these'"):
        started(RunConfig(model="bert", weights=str(berts), limit_train=20, limit_test=10))


def test_a_download_without_network_says_what_to_do(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match="Connect to the network"):
        started(RunConfig(model="resnet18", weights="imagenet", limit_train=20, limit_test=10))


def test_a_name_that_hugging_face_does_not_answer_for_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for 20 s
    with pytest.raises(ModelError, match="local folder"):
        started(RunConfig(model="bert", weights="no-one/no-such-model", runs_dir=str(tmp_path)))


def test_code_in_a_folder_of_hugging_face_is_not_run(tmp_path, architecture_of):
    tokenizer = train_tokenizer(["the plot was dull", "the music was warm"])
    architecture_of("bert").build().save_pretrained(tmp_path / "bert")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path / "bert")
    stolen = tmp_path / "stolen"
    (tmp_path / "bert" / "evil.py").write_text(f"open({str(stolen)!r}, 'w').close()\nclass Evil: pass\n")
    classes = {"config.json": "AutoConfig", "tokenizer_config.json": "AutoTokenizer"}
    for name, auto in classes.items():
        path = tmp_path / "bert" / name
        settings = json.loads(path.read_text())
        settings["auto_map"] = {auto: ["evil.Evil", "evil.Evil"] if auto == "AutoTokenizer" else "evil.Evil"}
        path.write_text(json.dumps(settings | {"tokenizer_class": "Evil"} if auto == "AutoTokenizer" else settings))
    with contextlib.suppress(ModelError):  # refusing it is as good as reading what is not code
        open_start(resolve(RunConfig(model="bert", weights=str(tmp_path / "bert"))))
    assert not stolen.exists()
    runpy.run_path(str(tmp_path / "bert" / "evil.py"))
    assert stolen.exists()  # the code would have left its mark


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
    config = RunConfig(model=build, dataset="reviews", epochs=1, iterations=1, limit_train=60, limit_test=20, threads=1)
    config = msgspec.structs.replace(config, runs_dir=str(tmp_path), method="unstructured", device="cpu")
    list(prune(config, pruning_run(config)))
    found = checkpoint.load(pruning_run(config).checkpoint(1), models.get(build))
    tokens = make_task(resolve(config)).inputs.vocabulary
    assert found.model.words.num_embeddings == found.architecture.inputs.vocabulary == tokens > 100
    assert ("vocab_size" in found.architecture.arguments) == (build is bag)


def test_a_model_of_images_is_told_of_no_tokens():
    with pytest.raises(ConfigError, match="asks for an argument 'vocab_size'; it can have: classes, channels"):
        started(RunConfig(model=bag, dataset="digits", limit_train=20, limit_test=10))


def test_the_number_of_tokens_is_not_the_users_to_give():
    with pytest.raises(ConfigError, match=r"--model-arg vocab_size=9: the builder of .* has no such argument"):
        resolve(RunConfig(model=bag, dataset="reviews", model_arg=("vocab_size=9",)))


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
