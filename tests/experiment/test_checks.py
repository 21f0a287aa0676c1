"""Settings that do not go together are refused by name."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest

from prunebench.config import RunConfig
from prunebench.data.dataset import datasets
from prunebench.errors import ConfigError
from prunebench.experiment.checks import check_used
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.models.architecture import models
from prunebench.training.policies import policies


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


PAIRS = [*itertools.product(models.names(), datasets.names())]


def fits(model, dataset):
    return (models.get(model).reads == "text") == (datasets.get(dataset).reads == "text")


@pytest.mark.parametrize(("model", "dataset"), PAIRS)
def test_a_model_takes_the_data_that_it_can_read_and_no_other(model, dataset):
    config = RunConfig(model=model, dataset=dataset)
    if fits(model, dataset):
        assert resolve(config).settings.dataset == dataset
    else:
        with pytest.raises(ConfigError, match=f"{model} reads .*, but {dataset} holds .*Choose a dataset such as"):
            resolve(config)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "bert", "round_to": 8, "method": "unstructured"}, "--round-to is for structured pruning"),
        *(
            ({"model": "vgg16", "method": method, **given}, f"{option} is for unstructured pruning, which ranks single")
            for method in ("structured", "none")
            for given, option in (
                ({"scope": "layerwise"}, "--scope"),
                ({"scope": "global"}, "--scope"),
                ({"targets": "all"}, "--targets"),
                ({"targets": "weights"}, "--targets"),
            )
            if method == "none" or option == "--targets"
        ),
        *(
            ({"model": "vgg16", "method": method, **given}, message)
            for method, given, message in (
                ("structured", {"scope": "erk"}, "--scope erk says how many single weights each layer keeps"),
                ("structured", {"scope": "owl"}, "give global, isomorphic, lamp, layerwise"),
                ("unstructured", {"scope": "isomorphic"}, "--scope isomorphic ranks groups of units"),
                ("structured", {"by": "macs"}, "--by compares units of different layers, and with --scope layerwise"),
                ("structured", {"scope": "lamp", "by": "macs"}, "--by compares units of different layers, and with"),
                (
                    "structured",
                    {"by": "latency"},
                    "--by compares units of different layers, and with --scope layerwise",
                ),
                ("unstructured", {"by": "latency"}, "--by is for structured pruning, which removes whole units"),
                ("depth", {"by": "latency"}, "--by is for structured pruning, which removes whole units"),
                ("structured", {"group_normalisation": "max"}, "--group-normalisation compares units of different"),
                ("structured", {"scope": "global", "layer_fraction": ("a=0.1",)}, "--layer-fraction says what a layer"),
                ("structured", {"criterion": "fpgm", "group_reduction": "max"}, "--group-reduction max reduces the sc"),
                ("unstructured", {"group_reduction": "max"}, "--group-reduction is for structured pruning"),
            )
        ),
        ({"model": "vgg16", "mean": (0.5,)}, "--mean and --std go together"),
        ({"model": "bert", "mean": (0.5,), "std": (0.5,)}, "--mean and --std normalise images, and this is text"),
        ({"model": "vgg16", "mean": (0.5,), "std": (0.0,)}, "--mean 0.5 --std 0: "),
        (
            {"model": "vgg16", "epochs": 0, "finetune_epochs": 0},
            "and there are none: give --weights, or epochs; or",
        ),
        ({"rewind_epoch": 2}, "--rewind-epoch is for --retrain lr-rewind and weight-rewind, and this is finetune."),
        ({"retrain": "none", "distil_weight": 0.5}, "--distil-weight is for --retrain distil, and this is none."),
        ({"retrain": "distil", "bn_samples": 9}, "--bn-samples is for --retrain bn-reestimate, and this is distil."),
        ({"retrain": "scratch", "distil_temperature": 1.0}, "--distil-temperature is for --retrain distil"),
        ({"retrain": "lr-rewind", "rewind_epoch": 10, "epochs": 10}, "--rewind-epoch 10 must be less than --epochs"),
        ({"retrain": "weight-rewind", "rewind_epoch": 3, "epochs": 3}, "--rewind-epoch 3 must be less than --epochs"),
        (
            {"retrain": "weight-rewind", "rewind_epoch": 1, "epochs": 0, "weights": "imagenet"},
            "--retrain weight-rewind: --rewind-epoch 1 is of the dense training, and --epochs 0 has none; give 0.",
        ),
        ({"retrain": "lr-rewind", "epochs": 0, "weights": "imagenet"}, "--rewind-epoch 0 must be less than --epochs"),
        ({"retrain": "scratch", "epochs": 0, "weights": "imagenet"}, "--retrain scratch: it trains as long as the"),
        ({"retrain": "distil", "finetune_epochs": 0}, "--retrain distil: it trains for --finetune-epochs, which are 0"),
        ({"retrain": "bias-only", "finetune_epochs": 0}, "--retrain bias-only: it trains for --finetune-epochs, which"),
        ({"retrain": "lr-rewind", "finetune_lr": 0.5}, "--finetune-lr: --retrain lr-rewind trains as the dense model"),
        ({"retrain": "none", "finetune_epochs": 3}, "--finetune-epochs: --retrain none trains nothing. Leave it out."),
        (
            {"retrain": "scratch", "finetune_momentum": 0.1},
            "--finetune-momentum: --retrain scratch trains as the",
        ),
        ({"every": 2}, "--every prunes gradually, towards a target: give --sparsity"),
        ({"every": 2, "sparsity": 0.5, "finetune_epochs": 3}, "leave out --finetune-epochs"),
        ({"every": 2, "sparsity": 0.5, "finetune_updates": 3}, "leave out --finetune-updates"),
        (
            {"method": "unstructured", "floor": 0.5, "scope": "layerwise"},
            "--scope layerwise says what each of them keeps",
        ),
        ({"method": "unstructured", "floor": 0.5, "pattern": "2:4"}, "says what each of them keeps"),
        ({"every": 2, "sparsity": 0.5, "retrain": "scratch"}, "--every trains by the settings of fine-tuning, and"),
        ({"retrain": "finetun"}, "There is no way of retraining 'finetun'. Did you mean 'finetune'?"),
        ({"finetune_epochs": 0, "finetune_updates": 9}, "--finetune-updates: --finetune-epochs 0 trains nothing"),
        ({"finetune_warmup": 0.1, "finetune_schedule": "one-cycle"}, "--finetune-warmup: one-cycle has a warm-up of"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolve(RunConfig(**{"model": "resnet18"} | given))


@pytest.mark.parametrize("name", policies.names())
def test_a_run_may_be_asked_for_again_with_all_its_settings(name):
    settings = resolve(RunConfig(model="resnet18", retrain=name)).settings
    assert resolve(settings).settings == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"model": "resnet18", "sequence_length": 16},
            "--sequence-length is for texts, and digits holds images in mem",
        ),
        (
            {"model": "resnet18", "white": 1.0},
            "--white is for image files, and digits holds images in memory: leave it",
        ),
        (
            {"model": "bert", "augment": True},
            "--augment is for images in memory and image files, and reviews holds tex",
        ),
    ],
)
def test_a_setting_that_changes_nothing_of_such_data_is_refused_where_it_is_asked_for(given, message):
    config = RunConfig(**given)
    experiment = resolve(config)  # as runs that are there have every setting
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_used(config, experiment)


@pytest.mark.parametrize(
    "given",
    [
        {"model": "resnet18", "image_size": 16, "augment": True},
        {"model": "resnet18", "dataset": "image-folder", "resize": "fit", "white": 1.0, "background": "black"},
        {"model": "bert", "sequence_length": 16},
    ],
)
def test_a_setting_that_changes_such_data_is_taken(given):
    config = RunConfig(**given)
    check_used(config, resolve(config))


HELD = {"validation": 0.2}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"validation": 0.2}),
        ({}, {"until": ("top1>=0.5",)}),
        (HELD, {"seed": 1}),
        (HELD, {"limit_train": 50}),
        (HELD, {"validation": 0.3}),
    ],
)
def test_what_a_run_was_trained_on_is_not_held_out_in_a_second_phase(before, now, make_record, commit):
    first = dense_run(RunConfig(model="resnet18", **before))
    commit(first, make_record())
    given = RunConfig(model="resnet18", weights=first.key, **now)
    with pytest.raises(ConfigError, match=rf"run {first.key}, .* has trained on data .* held out here\."):
        resolve(given)
    elsewhere = msgspec.structs.replace(given, dataset="cifar10", validation=0.3)
    assert resolve(elsewhere).settings.validation == 0.3


@pytest.mark.parametrize(("before", "now"), [({}, {"seed": 1}), (HELD, {"validation": 0.0}), (HELD, {"lr": 0.1})])
def test_a_second_phase_that_holds_out_nothing_else_is_fine(before, now, make_record, commit):
    first = dense_run(RunConfig(model="resnet18", **before))
    commit(first, make_record())
    config = resolve(RunConfig(model="resnet18", weights=first.key, **now)).settings
    assert {name: getattr(config, name) for name in now} == now


@pytest.mark.parametrize(
    "reading",
    [
        {"text_column": ("review",)},
        {"label_column": "2"},
        {"header": False},
        {"header": True},
        {"encoding": "cp1252"},
        {"trust_data": True},
    ],
)
@pytest.mark.parametrize("dataset", ["reviews", "digits", lambda data_dir: None])
def test_how_files_are_read_is_said_to_no_dataset_that_does_not_ask(dataset, reading):
    (name,) = reading
    if (dataset, name) == ("sst2", "trust_data"):
        assert resolve(RunConfig(model="bert", dataset=dataset, **reading)).settings.trust_data
        return
    with pytest.raises(
        ConfigError, match=rf"--(no-)?{name.replace('_', '-')}: the dataset .* does not ask for it; .* text-file"
    ):
        resolve(RunConfig(model="bert", dataset=dataset, **reading))


@pytest.mark.parametrize(
    ("model", "words"), [("resnet18", "--dataset image-folder too"), ("bert", "--dataset text-file too")]
)
def test_a_folder_of_data_is_not_passed_over_for_a_bundled_dataset_that_nobody_named(model, words):
    with pytest.raises(ConfigError, match=f"--data-dir pictures: no dataset is named, .* {words}"):
        resolve(RunConfig(model=model, data_dir="pictures"))
    for dataset in ("digits", "mnist"):
        if model == "resnet18":
            assert resolve(RunConfig(model=model, data_dir="pictures", dataset=dataset)).settings.dataset == dataset


def test_a_model_of_ones_own_may_read_either(tiny_net):
    with pytest.raises(ConfigError, match="--dataset image-folder or --dataset text-file too"):
        resolve(RunConfig(model=tiny_net, data_dir="data"))
