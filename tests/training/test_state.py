"""A step that is not finished is kept whole, and goes on as if it had never stopped."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from dataclasses import replace
from functools import partial

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.classification import Classification
from prunebench.errors import RunError, Stopped
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.architecture import models
from prunebench.pruning.methods import unstructured
from prunebench.records import RemovedBlock, Scores, Seconds
from prunebench.training.fit import Position, Tally, fit
from prunebench.training.masking import Masking
from prunebench.training.optimizers import make_optimizer
from prunebench.training.state import StepState, load

CPU = torch.device("cpu")
RECIPES = [
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.0, "schedule": "cosine"},
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "one-cycle", "augment": True},
    {"optimizer": "adamw", "clip_norm": 0.1, "memory_format": "channels_last"},
    {"optimizer": "adam", "dtype": "bf16", "memory_format": "channels_last"},
    {"optimizer": "adamw", "dtype": "fp16"},
    {"optimizer": "sgd", "dtype": "fp16", "clip_norm": 0.1},
]


@dataclasses.dataclass
class Job:
    """A fine-tuning of a masked model, in two epochs of four batches, whose progress is kept in a folder."""

    setup: object
    folder: object
    state: StepState

    def fit(self, state, **about):
        self.setup.place(state.checkpoint.model)
        where = Position(0, "finetune", state.step)
        return fit(state, self.setup.task, self.setup.recipe(), where, device=CPU, save=self.save, **about)

    def save(self, state):
        for path in self.folder.iterdir():
            path.unlink()
        state.save(self.folder)

    def load(self):
        return load(self.folder, self.setup.experiment.model)


@pytest.fixture
def job(tiny_config, request_for, tmp_path):
    """Makes such a job; keywords replace settings."""

    def make(**changes):
        setup = set_up(resolve(tiny_config(method="unstructured", **changes)))
        state = setup.fresh()
        masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5)).masks
        setup.place(state.model)
        folder = tmp_path / "progress"
        folder.mkdir(exist_ok=True)
        return Job(setup, folder, StepState(1, replace(state, masks=masks)))

    return make


def stop_after(batches):
    seen = []

    def stop():
        seen.append(1)
        return len(seen) >= batches

    return stop


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def told(state):
    """What is kept but tensors, and how long it took."""
    tensors = ("checkpoint", "optimizer", "right")
    names = [field.name for field in dataclasses.fields(state) if field.name not in tensors]
    return {name: getattr(state, name) for name in names if name != "seconds"}


@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: "-".join(map(str, changes.values())))
def test_weights_masks_and_the_optimizers_state_come_back_to_the_bit_and_in_their_layout(changes, job):
    made, copies = job(**changes), []
    begun = replace(
        made.state,
        before={"weights": 100},
        scores=(Scores.of(top1=(1, 2), loss=(0.1, 2)), Scores.of(top1=(3, 4), loss=(1 / 3, 4))),
        notes=("a remark",),
        seconds=Seconds(prune=1.5, evaluate_before=0.5, finetune=2.0),
        right={"train": torch.arange(9) < 4, "test": torch.arange(3) < 0},
    )
    write = made.save

    def save(state):
        write(state)
        tensors = {name: tensor.clone() for name, tensor in state.optimizer.items()}  # with their strides
        copies.append((state, tensors, copy.deepcopy(state.checkpoint.model.state_dict())))

    made.save = save
    with pytest.raises(Stopped, match=r"Stopped in epoch 1 of 2, after batch 3"):
        made.fit(begun, every=0.0, stop=stop_after(3))
    assert [state.batch for state, _, _ in copies] == [1, 2, 3]
    found, (state, tensors, weights) = made.load(), copies[-1]
    assert (found.at, found.samples) == ((1, 0, 3), 48)
    assert (
        told(found)
        == told(state)
        == told(begun)
        | told(replace(begun, batch=3, samples=48, loss=state.loss, score=state.score, scaling=state.scaling))
    )
    assert bool(state.scaling) == (changes.get("dtype") == "fp16")
    assert found.seconds == state.seconds == msgspec.structs.replace(begun.seconds, finetune=found.seconds.finetune)
    assert found.seconds.finetune > 2.0
    assert same(found.checkpoint.model.state_dict(), weights)
    assert same(found.right, begun.right)
    assert same(found.checkpoint.masks, begun.checkpoint.masks)
    assert found.checkpoint.architecture == begun.checkpoint.architecture

    model = found.checkpoint.model
    made.setup.place(model)
    optimizer = make_optimizer(model.train(), made.setup.recipe())
    found.restore(optimizer)
    restored = found.with_optimizer(optimizer).optimizer
    assert (tensors == {}) == (changes.get("momentum") == 0.0)
    assert same(restored, tensors)
    assert {name: (t.dtype, t.stride()) for name, t in restored.items()} == {
        name: (t.dtype, t.stride()) for name, t in tensors.items()
    }
    layout = torch.channels_last if changes.get("memory_format") else torch.contiguous_format
    assert next(model.parameters()).is_contiguous(memory_format=layout)
    Masking(model, found.checkpoint.masks, optimizer, always=False).before_step()


@pytest.mark.parametrize("changes", RECIPES, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize("batches", [1, 4, 5, 8])
def test_a_fit_that_was_stopped_goes_on_to_the_same_weights_and_loss(batches, changes, job):
    made, ticks = job(**changes), []
    whole = made.fit(replace(made.state, checkpoint=copy.deepcopy(made.state.checkpoint)))
    expected = whole.checkpoint.model.state_dict()
    with pytest.raises(Stopped):
        made.fit(made.state, stop=stop_after(batches))
    half = made.load()
    assert half.at == (1, batches // 4, batches % 4)
    done = made.fit(half)
    assert told(done) == told(whole)
    assert same(done.checkpoint.model.state_dict(), expected)
    # what is kept after the last epoch is the result, and no epoch is repeated
    again = made.load()
    assert told(again) == told(whole)
    assert (again.at, again.optimizer) == ((1, 2, 0), {})
    assert made.fit(again, progress=ticks.append) is again
    assert ticks == []
    assert same(again.checkpoint.model.state_dict(), expected)


@pytest.mark.parametrize("every", [1e9, 0.0])
def test_a_fit_is_kept_as_often_as_it_is_told_and_once_when_it_ends(every, job):
    made, kept = job(optimizer="adamw"), []
    made.save = kept.append
    made.fit(made.state, every=every)
    places = [(state.epoch, state.batch) for state in kept]
    within = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)] if every == 0 else []
    assert places == [*within, (2, 0)]
    assert [bool(state.optimizer) for state in kept] == [place != (2, 0) for place in places]


@given(
    st.lists(st.tuples(st.floats(0, 1e4, width=32), st.integers(1, 9)), min_size=2, max_size=9),
    st.integers(1, 8),
    st.integers(0, 2**31),
)
def test_a_tally_goes_on_from_its_state_as_if_it_had_not_stopped(batches, cut, seed):
    generator = torch.Generator().manual_seed(seed)
    begun, tally_of = StepState(0, None, mean_loss=0.5), partial(Tally, CPU, objective=Classification(3))
    whole, part = tally_of(begun=begun), tally_of(begun=begun)
    for number, (loss, count) in enumerate(batches):
        if number == cut:
            state = part.in_state(replace(begun, batch=number))
            assert (state.batch, state.mean_loss) == (number, 0.5)
            part = tally_of(begun=StepState(checkpoint=None, **json.loads(json.dumps(sums(state)))))
        logits = torch.rand(count, 3, generator=generator)
        labels = torch.randint(0, 3, (count,), generator=generator)
        for tally in (whole, part):
            tally.add(torch.tensor(loss), logits, labels, count)
    assert (part.loss, part.score) == (whole.loss, whole.score)
    assert part.in_state(begun) == whole.in_state(begun)


def sums(state):
    return {name: getattr(state, name) for name in ("step", "loss", "score", "samples")}


@pytest.mark.parametrize(
    ("state", "place"),
    [
        (StepState(1, None), "after epoch 0 of 5"),
        (StepState(1, None, epoch=2, mean_loss=0.5), "after epoch 2 of 5"),
        (
            StepState(1, None, epoch=2, batch=7, loss=3.5, score=2, samples=20),
            "after epoch 2 of 5, batch 7 of the next",
        ),
    ],
)
def test_the_place_names_epoch_and_batch(state, place):
    assert state.place(5) == place


FILES = ["model.safetensors", "masks.safetensors", "structure.json", "optimizer.safetensors", "state.json"]


@pytest.fixture
def kept(job, here):
    """The run of a fine-tuning that was stopped, whose progress is kept in the run's folder."""
    made = job()
    run = made.setup.experiment.run
    with run.working(here):
        made.save = lambda state: run.write_progress(state.step, state.save)()
        with pytest.raises(Stopped):
            made.fit(made.state, stop=stop_after(2))
        yield run, run.progress()


