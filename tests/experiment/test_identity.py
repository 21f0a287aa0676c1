"""The key of a run changes with what decides its result, and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from torch import nn

from prunebench import Dataset, Split
from prunebench.config import LATER, RunConfig, Settings, deciding, field_types
from prunebench.data.dataset import READING
from prunebench.errors import ConfigError
from prunebench.experiment import identity
from prunebench.experiment.experiment import Experiment, Stored
from prunebench.experiment.identity import OF_WEIGHTS, as_stored, packages, restored, storable
from prunebench.experiment.resolve import dense_run, pruning_run, resolve, stored_settings

OWN = "def sizes(weight):\n    return weight\n\n\ndef sloped(gradient):\n    return gradient\n"
"""A criterion of a weight's own value, and one that asks for more."""

OTHER = {
    "model": "resnet50",
    "dataset": "cifar10",
    "data_dir": "elsewhere",
    "weights": "imagenet",
    "model_arg": ("stem=small",),
    "augment": True,
    "resize": "fit",
    "background": "black",
    "optimizer": "sgd",
    "schedule": "constant",
    "memory_format": "channels_last",
    "dtype": "bf16",
    "freeze": True,
    "method": "unstructured",
    "criterion": "random",
    "scope": "layerwise",
    "targets": "all",
    "include": ("layer1",),
    "exclude": ("layer1",),
    "finetune_optimizer": "sgd",
    "finetune_schedule": "constant",
    "device": "cuda",
    "runs_dir": "other-runs",
    "results_dir": "other-results",
    "track": ("tensorboard",),
    "fraction": 0.25,
    "mean": (0.5,),
    "std": (0.5,),
    "momentum": 0.5,
    "gamma": 0.5,
    "deterministic": True,
    "keep": "last",
    "validation": 0.25,
    "until": ("params<=0.5",),
    "text_column": ("review",),
    "label_column": "stars",
    "header": False,
    "encoding": "cp1252",
    "trust_data": True,
    "cache": "off",
    "finetune_momentum": 0.5,
    "prune": ("heads",),
    "layer_fraction": ("layer1=0.5",),
    "floor": 0.5,
    "by": "macs",
    "group_reduction": "mean",
    "group_normalisation": "max",
    "through_norms": True,
    "class_weights": "balanced",
    "output": "aux",
    "sparsity": 0.5,
    "compression": 4.0,
    "macs": 0.5,
    "sparsity_schedule": "cubic",
    "pattern": "16x16",
    "every": 2,
    "retrain": "lr-rewind",
    "distil_weight": 0.5,
    "finetune_warmup": 0.5,
}
RETRAINS = {"rewind_epoch": "lr-rewind", "bn_samples": "bn-reestimate"} | dict.fromkeys(
    ("distil_temperature", "distil_weight"), "distil"
)
"""Settings of one way of retraining alone."""


def own_loader(**reading):
    """Asks for every setting of how files are read."""
    split = Split(np.zeros((2, 8, 8), np.uint8), [0, 1])
    return Dataset(split, split, ["a", "b"])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def changed(config, name):
    value = OTHER[name] if name in OTHER else (getattr(config, name) or 0) + 1
    return msgspec.structs.replace(config, **{name: value})


BESIDE = {
    **{name: {"mean": (0.25,), "std": (0.25,)} for name in ("mean", "std")},
    **{name: {"scope": "global"} for name in ("by", "group_normalisation")},
    **{name: {"sparsity": 0.5} for name in ("sparsity_schedule", "every")},
}
"""What must be given together."""


@pytest.mark.parametrize("name", field_types())
def test_a_field_changes_the_key_of_what_it_decides_and_no_other(name):
    data = own_loader if name in READING else None
    method = "unstructured" if name in (*OF_WEIGHTS, "pattern") else "structured"
    criterion = "taylor" if name == "calibration" else None
    about = {
        "method": method,
        "criterion": criterion,
        "retrain": RETRAINS.get(name),
        "finetune_epochs": 1,
        "floor": 0.0,
    }
    config = resolve(RunConfig(model="resnet18", dataset=data, **about)).settings
    config = msgspec.structs.replace(config, **BESIDE.get(name, {}))
    other = changed(config, name)
    assert (dense_run(config).key != dense_run(other).key) == (name in deciding("training"))
    assert (pruning_run(config).key != pruning_run(other).key) == (name in deciding("training", "pruning"))


