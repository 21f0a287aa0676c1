"""The one door: every field filled, every name checked, each file of the user's read once."""

from __future__ import annotations

import itertools
import re
import struct

import msgspec
import pytest
from msgspec.structs import replace

from prunebench.config import RunConfig, field_types
from prunebench.data.dataset import datasets
from prunebench.errors import AmbiguousRun, ConfigError, UnknownName
from prunebench.experiment.resolve import HELD_OUT, dense_run, pruning_run, resolve, stored_settings
from prunebench.models.architecture import models
from prunebench.pruning.registry import methods

UNSET = {
    *("limit_train", "limit_test", "mean", "std", "threads"),
    *("text_column", "label_column", "header", "encoding", "white"),
    *("finetune_momentum", "finetune_weight_decay", "finetune_clip_norm", "output", "group_reduction"),
    *("sparsity", "compression", "macs", "pattern", "every"),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fits(model, dataset):
    return (models.get(model).reads == "text") == (datasets.get(dataset).reads == "text")


@pytest.mark.parametrize(("model", "method"), [*itertools.product(models.names(), methods.names())])
def test_every_model_and_method_resolves_without_another_setting(model, method):
    experiment = resolve(RunConfig(model=model, method=method))
    config = experiment.settings
    unused = set() if methods.get(method).masks else {"scope", "targets"}
    assert {name for name in field_types() if getattr(config, name) is None} == UNSET | unused
    assert config.criterion == methods.get(method).criterion
    assert fits(model, config.dataset)
    assert resolve(experiment) is experiment
    assert resolve(config).settings == config
    entries = experiment.model, experiment.data, experiment.method, experiment.criterion
    assert [entry.name for entry in entries] == [model, config.dataset, method, config.criterion]
    assert (experiment.goals, experiment.origin.kind, experiment.first) == ((), "none", None)


def test_an_option_goes_over_the_models_entry_and_that_over_the_default():
    assert resolve(RunConfig(model="alexnet")).settings.image_size == 64
    assert resolve(RunConfig(model="alexnet", image_size=96)).settings.image_size == 96
    assert resolve(RunConfig(model="alexnet")).settings.momentum == 0.9


def test_the_datasets_entry_goes_over_the_models():
    assert resolve(RunConfig(model="resnet18", dataset="image-folder")).settings.image_size == 224
    assert resolve(RunConfig(model="resnet18", dataset="cifar10")).settings.augment
    assert not resolve(RunConfig(model="resnet18")).settings.augment


def test_what_fine_tuning_has_as_training_has_it_is_empty():
    given = {"momentum": 0.5, "weight_decay": 0.1, "clip_norm": 1.0}
    same = resolve(RunConfig(model="resnet18", **given, **{f"finetune_{name}": value for name, value in given.items()}))
    assert same.settings == resolve(RunConfig(model="resnet18", **given)).settings
    other = resolve(RunConfig(model="resnet18", **given, finetune_momentum=0.0)).settings
    assert (other.finetune_momentum, other.finetune_weight_decay) == (0.0, None)
    assert resolve(other).settings == other


@pytest.mark.parametrize(
    ("given", "updates"),
    [
        ({}, 60),
        ({"finetune_epochs": 1}, 0),
        ({"finetune_epochs": 2, "finetune_updates": 9}, 9),
        ({"finetune_updates": 0}, 0),
        ({"every": 2, "sparsity": 0.5}, 0),
        ({"retrain": "lr-rewind"}, 0),
        ({"retrain": "none"}, 0),
        ({"retrain": "distil"}, 60),
    ],
)
def test_a_step_is_fine_tuned_for_a_number_of_updates_at_least_where_its_epochs_are_not_said(given, updates):
    assert resolve(RunConfig(model="resnet18", **given)).settings.finetune_updates == updates


@pytest.mark.parametrize(
    ("given", "floor"),
    [
        ({"method": "unstructured"}, 0.1),
        ({"method": "unstructured", "floor": 0.0}, 0.0),
        ({"method": "unstructured", "pattern": "4x1"}, 0.1),
        ({"method": "unstructured", "pattern": "2:4"}, 0.0),
        ({"method": "unstructured", "scope": "layerwise"}, 0.0),
        ({"method": "unstructured", "scope": "erk"}, 0.0),
        ({"method": "unstructured", "criterion": "wanda"}, 0.0),
        ({"method": "structured"}, 0.0),
        ({"method": "structured", "scope": "global"}, 0.1),
        ({"method": "none"}, 0.0),
    ],
)
def test_every_layer_keeps_something_where_layers_compete(given, floor):
    assert resolve(RunConfig(model="resnet18", **given)).settings.floor == floor


def test_published_weights_bring_their_own_recipe_and_no_augmentation():
    config = resolve(RunConfig(model="resnet18", weights="imagenet", dataset="cifar10")).settings
    assert (config.image_size, config.optimizer, config.augment) == (224, "sgd", False)


def test_given_weights_of_any_model_are_trained_gently(tmp_path, tiny_net):
    (tmp_path / "net.pth").write_bytes(b"weights")
    fresh, given = (
        resolve(RunConfig(model=tiny_net, **about)).settings for about in ({}, {"weights": str(tmp_path / "net.pth")})
    )
    assert (fresh.lr, fresh.finetune_lr) == (1e-3, 3e-4)
    assert (given.lr, given.finetune_lr) == (1e-4, 1e-4)


def test_no_setting_is_changed_that_was_given():
    given = {
        "model": "vgg16",
        "criterion": "random",
        "lr": 0.5,
        "seed": 3,
        "exclude": ("classifier.*",),
        "augment": True,
    }
    config = resolve(RunConfig(**given)).settings
    assert {name: getattr(config, name) for name in given} == given


def test_a_users_functions_resolve_with_the_defaults_for_images():
    def build(classes):
        raise AssertionError("nothing is built")

    config = resolve(RunConfig(model=build, criterion=abs)).settings
    assert (config.model, config.criterion, config.dataset) == (build, abs, "digits")


def test_a_folder_is_no_dataset_and_it_is_told_how_to_give_one(tmp_path):
    with pytest.raises(ConfigError, match=rf"is a folder: give --dataset image-folder --data-dir {tmp_path}, or text-"):
        resolve(RunConfig(model="resnet18", dataset=str(tmp_path)))


def test_arguments_that_a_builder_needs_are_asked_for_before_it_is_called():
    def build(classes, foo, bar=1):
        raise AssertionError

    with pytest.raises(
        ConfigError, match=r"asks for foo: give --model-arg foo=VALUE\. Unasked it has: adapt, channels"
    ):
        resolve(RunConfig(model=build, model_arg=("bar=2",)))
    assert resolve(RunConfig(model=build, model_arg=("foo=2",))).settings.model_arg == ("foo=2",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"--model is missing\. There are: alexnet, bert, .*; or path\.py:function\."),
        ({"model": "resnet81"}, "no model 'resnet81'. Did you mean 'resnet18'"),
        ({"model": "bert", "dataset": "revews"}, "no dataset 'revews'. Did you mean 'reviews'"),
        ({"model": "bert", "method": "structred"}, "no method 'structred'. Did you mean 'structured'"),
        ({"model": "bert", "criterion": "l3"}, "no criterion 'l3'. Did you mean 'l"),
        ({"model": 18}, "no model 18"),
    ],
)
def test_an_unknown_name_is_told_before_anything_happens(given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(RunConfig(**given))
    assert not given or isinstance(caught.value, UnknownName)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "bert", "weights": "imagenet"}, "--weights imagenet: there are none for bert"),
        ({"model": "vgg16", "weights": "none.pth"}, r"--weights none\.pth: there is no such file"),
        ({"model": "vgg16", "weights": "yesterday"}, "is neither none, default, imagenet, a file .* nor a run"),
        ({"model": "vgg16", "model_arg": ("stem=small",)}, "--model-arg stem=small: the builder of vgg16 has no such"),
        ({"model": "resnet18", "model_arg": ("size=2",)}, "resnet18 has no such argument; it has: stem"),
    ],
)
def test_what_a_model_cannot_be_made_or_started_from_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve(RunConfig(**given))