@pytest.fixture
def read(tiny_net):
    """Loads the progress of such a run."""
    return partial(load, entry=models.get(tiny_net))


def test_progress_is_a_checkpoint_an_optimizer_and_a_state(kept, read):
    _, folder = kept
    assert re.fullmatch(r"progress-001-\w{64}", folder.name)
    assert {path.name for path in folder.iterdir()} == {*FILES, "files.json"}
    assert read(folder).at == (1, 0, 2)
    with pytest.raises(RunError, match="Give what builds the model"):  # no code is run because a folder names it
        load(folder)


@pytest.mark.parametrize("place", [0, 8, 100, -1])
@pytest.mark.parametrize("name", [*FILES, "files.json"])
def test_a_flipped_bit_in_the_progress_is_told_and_the_file_named(name, place, kept):
    run, folder = kept
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 4
    (folder / name).write_bytes(data)
    with pytest.raises(RunError, match=f"^{re.escape(str(folder))} is damaged: {name} .*Delete it"):
        run.progress()
    assert (folder / name).read_bytes() == data


@pytest.mark.parametrize("left", [None, 0, 7, 100, -1])
@pytest.mark.parametrize("name", [*FILES, "files.json"])
def test_progress_that_was_cut_off_or_lost_is_told_and_the_file_named(name, left, kept):
    run, folder = kept
    if left is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:left])
    with pytest.raises(RunError, match=f"^{re.escape(str(folder))} is damaged: {name} is .*Delete it"):
        run.progress()


