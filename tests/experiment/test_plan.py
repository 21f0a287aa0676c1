"""The plan: what a run will do, before it does it, and what of it is there."""

from __future__ import annotations

import pytest

from prunebench.config import RunConfig
from prunebench.experiment.plan import pruning_plan, schedule, training_plan
from prunebench.experiment.resolve import dense_run, pruning_run, resolve
from prunebench.models.architecture import models
from prunebench.pruning.registry import methods


@pytest.fixture
def plan_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def plan(**given):
        return "\n".join(pruning_plan(resolve(RunConfig(**{"model": "resnet18", **given}))))

    return plan


def test_a_plan_says_data_dense_run_method_and_schedule(plan_of):
    plan = plan_of()
    dense = dense_run(RunConfig(model="resnet18")).key
    assert "prune resnet18 on digits: 32 px, fp32, seed 0" in plan
    assert f"{dense} (will be trained first)" in plan
    assert "structured, criterion l2" in plan
    assert "10 × 0.1 → 34.9 % of channels" in plan
    assert plan.endswith("(new)")


def test_a_plan_of_training_says_how_classes_are_weighted():
    def told(**given):
        return "\n".join(training_plan(resolve(RunConfig(model="resnet18", **given))))

    assert "batch 64\n" in told()
    assert "batch 64, class weights balanced\n" in told(class_weights="balanced")


def test_a_plan_knows_what_is_there_already(plan_of, make_record, commit):
    config = RunConfig(model="resnet18")
    commit(dense_run(config), make_record())
    commit(pruning_run(config), *map(make_record, range(3)))
    assert "(trained)" in plan_of()
    assert "(3 of 11 steps are there)" in plan_of()
    assert "(2 of 2 steps are there)" in plan_of(iterations=1)
    assert "\n".join(training_plan(resolve(config))).endswith("(finished)")


def test_a_plan_without_fine_tuning_says_so(plan_of):
    assert "tuning   none" in plan_of(finetune_epochs=0)
    assert "tuning   1 epoch per step, 60 batches at least, of adamw" in plan_of()
    assert "tuning   1 epoch per step of adamw" in plan_of(finetune_updates=0)
    assert "tuning   2 epochs per step of adamw" in plan_of(finetune_epochs=2)
    own = {"finetune_momentum": 0.5, "finetune_weight_decay": 1e-4, "finetune_clip_norm": 2.0}
    assert "cosine, batch 64, momentum 0.5, weight decay 0.0001, clip norm 2\n" in plan_of(**own)


def test_a_plan_names_the_trackers_that_are_told(plan_of):
    assert "  track    tensorboard, wandb\n" in plan_of(track=("tensorboard", "wandb"))
    assert (
        "\n".join(training_plan(resolve(RunConfig(model="resnet18", track=("tensorboard",))))).count("  track    ") == 1
    )
    assert "track" not in plan_of()


def test_a_plan_tells_how_a_pruned_model_recovers(plan_of):
    assert "retrain" not in plan_of()
    assert "cosine, batch 64, warm-up 10 % of the batches\n" in plan_of(finetune_warmup=0.1)
    found = plan_of(retrain="lr-rewind", rewind_epoch=4, epochs=10)
    assert "  retrain  lr-rewind, rewind epoch 4: train on as the dense model was trained from" in found
    assert "  tuning   6 epochs per step of adamw, lr 0.002, one-cycle, batch 64\n" in found
    assert "  retrain  distil, distil temperature 4, distil weight 0.9: " in plan_of(retrain="distil")
    assert "tuning   none" in plan_of(retrain="bn-reestimate")


def test_what_a_criterion_takes_longer_for_is_told(plan_of):
    told = (
        "  scores   squared gradient takes about 10 times a forward and backward pass over 200 samples, which pass one "
    )
    assert told in plan_of(method="unstructured", criterion="fisher", calibration=200)
    assert "movement takes an epoch of fine-tuning in each step" in plan_of(criterion="movement")
    assert "synaptic flow takes 100 times a forward and backward pass of one" in plan_of(criterion="synflow")
    assert "scores  " not in plan_of(criterion="taylor") + plan_of(method="none")


def test_what_is_measured_before_the_training_is_told(plan_of):
    told = "  costs    of units are measured on this machine at batch 1, once and before anything is trained"
    assert told in plan_of(scope="global", by="latency")
    assert "  costs  " not in plan_of(scope="global", by="macs")