def test_a_name_that_is_no_run_is_left_to_hugging_face_for_bert():
    experiment = resolve(RunConfig(model="bert", weights="google-bert/bert-base-uncased"))
    config = experiment.settings
    assert (experiment.origin.kind, experiment.origin.pretrained) == ("hub", True)
    assert (config.lr, config.schedule, config.finetune_optimizer) == (1e-5, "constant", "sgd")


def test_a_second_training_phase_takes_over_the_settings_of_the_first_but_freezing(make_record, commit):
    given = RunConfig(model="resnet18", dataset="cifar10", image_size=28, lr=0.1, freeze=True)
    first = dense_run(msgspec.structs.replace(given, model_arg=("stem=small",)))
    commit(first, make_record())
    config = resolve(RunConfig(model="resnet18", weights=first.key[:-3])).settings
    assert (config.dataset, config.image_size, config.lr) == ("cifar10", 28, 0.1)
    assert config.model_arg == ("stem=small",)
    assert config.weights == first.key
    assert not config.freeze
    assert resolve(config).settings == config
    assert resolve(RunConfig(model="resnet18", weights=first.key, image_size=32)).settings.image_size == 32


def test_a_second_training_phase_of_a_run_elsewhere_names_its_folder(make_record, commit, tmp_path):
    first = dense_run(RunConfig(model="resnet18", lr=0.1, runs_dir="elsewhere"))
    commit(first, make_record())
    config = resolve(RunConfig(model="resnet18", weights=f"elsewhere/{first.key}")).settings
    assert (config.weights, config.lr) == (str(tmp_path / "elsewhere" / first.key), 0.1)
    assert resolve(config).settings == config


