"""Two processes come to what one comes to that takes every batch in two parts, to the bit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from prunebench.errors import DeviceError
from prunebench.experiment.answers import Watching
from prunebench.seeding import order, seed_all
from prunebench.training.distributed import Group, answered_for, smallest_part
from prunebench.training.fit import chunks, evaluate, fit
from prunebench.training.optimizers import make_optimizer, set_lr

PAIR = Path(__file__).parent / "pair.py"
_SPEC = importlib.util.spec_from_file_location("pair", PAIR)
pair = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pair)


@pytest.fixture(scope="module")
def found(blobs, tmp_path_factory):
    """What each of two processes comes to in every case."""
    folder, data = tmp_path_factory.mktemp("pair"), blobs()
    images = [(torch.as_tensor(split.inputs), torch.as_tensor(split.labels)) for split in (data.train, data.test)]
    torch.save(images, folder / "images.pt")
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    command = [sys.executable, str(PAIR), str(store.port)]
    processes = [subprocess.Popen([*command, str(rank), str(folder)], stderr=subprocess.PIPE) for rank in (0, 1)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert b"Warning" not in said[0] + said[1]
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def in_parts(name, blobs, count=2):
    """A fit of one process that takes every batch in parts, written down anew; the model, and its losses by epoch."""
    recipe, state, task = pair.CASES[name], pair.state_of(name), pair.task_of(blobs(), name)
    model, masks, losses = state.checkpoint.model, state.checkpoint.masks, []
    trained = model.classifier if recipe.freeze else model
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is each for each in trained.parameters()))
    optimizer = make_optimizer(model, recipe)
    for epoch in range(recipe.epochs):
        model.train()
        model.features.train(not recipe.freeze)
        batches = chunks(order(61, 3, "finetune", 2, epoch), recipe.batch_size)
        total = torch.tensor(0.0)
        for batch, samples in enumerate(batches):
            set_lr(optimizer, recipe, epoch, recipe.done(epoch, batch, len(batches)))
            whole = task.objective.mass(task.targets["train"][samples])
            gradients, sums = {}, torch.tensor(0.0)
            for rank, part in enumerate(samples.tensor_split(count)):
                seed_all(3, "finetune", 2, epoch, batch, rank)
                inputs, target = next(task.batches("train", [part], pair.CPU, augment=recipe.augment))
                before = {key: buffer.clone() for key, buffer in model.named_buffers()}
                loss = task.objective.loss(model(inputs), target)
                model.zero_grad()
                (loss * (count * task.objective.mass(target) / whole)).backward()
                if rank:  # the statistics that are kept are those of the first part
                    for key, buffer in model.named_buffers():
                        buffer.copy_(before[key])
                sums += loss.detach() * len(target)
                for key, parameter in model.named_parameters():
                    if parameter.grad is not None:
                        gradients[key] = gradients.get(key, 0) + parameter.grad / count
            total += sums
            for key, parameter in model.named_parameters():
                parameter.grad = gradients.get(key)
                if key in masks:
                    parameter.grad *= masks[key]
            if recipe.clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
        losses.append(float(total) / 61)
    return model, losses


@pytest.mark.parametrize("name", pair.CASES)
def test_training_equals_one_process_that_takes_every_batch_in_parts_to_the_bit(name, found, blobs):
    model, losses = in_parts(name, blobs)
    mine = found[0][name]
    for key, tensor in model.state_dict().items():
        assert torch.equal(mine["state"][key], tensor), key
    assert mine["loss"] == losses[-1]
    for key, mask in pair.masks_of(name).items():
        assert not mine["state"][key][~mask].any()
    assert all(each["hooks"] for each in (mine, found[1][name]))


@pytest.mark.parametrize("name", pair.CASES)
def test_all_processes_come_to_the_same_weights_and_sums(name, found):
    one, other = found[0][name], found[1][name]
    parameters = [key for key in one["state"] if "running" not in key and "tracked" not in key]
    assert all(torch.equal(one["state"][key], other["state"][key]) for key in parameters)
    assert (one["loss"], one["saved"]) == (other["loss"], other["saved"])
    samples = [samples for _, _, samples in one["saved"] if samples]
    assert samples == [16, 32, 48] * 2  # the last batch has 13


def test_without_batch_norm_it_is_the_fit_of_one_process_but_for_rounding(found, blobs):
    name = "without batch norm"
    state = fit(pair.state_of(name), pair.task_of(blobs(), name), pair.CASES[name], pair.HERE, device=pair.CPU)
    for key, tensor in state.checkpoint.model.state_dict().items():
        torch.testing.assert_close(found[0][name]["state"][key], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [10, 25])
@pytest.mark.parametrize("name", ["sgd", "without batch norm"])
def test_an_evaluation_is_that_of_one_process_to_the_bit_and_answers_stand_in_order(name, size, found, blobs):
    model, task = pair.model_of(name), pair.task_of(blobs(), name)
    model.load_state_dict(found[0][name]["state"])
    watching = Watching(task.objective, share=0.1)
    about = {"batch_size": size, "device": pair.CPU, "dtype": "fp32", "watch": watching}
    scores = evaluate(model, task, "test", torch.arange(25), **about)
    alone = watching.answered(scores)
    counted, right, swings = found[0][name]["answers"][size]
    assert counted == {metric: (each.sum, each.count) for metric, each in scores.counted.items()}
    assert torch.equal(right, alone.right)
    assert swings.keys() == alone.swings.keys() == {"top1", "loss"}
    assert all(torch.equal(swings[metric], alone.swings[metric]) for metric in swings)


EPOCHS = [(61, 16, 2), (61, 16, 4), (33, 16, 3), (10, 64, 4), (1, 4, 2)]


@pytest.mark.parametrize(("samples", "batch_size", "count"), EPOCHS)
def test_the_smallest_part_of_an_epoch_is_known_beforehand(samples, batch_size, count):
    parts = [len(part) for batch in chunks(torch.arange(samples), batch_size) for part in batch.tensor_split(count)]
    assert smallest_part(samples, batch_size, count) == min(parts)


@pytest.mark.parametrize("batches", range(6))
def test_every_batch_of_an_evaluation_is_taken_once_and_in_order(batches):
    for size in (1, 2, 3, 4):
        taken = [list(Group(rank, size).some(list(range(batches)))) for rank in range(size)]
        assert [each for mine in taken for each in mine] == list(range(batches))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1


def test_alone_nothing_is_another_than_it_was(tiny_state):
    group, batch, model = Group(), torch.arange(5), tiny_state().model
    assert group.part(batch) is batch
    assert (group.place, group.share(None, batch)) == ((), 1.0)
    with group.parallel(model) as same:
        assert same is model
    group.check_alike(model)


def test_that_another_process_has_ended_is_told_and_errors_of_ones_own_are_left():
    told = pytest.raises(DeviceError, match="The process of device 1 was killed, so this run cannot go on")
    with told, answered_for(lambda: "The process of device 1 was killed"):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(RuntimeError, match="shapes"), answered_for(lambda: ""):
        raise RuntimeError("shapes do not fit")