def without(name):
    return lambda told: {key: value for key, value in told.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda told: [],
        lambda told: {},
        lambda told: {"step": 1},
        lambda told: told | {"step": "1"},
        lambda told: told | {"scores": [1, 2]},
        lambda told: told | {"seconds": None},
        without("samples"),
    ],
)
def test_a_folder_with_a_fitting_name_that_holds_something_else_is_refused(change, kept, read):
    run, folder = kept
    state = read(folder)

    def write(place):
        state.save(place)
        (place / "state.json").write_text(json.dumps(change(json.loads((place / "state.json").read_text()))))

    run.write_progress(1, write)()
    with pytest.raises(RunError, match=r"progress-001-\w+ cannot be read: .*Delete it"):
        read(run.progress())


@pytest.mark.parametrize("name", FILES)
def test_a_folder_whose_file_is_no_such_file_is_refused(name, kept, read):
    run, folder = kept
    state = read(folder)

    def write(place):
        state.save(place)
        (place / name).write_bytes(b"[1, 2]")

    run.write_progress(1, write)()
    with pytest.raises(RunError, match=r"progress-001-\w+ cannot be read"):
        read(run.progress())


@pytest.mark.parametrize("version", [2, 4])
def test_progress_of_another_version_is_refused(version, kept, read):
    run, folder = kept
    state = read(folder)

    def write(place):
        state.save(place)
        for name in ("state.json", "structure.json"):
            told = json.loads((place / name).read_text())
            (place / name).write_text(json.dumps(told | {"format": version}))

    run.write_progress(1, write)()
    with pytest.raises(RunError, match=f"has format {version}, of "):
        read(run.progress())


def test_an_optimizer_is_in_memory_and_not_its_file(tmp_path, tiny_state, tiny_net):
    kept = {"0:exp_avg": torch.ones(8, 3, 3, 3)}
    StepState(1, tiny_state(), optimizer=kept).save(tmp_path)
    found = load(tmp_path, models.get(tiny_net))
    with (tmp_path / "optimizer.safetensors").open("r+b") as file:
        file.write(bytes(1000))
    assert found.optimizer["0:exp_avg"].equal(kept["0:exp_avg"])


def test_removed_blocks_come_back_and_a_state_of_an_earlier_version_has_none(tmp_path, tiny_state, tiny_net):
    removed = (RemovedBlock("layer1.1", 0.25),)
    StepState(1, tiny_state(), removed=removed).save(tmp_path)
    assert load(tmp_path, models.get(tiny_net)).removed == removed
    told = json.loads((tmp_path / "state.json").read_text())
    del told["removed"]
    (tmp_path / "state.json").write_text(json.dumps(told))
    assert load(tmp_path, models.get(tiny_net)).removed == ()