def test_a_second_phase_of_a_run_without_a_newer_setting_takes_the_default(make_record, commit):
    first = dense_run(RunConfig(model="resnet18", lr=0.1))
    old = {name: value for name, value in first.manifest.config.items() if name != "validation"}
    first.manifest = msgspec.structs.replace(first.manifest, config=old)
    commit(first, make_record())
    config = resolve(RunConfig(model="resnet18", weights=first.key)).settings
    assert (config.lr, config.validation) == (0.1, 0.0)


def test_a_second_phase_holds_out_what_the_first_did(make_record, commit):
    first = dense_run(RunConfig(model="resnet18", validation=0.2, seed=3))
    commit(first, make_record())
    config = resolve(RunConfig(model="resnet18", weights=first.key)).settings
    assert (config.validation, config.seed) == (0.2, 3)


@pytest.mark.parametrize("model", ["resnet18", "bert"])
def test_an_ambiguous_run_is_no_name_at_hugging_face(model, make_record, commit):
    for seed in (0, 1):
        commit(dense_run(RunConfig(model=model, seed=seed)), make_record())
    with pytest.raises(AmbiguousRun, match="names several runs"):
        resolve(RunConfig(model=model, weights=f"{model}-dense"))


def test_a_folder_of_weights_is_itself_though_a_run_begins_with_its_name(make_record, commit, tmp_path):
    commit(dense_run(RunConfig(model="bert")), make_record())
    assert resolve(RunConfig(model="bert", weights="bert")).origin.kind == "run"
    (tmp_path / "bert").mkdir()
    experiment = resolve(RunConfig(model="bert", weights="bert"))
    assert (experiment.origin.kind, experiment.settings.weights) == ("hub", "bert")


def test_a_folder_that_is_called_as_a_run_begins_is_not_taken_for_it(make_record, commit, tmp_path):
    commit(first := dense_run(RunConfig(model="resnet18")), make_record())
    (tmp_path / "resnet18").mkdir()
    with pytest.raises(ConfigError, match=f"resnet18 is a folder, and the beginning of {first.key}"):
        resolve(RunConfig(model="resnet18", weights="resnet18"))
    assert resolve(RunConfig(model="resnet18", weights=first.key)).origin.run.key == first.key


@pytest.fixture
def head(tmp_path):
    """A config of a first phase: the classifier alone, of any model."""
    (tmp_path / "head.toml").write_text("epochs = 3\nlr = 0.1\nfreeze = true\nimage_size = 40\n", encoding="utf-8")
    return RunConfig(model="resnet18", weights="head.toml", seed=2, epochs=5, limit_train=100)