def test_fresh_weights_that_are_pruned_first_and_trained_then_are_told(plan_of):
    assert "(fresh weights, nothing is trained before they are pruned)" in plan_of(epochs=0, finetune_epochs=9)


def test_a_plan_says_where_layers_are_pruned_one_after_the_other(plan_of):
    told = "layers   one after the other"
    assert told in plan_of(method="unstructured", criterion="sparsegpt")
    assert told in plan_of(method="unstructured", criterion="wanda", finetune_epochs=0)
    assert told not in plan_of(method="unstructured", criterion="wanda")
    assert told not in plan_of(method="unstructured", finetune_epochs=0)


def test_where_no_epoch_is_asked_for_nothing_is_said_to_be_trained(plan_of, tiny_net):
    assert "(weights as they are, nothing is trained)" in plan_of(model=tiny_net, epochs=0)


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_a_plan_in_units_of_its_own(name, plan_of):
    first = plan_of(model=name).splitlines()[0]
    assert ("tokens" in first) == (models.get(name).reads == "text")
    assert ("px" in first) == (models.get(name).reads == "images")


@pytest.mark.parametrize("model", ["resnet18", "bert", "own"])
@pytest.mark.parametrize("name", methods.names())
def test_the_schedule_counts_the_units_of_the_method_and_the_model(name, model, tiny_net):
    experiment = resolve(
        RunConfig(model=tiny_net if model == "own" else model, method=name, fraction=0.5, iterations=3)
    )
    unit = {"resnet18": "channels", "bert": "heads and neurons", "own": "units"}[model]
    removed = f"0.5 → 12.5 % of { {'unstructured': 'weights', 'depth': 'blocks'}.get(name, unit) }"
    least = "; every layer keeps 10 % of that share at least" if name == "unstructured" else ""
    assert schedule(experiment) == f"3 × {removed + least if methods.get(name).removes else 'nothing removed'}"


def test_nobody_knows_the_size_of_a_users_own_data_before_it_is_read(plan_of, blobs):
    first = plan_of(dataset=blobs).splitlines()[0]
    assert first.endswith("load_blobs: fp32, seed 0")


def test_a_training_plan_says_where_it_starts_and_what_is_trained():
    def plan(**given):
        return "\n".join(training_plan(resolve(RunConfig(model="vgg16", freeze=True, epochs=3, **given))))

    assert "from     fresh weights, the classifier alone: 3 epochs of adamw" in plan()
    assert "from     weights imagenet" in plan(weights="imagenet")


def test_a_plan_says_whether_the_first_phase_of_training_is_there(tmp_path, make_record, commit):
    (tmp_path / "head.toml").write_text("epochs = 1\nfreeze = true\n", encoding="utf-8")
    experiment = resolve(
        RunConfig(model="resnet18", weights=str(tmp_path / "head.toml"), runs_dir=str(tmp_path / "runs"))
    )
    first = experiment.first.dense
    assert f"from     head.toml, run {first.key} (will be trained first)" in "\n".join(training_plan(experiment))
    commit(first, make_record())
    assert f"{first.key} (trained)" in "\n".join(training_plan(experiment))


def test_a_plan_says_that_a_run_was_begun_and_until_when_it_prunes(plan_of, here):
    goal = {"until": ("params<=0.5", "top1>=0.9")}
    assert "schedule at most 50 × 0.1" in plan_of(**goal)
    assert "until    params<=0.5 and top1>=0.9" in plan_of(**goal)
    assert "held out 10 % of the training data, to select on" in plan_of(**goal)
    for run in (dense_run(RunConfig(model="resnet18")), pruning_run(RunConfig(model="resnet18"))):
        with run.working(here):
            run.write_progress(0, lambda folder: None)()
    assert plan_of().endswith("(begun, and goes on)")
    assert "\n".join(training_plan(resolve(RunConfig(model="resnet18")))).endswith("(begun, and goes on)")


def test_layers_that_lose_another_share_are_told_in_the_schedule():
    given = {"fraction": 0.5, "iterations": 1, "prune": ("heads", "neurons"), "layer_fraction": ("layer1=0", "*=0.2")}
    told = schedule(resolve(RunConfig(model="bert", **given, floor=0.25)))
    assert (
        told == "1 × 0.5 → 50 % of heads and neurons; other fractions: layer1=0, *=0.2; every layer keeps 25 % at least"
    )
