"""Team: the processes that compute one run together, a device each.

The first alone has a run: it prunes, decides, writes, and tells of progress. The others do nothing but fits and
evaluations, each in their part (`training.distributed`), and know nothing of a run between two of them: an order brings
the model, and where its fit stands, as the files from which whoever goes on with a run reads them. So all begin the
same, and one that dies takes nothing along.

The others are begun by this process (`--devices N`), or by torchrun, and run `following`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.distributed as dist

from prunebench.config import Settings
from prunebench.data.dataset import Part
from prunebench.errors import ConfigError, DeviceError
from prunebench.experiment.elsewhere import anywhere
from prunebench.experiment.experiment import Experiment
from prunebench.models import checkpoint as checkpoints
from prunebench.models.checkpoint import Checkpoint
from prunebench.runs.digests import counted
from prunebench.runs.launcher import launched
from prunebench.training.distributed import ALONE as ONE
from prunebench.training.distributed import Group, answered_for, join, leave
from prunebench.training.optimizers import Recipe
from prunebench.training.state import StepState

Store = Any
"""A torch.distributed.Store, which is no name to type checkers."""

Files = Mapping[str, bytes]
"""A folder: what is in each of its files."""

BEGIN = "prunebench/begin"
"""The key of the store at which processes meet: `cpu` or `cuda` once there is work, `end` if there is none."""

MEETING_PLACE = "PRUNEBENCH_MEETING_PLACE"
"""The variable that tells a process that this one has begun at which port they meet."""

FOLLOW = "from prunebench.cli.launched import follow; follow()"

SECONDS_TO_NOTICE = 5.0
"""After which a process that has died ends this one, if no connection has told of it: NCCL waits on."""


class Order(msgspec.Struct, frozen=True, tag=True):
    """What all processes are to do.

    Attributes:
        settings: of the experiment.
        dense: the key of its dense run, in which the contents of data and files are.
        files: of the checkpoint that it is about; of a fit, of its state.
    """

    settings: Settings
    dense: str
    files: Files


class Fit(Order, frozen=True, tag=True):
    """Train the model of a step; `distils` where another loss than the task's is trained, by the dense model's files
    where it asks for that."""

    recipe: Recipe
    distils: bool
    teacher: Files | None

    @staticmethod
    def of(experiment: Experiment, state: StepState, recipe: Recipe, distils: bool, teacher: Checkpoint | None) -> Fit:
        """The order to train a state."""
        dense = None if teacher is None else written(lambda folder: checkpoints.save(teacher, folder))
        return Fit(_settings(experiment), experiment.dense.key, written(state.save), recipe, distils, dense)


class Evaluation(Order, frozen=True, tag=True):
    """Evaluate a checkpoint on parts of the data; `share` as of `Setup.answered`."""

    parts: tuple[Part, ...]
    share: float | None

    @staticmethod
    def of(experiment: Experiment, state: Checkpoint, parts: tuple[Part, ...], share: float | None) -> Evaluation:
        """The order to evaluate a checkpoint."""
        files = written(lambda folder: checkpoints.save(state, folder))
        return Evaluation(_settings(experiment), experiment.dense.key, files, parts, share)


def _settings(experiment: Experiment) -> Settings:
    """Those of an experiment for any process, which has as many threads as this one."""
    return msgspec.structs.replace(anywhere(experiment), threads=torch.get_num_threads())


class Team:
    """One process that computes alone, or follows the orders of the first of a group; it tells nobody anything."""

    def __init__(self, group: Group = ONE) -> None:
        self.group = group

    def told(self, order: Callable[[], Order]) -> Group:
        """Have the others do what this process does next; returns with whom it is done."""
        return self.group

    def computing(self) -> AbstractContextManager[None]:
        """Within it, that another process ends becomes a DeviceError."""
        return nullcontext()


ALONE = Team()


class Leader(Team):
    """The first process of several.

    Args:
        size: processes, this one among them.
        store: where they meet.
        others: those that this process has begun; none under torchrun.
        on_gpu: whether they compute on GPUs.
    """

    def __init__(self, size: int, store: Store, others: list[subprocess.Popen[bytes]], *, on_gpu: bool) -> None:
        super().__init__()
        self._size, self._store, self._others, self._on_gpu = size, store, others, on_gpu
        self._closed = threading.Event()

    def told(self, order: Callable[[], Order]) -> Group:
        """As of `Team`; the others are met at the first order.

        Raises:
            DeviceError: one of them has ended.
        """
        with self.computing():
            if self.group.size == 1:
                self._meet()
            self.group.told(msgspec.msgpack.encode(order()))
        return self.group

    def computing(self) -> AbstractContextManager[None]:
        """As of `Team`."""
        return answered_for(self._died)

    def close(self, *, fine: bool = False) -> None:
        """End the others; `fine` where they were not begun by this process, and have done all that was to be done."""
        self._closed.set()
        if self.group.size == 1:
            self._store.set(BEGIN, "end")
        elif fine:
            self.group.told()
        for process in self._others:  # they keep nothing, so nothing is lost
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        leave()

    def _meet(self) -> None:
        """Connect the processes; one that ends before is told of."""
        self._store.set(BEGIN, "cuda" if self._on_gpu else "cpu")
        met: list[Group] = []
        meeting = threading.Thread(
            target=lambda: met.append(join(self._store, 0, self._size, on_gpu=self._on_gpu)), daemon=True
        )
        meeting.start()
        while meeting.is_alive():
            meeting.join(0.05)
            if ended := self._ended():
                raise DeviceError(f"{ended} before anything was computed; what it says of that stands above.")
        if not met:
            raise DeviceError("The processes of several devices could not be connected; what is wrong stands above.")
        (self.group,) = met
        if self._on_gpu and self._others:
            threading.Thread(target=self._watch, daemon=True).start()

    def _ended(self) -> str:
        """Which process has ended, and how; empty where all live."""
        for rank, process in enumerate(self._others, 1):
            if (code := process.poll()) is not None:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
                return f"The process of device {rank} {how}"
        return ""

    def _died(self) -> str:
        """The same, a moment after a connection was closed."""
        until = time.monotonic() + 2.0
        while self._others and time.monotonic() < until:
            if ended := self._ended():
                return ended
            time.sleep(0.02)
        return ""

    def _watch(self) -> None:
        while not self._closed.wait(0.2):
            if (ended := self._ended()) and not self._closed.wait(SECONDS_TO_NOTICE):
                sys.stderr.write(f"Error: {ended}. What was finished and saved is kept: give the command again.\n")
                sys.stderr.flush()
                os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


_led: list[Leader] = []
"""The leader of the processes of a launcher: once in the life of a process."""


@contextmanager
def together(experiment: Experiment) -> Iterator[Team]:
    """Within it, the team of the devices that an experiment asks for.

    Raises:
        ConfigError: a launcher has begun another number of processes.
        DeviceError: there are fewer devices.
    """
    settings = experiment.settings
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if settings.devices == 1:
        yield ALONE
    elif launched() > 1:
        if not _led:
            _led.append(_of_launcher(settings.devices, on_gpu))
        yield _led[0]
    else:
        team = _begun_here(settings.devices, on_gpu)
        try:
            yield team
        finally:
            team.close()


def dismiss(*, fine: bool) -> None:
    """Tell the processes of a launcher that this one, their first, is done."""
    leader = _led[0] if _led else Leader(launched(), met_at()[0], [], on_gpu=False)
    leader.close(fine=fine)


def met_at() -> tuple[Store, int]:
    """The store at which a process that was begun by another one, or by a launcher, meets the others; and its rank."""
    if port := os.environ.get(MEETING_PLACE):
        return _store(int(port)), int(os.environ["RANK"])
    from torch.distributed.rendezvous import rendezvous

    store, rank, _ = next(rendezvous("env://"))
    return store, rank


def _of_launcher(devices: int, on_gpu: bool) -> Leader:
    if devices != launched() or int(os.environ["RANK"]):
        raise ConfigError(
            f"--devices {devices}: here are {launched()} processes of a launcher, of which the first leads. Leave "
            f"--devices out under torchrun, or torchrun."
        )
    return Leader(devices, met_at()[0], [], on_gpu=on_gpu)


def _begun_here(devices: int, on_gpu: bool) -> Leader:
    if not dist.is_available() or dist.is_initialized():
        why = "is used by this process already" if dist.is_available() else "is not part of this build"
        raise DeviceError(f"--devices {devices}: torch.distributed {why}.")
    if on_gpu and devices > (there := torch.cuda.device_count()):
        raise DeviceError(f"--devices {devices}: this machine has {counted(there, 'GPU')}.")
    store = _store(0)
    others = [_begin(rank, devices, store.port) for rank in range(1, devices)]
    return Leader(devices, store, others, on_gpu=on_gpu)


def _store(port: int) -> Store:
    """The store on this machine at a port; a new one where that is 0."""
    kind: Any = vars(dist)["TCPStore"]
    return kind("127.0.0.1", port, is_master=port == 0, wait_for_workers=False)


def _begin(rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    """Begin a process that follows; it ends with this one, whose end its standard input tells it."""
    home = str(Path(__file__).parents[2])
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, MEETING_PLACE: port}
    told = {name: str(value) for name, value in about.items()} | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", "-c", FOLLOW]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, **told})


def written(save: Callable[[Path], Any]) -> Files:
    """The files of what is saved into a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def folder_of(files: Files) -> Iterator[Path]:
    """Within it, the folder of some files."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            Path(name, file).write_bytes(content)
        yield Path(name)