def test_a_first_phase_is_trained_on_the_same_data_by_settings_of_its_own(head, tmp_path):
    first, second = (phase.settings for phase in resolve(head).phases)
    assert (first.epochs, first.lr, first.freeze, first.weights) == (3, 0.1, True, "none")
    assert (second.epochs, second.lr, second.freeze) == (5, 0.1, False)
    assert second.weights == str(tmp_path / "head.toml")
    for name in ("model", "dataset", "seed", "limit_train", "image_size"):
        assert getattr(first, name) == getattr(second, name)
    assert second.image_size == 40
    with (tmp_path / "head.toml").open("a", encoding="utf-8") as file:
        file.write('runs_dir = "elsewhere"\nthreads = 1\nfraction = 0.7\n')
    assert [phase.settings for phase in resolve(head).phases] == [first, second]
    assert [phase.settings for phase in resolve(first).phases] == [first]


def test_a_config_resolves_to_the_same_though_it_was_resolved_before(head):
    once = resolve(head)
    assert resolve(once) is once
    assert resolve(once.settings).settings == once.settings
    assert dense_run(once).key == dense_run(once.settings).key == dense_run(head).key
    for text in ("top1>=dense-0.1", "loss<=dense+0.05", "top5>=0.9"):
        goal = resolve(replace(head, until=(text,)))
        assert resolve(goal.settings).settings == goal.settings
        assert [found.text for found in goal.goals] == [text]
        assert goal.first.settings.validation == goal.settings.validation == HELD_OUT


def test_the_run_is_the_one_that_starts_from_the_run_of_the_first_phase(head, make_record, commit):
    first = resolve(head).first.dense
    before = dense_run(head)
    assert before.manifest.config["weights"] == first.key
    assert stored_settings(head)["weights"] == stored_settings(resolve(head).settings)["weights"] == first.key
    commit(first, make_record())
    assert dense_run(head).key == before.key
    assert dense_run(replace(head, weights=first.key)).key == before.key


def test_each_seed_has_a_first_phase_of_its_own_unless_the_file_says_which(head, tmp_path):
    def runs():
        return {resolve(replace(head, seed=seed)).first.dense.key for seed in (0, 1)}

    assert len(runs()) == 2
    with (tmp_path / "head.toml").open("a", encoding="utf-8") as file:
        file.write("seed = 7\n")
    assert len(runs()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "head.toml: there is no such file"),
        ("epochs = -1", "head.toml: --epochs -1"),
        ('model = "vgg16"', "--weights head.toml trains a vgg16, not a resnet18"),
        ('weights = "head.toml"', "head.toml: training has two phases at most"),
    ],
)
def test_a_first_phase_that_cannot_be_is_told(head, text, message, tmp_path):
    (tmp_path / "head.toml").unlink()
    if text is not None:
        (tmp_path / "head.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolve(head)


def test_a_second_phase_on_other_data_does_not_inherit_how_the_first_was_read(tmp_path, commit, make_record):
    (tmp_path / "train.csv").write_text("text,label\nfine,1\n")
    (tmp_path / "test.csv").write_text("text,label\ndull,1\n")
    shared = {"model": "bert", "data_dir": str(tmp_path)}
    first = resolve(RunConfig(dataset="text-file", label_column="label", **shared)).dense
    commit(first, make_record(0))
    assert resolve(RunConfig(weights=first.key, **shared)).settings.label_column == "label"
    other = resolve(RunConfig(weights=first.key, dataset="reviews", **shared)).settings
    assert other.label_column is None
    assert resolve(other).settings == other


@pytest.mark.parametrize("run_of", [dense_run, pruning_run])
def test_data_is_downloaded_before_a_run_is_named_after_it(run_of, tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    def download(self):
        raw = tmp_path / "data" / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for part in ("train", "t10k"):
            (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, 2, 28, 28) + bytes(2 * 784))
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, 2) + bytes([0, 1]))

    monkeypatch.setattr(MNIST, "download", download)
    config = RunConfig(model="resnet18", dataset="mnist")
    before = run_of(config)
    assert (tmp_path / "data" / "MNIST").is_dir()
    assert before.manifest.contents["data"]
    assert run_of(config).key == before.key
