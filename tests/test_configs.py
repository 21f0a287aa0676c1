"""Every config that is shipped has a plan, and the original study's are what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunebench.config import read_toml
from prunebench.experiment.plan import pruning_plan
from prunebench.experiment.resolve import resolve
from prunebench.studies.file import read_study
from prunebench.studies.record import record_of
from prunebench.studies.study import experiments_of

ROOT = Path(__file__).parent.parent / "configs"
PAPER = sorted(path for path in (ROOT / "paper").glob("*.toml") if path.stem != "paper")

DID = {  # model, method, criterion, fraction, iterations, epochs and learning rate of fine-tuning
    "alexnet-unstructured-l1": ("alexnet", "unstructured", "l1", 0.5, 6, 10, 1e-4),
    "alexnet-unstructured-random": ("alexnet", "unstructured", "random", 0.5, 6, 10, 1e-4),
    "alexnet-unstructured-one-shot": ("alexnet", "unstructured", "l1", 0.9375, 1, 10, 1e-4),
    "alexnet-structured": ("alexnet", "structured", "l2", 0.1, 10, 5, 3e-4),
    "vgg16-unstructured-l1": ("vgg16", "unstructured", "l1", 0.5, 6, 5, 1e-4),
    "vgg16-structured": ("vgg16", "structured", "l2", 0.1, 10, 5, 3e-4),
    "resnet18-unstructured-l1": ("resnet18", "unstructured", "l1", 0.5, 6, 5, 1e-4),
    "resnet18-structured": ("resnet18", "structured", "l2", 0.1, 10, 5, 3e-4),
    "resnet50-unstructured-l1": ("resnet50", "unstructured", "l1", 0.5, 6, 5, 1e-4),
    "resnet50-structured": ("resnet50", "structured", "l2", 0.1, 10, 5, 3e-4),
    "bert-unstructured-0.16": ("bert", "unstructured", "l1", 0.1591, 12, 1, 1e-4),
    "bert-unstructured-0.3": ("bert", "unstructured", "l1", 0.3, 6, 1, 1e-4),
    "bert-unstructured-0.5": ("bert", "unstructured", "l1", 0.5, 6, 1, 1e-4),
}
DENSE = {  # dataset, weights, learning rate, batch size
    "alexnet": ("cifar10", "imagenet", 1e-3, 128),
    "vgg16": ("cifar10", "imagenet", 1e-3, 64),
    "resnet18": ("cifar10", "imagenet", 1e-3, 128),
    "resnet50": ("cifar10", "imagenet", 1e-2, 128),
    "bert": ("sst2", "bert-base-uncased", 1e-5, 32),
}

HEAD = {"alexnet": 1e-2, "vgg16": 1e-3}
"""Models whose classifier was trained first, alone, and its learning rate."""


def test_every_experiment_of_the_original_study_has_a_file():
    assert {path.stem for path in PAPER} == {*DID, *(f"{model}-head" for model in HEAD)}


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_an_experiment_is_what_the_study_did(path, tmp_path):
    experiment = resolve(read_toml(path))
    config = experiment.settings
    first, *second = [phase.settings for phase in experiment.phases]
    assert (first.dataset, first.weights, first.batch_size) == (*DENSE[config.model][:2], DENSE[config.model][3])
    assert config.image_size == 224 or config.model == "bert"
    if path.stem.endswith("-head"):
        assert (first.freeze, first.epochs, first.gamma, first.lr) == (True, 20, 0.9, HEAD[config.model])
        return
    if config.model in HEAD:
        head = resolve(read_toml(path.with_name(f"{config.model}-head.toml")))
        assert experiment.first is not None
        assert experiment.first.dense.key == head.dense.key
        assert [(c.dataset, c.epochs, c.gamma, c.freeze) for c in second] == [("cifar10", 20, 0.8, False)]
    c = config
    found = (c.model, c.method, c.criterion, c.fraction, c.iterations, c.finetune_epochs, c.finetune_lr)
    assert found == DID[path.stem]
    assert (config.lr, config.finetune_optimizer) == (DENSE[config.model][2], "sgd")
    assert config.targets == "all" or config.method == "structured"
    lines = "\n".join(pruning_plan(experiment))
    assert f"{c.iterations} × {c.fraction:g}" in lines


def test_the_whole_study_runs_each_with_three_seeds_and_its_controls(tmp_path):
    planned = [each.settings for each in experiments_of(read_study(ROOT / "paper" / "paper.toml"), str(tmp_path))]
    for model, method, criterion, fraction, iterations, *_ in DID.values():
        same = [
            c.seed
            for c in planned
            if (c.model, c.method, c.criterion, c.fraction, c.iterations)
            == (model, method, criterion, fraction, iterations)
        ]
        assert sorted(same) == [0, 1, 2]
    assert {c.model for c in planned if c.method == "none"} == set(DENSE)
    assert {(c.model, c.method) for c in planned if c.criterion == "random"} == {
        (did[0], did[1]) for did in DID.values()
    }


def test_the_embedded_study_has_the_same_models_and_methods_and_its_controls(tmp_path):
    planned = [each.settings for each in experiments_of(read_study(ROOT / "embedded-study.toml"), str(tmp_path))]
    ran = {(c.model, c.method, c.criterion, c.fraction, c.iterations) for c in planned if c.method != "none"}
    assert {did[:5] for did in DID.values()} <= ran
    assert {c.model for c in planned if c.method == "none"} == {"alexnet", "resnet18"}
    assert {c.dataset for c in planned} == {"digits", "reviews"}
    assert {c.seed for c in planned} == {0, 1, 2}


def test_the_leaderboard_gives_every_criterion_the_same_budget_and_fixes_its_comparisons(tmp_path):
    study = read_study(ROOT / "leaderboard.toml")
    planned = experiments_of(study, str(tmp_path))
    runs = [each.settings for each in planned]
    assert {c.seed for c in runs} == {0, 1, 2, 3, 4}
    assert len({each.dense.key for each in planned}) == 2 * 5
    for model in ("resnet18", "bert"):
        mine = [c for c in runs if c.model == model]
        assert len(mine) == 5 * (3 * 8 + 1)
        assert len({(c.iterations, c.finetune_epochs, c.finetune_lr, c.epochs, c.dataset) for c in mine}) == 1
    family = record_of(study, planned).family
    assert family.together == "budget"
    assert [(len(cell.entries), len(cell.pairs), len(cell.controls)) for cell in family.cells] == [(8, 13, 5)] * 6
