"""A run on two devices: killed or not it comes to the same, one process writes, and what cannot work is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace as with_
from pathlib import Path

import msgspec
import pytest
import torch

from prunebench import RunConfig, dense_run, pruning_run
from prunebench.errors import ConfigError, DataError, DeviceError, RunError
from prunebench.experiment import team
from prunebench.experiment.following import Follower
from prunebench.experiment.loop import prune, train
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.team import ALONE, Evaluation, Fit
from prunebench.models import checkpoint
from prunebench.records import Seconds
from prunebench.training.state import StepState

MODELS = Path(__file__).parents[1] / "survival" / "models.py"
CONFIG = RunConfig(
    model=f"{MODELS}:cnn",
    dataset="digits",
    image_size=12,
    limit_train=125,
    limit_test=40,
    augment=True,
    method="structured",
    epochs=2,
    batch_size=16,
    optimizer="adamw",
    fraction=0.3,
    iterations=1,
    finetune_batch_size=32,
    finetune_optimizer="sgd",
    retrain="distil",
    checkpoint_every=1e-9,
    device="cpu",
    threads=1,
    devices=2,
)


def within(folder, **changes):
    places = {"runs_dir": str(folder / "runs"), "results_dir": str(folder / "performance")}
    return msgspec.structs.replace(CONFIG, **places, **changes)


def outcome(config):
    """What a run has come to, but for seconds."""
    found = {}
    for run in (dense_run(config), pruning_run(config)):
        for step in run.steps():
            found[run.manifest.kind, step] = msgspec.structs.replace(run.record(step), seconds=Seconds())
        for path in run.folder.glob("steps/*/*"):
            if path.name != "record.json":
                found[run.manifest.kind, path.parent.name, path.name] = path.read_bytes()
    return found


def children():
    """Processes that this one has begun."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def killing(pids, phase, batch):
    """Progress of a run that kills a process it has begun, once."""

    def told(tick):
        if not pids and (tick.phase, tick.epoch, tick.batch >= batch) == (phase, 0, True):
            (pid,) = set(children()) - before
            pids.append(pid)
            os.kill(pid, signal.SIGKILL)

    before = set(children())
    return told


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two devices that nothing stops."""
    config = within(tmp_path_factory.mktemp("whole"))
    before = set(children())
    records = list(prune(config, pruning_run(config)))
    assert set(children()) <= before
    assert not torch.distributed.is_initialized()
    assert len(records) == 2
    return config


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")


@needs_proc
def test_a_run_whose_other_process_is_killed_says_so_and_goes_on_to_the_bit(whole, tmp_path):
    config, killed = within(tmp_path), []
    with pytest.raises(DeviceError, match="The process of device 1 was killed by SIGKILL, so this run cannot go on"):
        list(prune(config, pruning_run(config), killing(killed, "train", 1)))
    assert len(killed) == 1
    assert not torch.distributed.is_initialized()
    list(prune(config, pruning_run(config)))
    assert outcome(config) == outcome(whole)


def test_the_number_of_devices_is_recorded_and_on_another_a_run_is_not_continued(whole):
    assert [run.environment().devices for run in (dense_run(whole), pruning_run(whole))] == [2, 2]
    assert pruning_run(whole).key == pruning_run(msgspec.structs.replace(whole, devices=1)).key
    for devices in (1, 3):
        more = msgspec.structs.replace(whole, devices=devices, iterations=2)
        with pytest.raises(RunError, match=f"begun with devices 2; .* devices {devices}.*Give --devices 2, or start"):
            list(prune(more, pruning_run(more)))


def test_a_checkpoint_has_the_models_own_names_and_reads_as_any(whole):
    found = checkpoint.load(pruning_run(whole).checkpoint(1), resolve(whole).model)
    assert not [name for name in found.model.state_dict() if "module" in name]
    setup = set_up(resolve(msgspec.structs.replace(whole, devices=1)))
    assert setup.answered(found, "test")["test"].scores == pruning_run(whole).record(1).test_after


@needs_proc
def test_when_the_first_process_is_killed_the_others_end(tmp_path):
    words = [f"--{name.replace('_', '-')}={value}" for name, value in msgspec.structs.asdict(within(tmp_path)).items()
             if value is not None and not isinstance(value, bool)]  # fmt: skip
    command = [sys.executable, "-m", "prunebench", "prune", *words, "--finetune-epochs=1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as first:
        while "  loss " not in (line := first.stderr.readline()):
            assert line
        others = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        first.kill()
    assert (first.returncode, len(others)) == (-signal.SIGKILL, 1)
    until = time.monotonic() + 10
    while Path(f"/proc/{others[0]}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{others[0]}").exists()


def test_whoever_follows_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = resolve(within(tmp_path, devices=1))
    setup, follower = set_up(experiment), Follower(ALONE)
    state, recipe, seen = StepState(1, setup.fresh()), with_(setup.recipe(), epochs=1), list(tmp_path.rglob("*"))
    orders = [
        Fit.of(experiment, state, recipe, distils=True, teacher=setup.fresh()),
        Evaluation.of(experiment, state.checkpoint, ("test", "train"), None),
        Evaluation.of(experiment, state.checkpoint, ("test",), 0.1),
    ]
    told = iter([*(msgspec.msgpack.encode(order) for order in orders), b""])
    monkeypatch.setattr(type(ALONE.group), "told", lambda group: next(told))
    follower.obey()
    assert next(told, None) is None
    assert list(tmp_path.rglob("*")) == seen


def test_other_data_on_another_device_is_told(tmp_path):
    experiment = resolve(within(tmp_path, devices=1))
    order = Evaluation.of(experiment, set_up(experiment).fresh(), ("test",), None)
    other = msgspec.structs.replace(order, dense="models-dense-0123456789")
    with pytest.raises(DataError, match="Here are other data or files than on device 0, where this is models-dense-01"):
        Follower(ALONE)._evaluate(other)


DEEP = {"model": "resnet18", "image_size": 32}
"""A model whose last norms see one value per channel of a sample."""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 3, "devices": 4}, "--devices 4: of a batch .* a device would get no sample"),
        ({**DEEP, "batch_size": 2}, "get one sample, on which batch norm cannot train: give another --batch-size"),
        ({**DEEP, "batch_size": 61}, "a device would get one sample"),
        ({**DEEP, "limit_train": 99, "batch_size": 33}, "one sample.*give another --finetune-batch-size"),
        ({"class_weights": "balanced"}, "--devices 2: with --class-weights balanced the two parts of the loss"),
        ({"device": "mps"}, "PyTorch has no way for several of mps"),
        ({"devices": 10**6}, "--devices 1000000: this machine has"),
    ],
)
def test_what_cannot_work_is_told_before_any_process_begins_to_compute(changes, told, tmp_path, monkeypatch):
    monkeypatch.setattr(team, "_begin", lambda *about: None)
    monkeypatch.setattr(team.Leader, "close", lambda leader: None)
    config = within(tmp_path, **changes)
    with pytest.raises(ConfigError, match=told):
        list(prune(config, pruning_run(config)))
    assert not (tmp_path / "runs").exists()


def test_a_model_that_trains_on_one_sample_may_have_parts_of_one(tmp_path):
    setup = set_up(resolve(within(tmp_path)))
    setup.check_batches(setup.fresh().model, with_(setup.recipe(), batch_size=2), "--batch-size")


def test_under_a_launcher_of_another_number_it_is_told(tmp_path, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="--devices 2: here are 4 processes of a launcher"):
        train(within(tmp_path))
