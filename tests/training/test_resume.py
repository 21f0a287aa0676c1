"""A step that is not finished is kept whole, and goes on as if it had never stopped."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prunebench.training.resume import Halfway, Keeper, SoFar
from safetensors.torch import load_file, save_file

from prunebench import pruning_run
from prunebench.errors import RunError, Stopped
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import Bench
from prunebench.pruning.methods import unstructured
from prunebench.records import Scores, Seconds
from prunebench.training import resume as halfway
from prunebench.training.fit import Mark, Tally, make_optimizer
from prunebench.training.masking import Masking

CPU = torch.device("cpu")
RECIPES = [
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.0, "schedule": "cosine"},
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "one-cycle", "augment": True},
    {"optimizer": "adamw", "clip_norm": 0.1, "memory_format": "channels_last"},
    {"optimizer": "adam", "dtype": "bf16", "memory_format": "channels_last"},
]


class Copying(Keeper):
    """Keeps every batch, and beside it copies of what was kept: the optimizer's state, with its strides."""

    def __init__(self, *about):
        super().__init__(*about)
        self.copies = []

    def due(self):
        return True

    def write(self, mark, optimizer):
        super().write(mark, optimizer)
        states = [optimizer.state[p] for group in optimizer.param_groups for p in group["params"]] if optimizer else []
        self.copies.append((mark, copy.deepcopy(states), copy.deepcopy(self._half.state.model.state_dict())))


@pytest.fixture
def job(tiny_config, request_for):
    """Makes the bench of a fine-tuning, its run, and the masked model that it begins with."""

    def make(**changes):
        config = resolve(tiny_config(method="unstructured", **changes))
        bench = Bench(config, None)
        state = bench.fresh()
        masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5)).masks
        bench.place(state.model)
        return bench, pruning_run(config), replace(state, masks=masks)

    return make


def stop_after(batches):
    seen = []

    def stop():
        seen.append(1)
        return len(seen) >= batches

    return stop


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: "-".join(map(str, changes.values())))
def test_weights_masks_and_the_optimizers_state_come_back_to_the_bit_and_in_their_layout(changes, job, tiny_net):
    bench, run, state = job(**changes)
    so_far = SoFar(
        step=1,
        before={"weights": 100},
        evaluated=(Scores.of(top1=(1, 2)), Scores.of(top1=(3, 4))),
        notes=("a remark",),
        seconds=Seconds(prune=1.5, finetune=2.0),
    )
    bench.stop = stop_after(3)
    with run.working(bench.environment):
        keeper = Copying(run, Halfway(state, so_far), 1.0)
        with pytest.raises(Stopped, match=r"Stopped in epoch 1 of 2, after batch 3"):
            bench.fit(state, bench.recipe(), "finetune", 1, keeper)
    found = halfway.read(run, 1, tiny_net)
    mark, states, weights = keeper.copies[-1]
    assert (mark.epoch, mark.batch, mark.samples) == (0, 3, 48)
    assert same(found.state.model.state_dict(), weights)
    assert same(found.state.masks, state.masks)
    assert found.state.architecture == state.architecture
    assert found.so_far.seconds.finetune > 2.0
    seconds = msgspec.structs.replace(so_far.seconds, finetune=found.so_far.seconds.finetune)
    assert found.so_far == msgspec.structs.replace(so_far, mark=mark, seconds=seconds)

    bench.place(found.state.model)
    optimizer = make_optimizer(found.state.model.train(), bench.recipe())
    again = Keeper(run, found, 1.0)
    assert again.mark == mark
    again.restore(optimizer)
    parameters = list(found.state.model.parameters())
    assert len(states) == len(parameters)
    for parameter, expected in zip(parameters, states, strict=True):
        tensors = {name: tensor for name, tensor in expected.items() if torch.is_tensor(tensor)}
        kept = optimizer.state[parameter] if tensors else {}
        assert same(kept, tensors)
        assert {name: (t.dtype, t.stride()) for name, t in kept.items()} == {
            name: (t.dtype, t.stride()) for name, t in tensors.items()
        }
    layout = torch.channels_last if changes.get("memory_format") else torch.contiguous_format
    assert parameters[0].is_contiguous(memory_format=layout)
    Masking(found.state.model, found.state.masks, optimizer, always=False).before_step()