def test_what_counts_as_weight_is_part_of_the_key_of_users_own_models_alone(tmp_path):
    def contents(**about):
        return pruning_run(RunConfig(**about)).manifest.contents

    own = write_net(tmp_path)
    for method in ("unstructured", "none"):
        assert contents(model=own, method=method)["targets"] == identity.TARGETS
        assert "targets" not in contents(model="resnet18", method=method, include=("layer1",))
    assert "targets" not in contents(model=own, method="structured")
    assert "targets" not in dense_run(RunConfig(model=own, method="unstructured")).manifest.contents


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("bert.embeddings", True), ("*.word_embeddings", True), ("bert.encoder", False), ("bert.*", False), ("*", False)],
)
def test_of_bert_the_key_is_another_where_look_up_tables_are_named(pattern, names):
    config = RunConfig(model="bert", method="unstructured", include=("bert.encoder", pattern))
    assert ("targets" in pruning_run(config).manifest.contents) is names


def test_an_alias_is_the_same_run_and_so_are_samples_that_no_criterion_looks_at():
    config = RunConfig(model="resnet18", method="unstructured")
    by_alias, looking = (
        msgspec.structs.replace(config, **about) for about in ({"criterion": "magnitude"}, {"calibration": 9})
    )
    assert pruning_run(config).key == pruning_run(by_alias).key == pruning_run(looking).key
    assert resolve(by_alias).settings.criterion == "l1"
    assert resolve(looking).settings.calibration == 1024