@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize("batches", [1, 4, 5, 8])
def test_a_fit_that_was_stopped_goes_on_to_the_same_weights_and_loss(batches, changes, job, tiny_net):
    bench, run, state = job(**changes)
    whole = copy.deepcopy(state)
    expected = bench.fit(whole, bench.recipe(), "finetune", 1)
    bench.stop = stop_after(batches)
    half = Halfway(state, SoFar(step=1))
    with run.working(bench.environment):
        with pytest.raises(Stopped):
            bench.fit(state, bench.recipe(), "finetune", 1, Keeper(run, half, 10.0))
        bench.stop = None
        half = halfway.read(run, 1, tiny_net)
        assert bench.fit(half.state, bench.recipe(), "finetune", 1, Keeper(run, half, 10.0)) == expected
        assert same(half.state.model.state_dict(), whole.model.state_dict())
        # what is kept after the last epoch is the result, and no epoch is repeated
        again = halfway.read(run, 1, tiny_net)
        assert again.so_far.mark == Mark(epoch=2, mean_loss=expected)
        assert again.optimizer == {}
        assert bench.fit(again.state, bench.recipe(), "finetune", 1, Keeper(run, again, 10.0)) == expected
        assert same(again.state.model.state_dict(), whole.model.state_dict())


@given(
    st.lists(st.tuples(st.floats(0, 1e4, width=32), st.integers(1, 9)), min_size=2, max_size=9),
    st.integers(1, 8),
    st.integers(0, 2**31),
)
def test_a_tally_goes_on_from_its_mark_as_if_it_had_not_stopped(batches, cut, seed):
    generator = torch.Generator().manual_seed(seed)
    whole, part = Tally(CPU, Mark()), Tally(CPU, Mark())
    for number, (loss, count) in enumerate(batches):
        if number == cut:
            mark = part.mark(0, number, 0.5)
            assert (mark.batch, mark.mean_loss) == (number, 0.5)
            part = Tally(CPU, msgspec.json.decode(msgspec.json.encode(mark), type=Mark))
        logits = torch.rand(count, 3, generator=generator)
        labels = torch.randint(0, 3, (count,), generator=generator)
        for tally in (whole, part):
            tally.add(torch.tensor(loss), logits, labels)
    assert (part.loss, part.top1) == (whole.loss, whole.top1)
    assert part.mark(1, 2, None) == whole.mark(1, 2, None)


def test_a_place_is_told_in_words():
    assert Mark(epoch=2).place(5) == "after epoch 2 of 5"
    assert Mark(epoch=2, batch=7).place(5) == "after epoch 2 of 5, batch 7 of the next"


@pytest.fixture
def kept(job):
    """The run of a fine-tuning that was stopped, and the file that keeps it."""
    bench, run, state = job()
    bench.stop = stop_after(2)
    with run.working(bench.environment), pytest.raises(Stopped):
        bench.fit(state, bench.recipe(), "finetune", 1, Keeper(run, Halfway(state, SoFar(step=1)), 10.0))
    return run, run.progress()


def test_progress_of_another_step_is_ignored_and_kept(kept, tiny_net):
    run, path = kept
    assert halfway.read(run, 2, tiny_net) is None
    assert halfway.read(run, 0, tiny_net) is None
    assert path.exists()
    assert halfway.read(run, 1, tiny_net).so_far.mark.batch == 2


@pytest.mark.parametrize("place", [0, 8, 1000, -1])
def test_a_flipped_bit_in_the_progress_is_told_and_the_file_named(place, kept, tiny_net):
    run, path = kept
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    with pytest.raises(RunError, match=f"^{re.escape(str(path))} is damaged: .*Delete it"):
        halfway.read(run, 1, tiny_net)
    assert path.read_bytes() == data


@pytest.mark.parametrize("left", [0, 7, 5000, -1])
def test_progress_that_was_cut_off_is_told_and_the_file_named(left, kept, tiny_net):
    run, path = kept
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(RunError, match=f"^{re.escape(str(path))} is damaged: .*Delete it"):
        halfway.read(run, 1, tiny_net)


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"so_far": "{}"}, {"so_far": '{"step": 1}'}, {"so_far": '{"step": "1"}', "structure": "{}"}],
)
def test_a_file_with_a_fitting_name_that_holds_something_else_is_refused(metadata, kept, here, tiny_net):
    run, path = kept
    tensors = load_file(path)
    with run.working(run.environment()):
        run.write_progress(1, lambda place: save_file(tensors, place, metadata))
    with pytest.raises(RunError, match=r"progress-001-\w+\.safetensors cannot be read: .*Delete it"):
        halfway.read(run, 1, tiny_net)