def test_how_evidence_is_gathered_is_part_of_the_key_where_the_criterion_asks_for_any(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    own = [str(tmp_path / f"own.py:{name}") for name in ("sizes", "sloped")]
    given = {name: {"model": "resnet18", "criterion": name} for name in ("l1", "taylor", "synflow", "apoz", *own)}
    given["none"] = {"model": "resnet18", "method": "none"}
    before = {name: pruning_run(RunConfig(**about)).manifest for name, about in given.items()}
    asking = {name for name, manifest in before.items() if "evidence" in manifest.contents}
    assert asking == {"taylor", "synflow", "apoz", own[1]}
    monkeypatch.setattr(identity, "EVIDENCE", "another")
    after = {name: pruning_run(RunConfig(**about)).key for name, about in given.items()}
    assert {name for name, key in after.items() if key != before[name].key} == asking
    assert "evidence" not in dense_run(RunConfig(**given["taylor"])).manifest.contents


def test_of_a_run_whose_criterion_may_not_be_imported_its_own_contents_say_whether_it_asks(tmp_path, tiny_config):
    (tmp_path / "own.py").write_text(OWN)
    for name in ("sizes", "sloped"):
        config = tiny_config(model="resnet18", criterion=str(tmp_path / f"own.py:{name}"), method="unstructured")
        experiment = resolve(config)
        stored = Experiment(experiment.settings, (), experiment.origin, Stored(experiment.run, frozenset(), False))
        assert stored.run.key == experiment.run.key


def test_a_default_that_is_given_is_the_same_run():
    assert (
        pruning_run(RunConfig(model="resnet18")).key
        == pruning_run(RunConfig(model="resnet18", dataset="digits", fraction=0.1, weight_decay=0, exclude=())).key
        == pruning_run(RunConfig(model="resnet18", model_arg=("stem=standard",))).key
    )


def test_a_pruning_run_names_its_dense_run_beside_it():
    config = RunConfig(model="alexnet", runs_dir="here")
    run, dense = pruning_run(config), dense_run(config)
    assert run.manifest.source == dense.key
    assert run.folder.parent == dense.folder.parent
    assert dense.key.startswith("alexnet-dense-")
    assert run.key.startswith("alexnet-structured-")


def test_settings_can_be_written_and_read_back(tmp_path):
    config = RunConfig(model="vgg16", method="unstructured", exclude=("classifier.*",))
    settings = resolve(config).settings
    assert Settings(**msgspec.json.decode(msgspec.json.encode(as_stored(settings)))) == settings
    assert RunConfig(**msgspec.json.decode(msgspec.json.encode(stored_settings(config)))) == config


def write_net(folder, body="nn.Linear(3, classes)"):
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(f"from torch import nn\n\n\ndef build(classes):\n    return {body}\n")
    return f"{folder / 'net.py'}:build"


def test_a_users_file_is_known_by_name_and_content_wherever_it_lies(tmp_path):
    first, copy = write_net(tmp_path / "a"), write_net(tmp_path / "b")
    key = dense_run(RunConfig(model=first)).key
    assert key.startswith("net-dense-")
    assert dense_run(RunConfig(model=copy)).key == key
    write_net(tmp_path / "b", "nn.Identity()")
    assert dense_run(RunConfig(model=copy)).key != key


def test_objects_of_another_kind_cannot_be_told_from_others(blobs):
    assert dense_run(RunConfig(model="resnet18", dataset=blobs())).manifest.contents["dataset"] == blobs().digest()
    with pytest.raises(ConfigError, match="neither a function nor a model nor a Dataset"):
        dense_run(RunConfig(model="resnet18", dataset=object()))


def test_local_data_is_known_by_the_names_and_sizes_of_its_files(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\nfine,1\n")
    (tmp_path / "test.csv").write_text("text,label\ndull,0\n")
    config = RunConfig(model="bert", dataset="text-file", data_dir=str(tmp_path))
    key = dense_run(config).key
    assert dense_run(config).key == key
    (tmp_path / "train.csv").write_text("text,label\nfine,1\nvery dull,0\n")
    assert dense_run(config).key != key


def test_a_weight_file_is_known_by_its_content(tmp_path):
    keys = []
    for content in (b"one", b"one", b"two"):
        (tmp_path / "start.pth").write_bytes(content)
        keys.append(dense_run(RunConfig(model="vgg16", weights=str(tmp_path / "start.pth"))).key)
    assert keys[0] == keys[1] != keys[2]


def test_what_a_method_does_not_ask_for_is_stored_as_its_default():
    stored = as_stored(resolve(RunConfig(model="vgg16")).settings)
    assert [stored[name] for name in OF_WEIGHTS] == ["global", "weights"]


def test_a_file_that_a_model_reads_beside_its_own_is_part_of_it_and_that_of_a_loader_is_not(tmp_path):
    write_net(tmp_path / "a", 'nn.Linear(3, len(open("widths.txt").read()))')
    (tmp_path / "a" / "widths.txt").write_text("one")
    model = f"{tmp_path / 'a' / 'net.py'}:build"
    config = RunConfig(model=model, dataset=own_loader)
    before = dense_run(config).key
    (tmp_path / "a" / "widths.txt").write_text("two")
    assert dense_run(config).key != before
    as_data = RunConfig(model="resnet18", dataset="digits", criterion=model)
    run = pruning_run(as_data)
    (tmp_path / "a" / "widths.txt").write_text("ten")
    assert pruning_run(as_data).key != run.key
    assert dense_run(as_data).key == run.manifest.source


def test_packages_are_those_of_the_users_own_things_and_of_a_criterion_for_pruning_alone(tmp_path):
    model = write_net(tmp_path / "a")
    (tmp_path / "mine.py").write_text("import sklearn\nfrom PIL import Image\ndef score(weight):\n    return weight\n")
    settings = resolve(RunConfig(model=model, criterion=f"{tmp_path / 'mine.py'}:score")).settings
    assert packages("train", settings) == set()
    assert packages("prune", settings) == {"scikit-learn", "pillow"}
    assert packages("prune", resolve(RunConfig(model="resnet18")).settings) == set()
    given = resolve(RunConfig(model=nn.Sequential(nn.Linear(2, 2)), dataset=own_loader)).settings
    assert "pytest" in packages("train", given)  # of this file, which the loader is in


@pytest.mark.parametrize("name", [b"caf\xe9", b"caf\xc3\xa9", b"back\\xe9slash", b"plain", b"\xff\\\xe9"])
def test_a_path_that_is_stored_is_found_again_whatever_its_bytes(tmp_path, name):
    path = str(tmp_path / os.fsdecode(name))
    try:
        Path(path).mkdir()
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    storable(path).encode()
    assert restored(storable(path)) == path
    assert restored(storable(path) + "/none") == storable(path) + "/none"


def test_settings_that_came_later_leave_the_keys_of_runs_that_do_not_use_them_alone(monkeypatch):
    config = RunConfig(model="resnet18", finetune_epochs=1)
    key = pruning_run(config).key
    assert pruning_run(RunConfig(model="resnet18", mean=(0.5,), std=(0.5,))).key != key
    before = {kind: [name for name in names if name not in LATER] for kind, names in identity.DECIDING.items()}
    monkeypatch.setattr(identity, "DECIDING", before)
    assert pruning_run(config).key == key


def test_the_normalisation_beside_a_weight_file_decides_the_key(tmp_path):
    (tmp_path / "own.pth").write_bytes(b"weights")
    config = RunConfig(model="resnet18", weights=str(tmp_path / "own.pth"))
    before = dense_run(config).key
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')
    assert dense_run(config).key == before
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}')
    assert dense_run(config).key != before
    given = msgspec.structs.replace(config, mean=(0.1,), std=(0.2,))
    assert "normalisation" not in dense_run(given).manifest.contents
