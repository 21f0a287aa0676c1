"""What tests share: tiny models and data, and registered models in small."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from prunebench import Dataset, RunConfig, Split
from prunebench.data.images import ImageTask
from prunebench.experiment.resolve import resolve
from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.models.layers import unit_count
from prunebench.pruning.registry import Request, criteria
from prunebench.records import (
    DamageRecord,
    Environment,
    LayerRecord,
    Predictions,
    Scores,
    Seconds,
    SensitivityRecord,
    StepRecord,
)
from prunebench.runs.run import Run

hypothesis.settings.register_profile("prunebench", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("prunebench")

STATE = tempfile.TemporaryDirectory(prefix="prunebench-state-")
os.environ["XDG_STATE_HOME"] = STATE.name  # what is noted as given by the user is not noted in the real home

torch.set_num_threads(1)  # models this small gain nothing from a second, and other work on the machine costs less

TINY_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
}


def build_tiny_net(classes: int) -> nn.Module:
    """Two convolutions with batch norm, dropout, and a classifier of two linear layers."""
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, classes))
    model = nn.Sequential()
    model.add_module("features", features)
    model.add_module("classifier", classifier)
    return model


def load_blobs() -> Dataset:
    """Noisy 12×12 images of three classes, told apart by which third is bright: 61 to train on, 25 to test."""
    draw = np.random.default_rng(0)
    splits = []
    for count in (61, 25):
        labels = np.arange(count) % 3
        images = draw.integers(0, 120, (count, 12, 12))
        for image, label in zip(images, labels, strict=True):
            image[:, 4 * label : 4 * label + 4] += 100
        splits.append(Split(images.astype(np.uint8), labels))
    return Dataset(splits[0], splits[1], ["left", "middle", "right"])


@pytest.fixture(autouse=True, scope="session")
def _disk_not_waited_for() -> Iterator[None]:
    """Files stay in memory, where processes that die leave them; a run waits for the disk hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which fails alike where nothing is open
        yield


@pytest.fixture(autouse=True, scope="module")
def _imported_things_frozen() -> None:
    """Keep what is imported from the garbage collector, which else looks through it whenever memory is measured."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _globals_restored() -> Iterator[None]:
    logger = logging.getLogger("prunebench")
    before = list(logger.handlers), logger.level, logger.propagate, torch.get_num_threads()
    yield
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
    torch.set_num_threads(before[3])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names cannot be looked up and nothing can be connected to."""

    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)


@pytest.fixture(scope="session")
def tiny_net() -> Callable[..., nn.Module]:
    """A builder of a small CNN, as a user would bring it."""
    return build_tiny_net


@pytest.fixture(scope="session")
def blobs() -> Callable[[], Dataset]:
    """A loader of small images, as a user would bring it."""
    return load_blobs


@pytest.fixture(scope="session")
def tiny_task() -> ImageTask:
    """The small images as a task."""
    return ImageTask(load_blobs(), 12)


@pytest.fixture(scope="session")
def tiny_finetuning(tiny_task: ImageTask) -> Callable[[nn.Module], None]:
    """Fine-tunes a model on the small images, for four steps of SGD."""

    def finetune(model: nn.Module) -> None:
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(model.train().parameters(), 0.01)
        chunks = tiny_task.targets.some("train", 40).split(10)
        for images, labels in tiny_task.batches("train", chunks, torch.device("cpu")):
            optimizer.zero_grad()
            tiny_task.objective.loss(model(images), labels).backward()
            optimizer.step()

    return finetune


@pytest.fixture(scope="session")
def tiny_state() -> Callable[[], Checkpoint]:
    """Makes the small CNN, always with the same fresh weights."""

    def make() -> Checkpoint:
        torch.manual_seed(0)
        arguments = {"classes": 3}
        inputs = InputSpec(kind="images", size=12)
        return Checkpoint(Architecture("tiny", arguments, inputs), build_tiny_net(3).eval(), {})

    return make


@pytest.fixture
def tiny_config(tmp_path: Path) -> Callable[..., RunConfig]:
    """Makes the config of a run that takes a second; keywords replace fields."""
    config = RunConfig(
        model=build_tiny_net,
        dataset=load_blobs,
        image_size=12,
        epochs=2,
        batch_size=16,
        lr=0.01,
        fraction=0.3,
        iterations=3,
        finetune_epochs=1,
        finetune_batch_size=16,
        device="cpu",
        runs_dir=str(tmp_path / "runs"),
        results_dir=str(tmp_path / "performance"),
    )
    return lambda **changes: msgspec.structs.replace(config, **changes)


@pytest.fixture(scope="session")
def architecture_of() -> Callable[..., Architecture]:
    """Makes the architecture of a registered model for small inputs; BERT has two layers."""

    def make(name: str, size: int = 64) -> Architecture:
        if models.get(name).reads == "text":
            inputs = InputSpec(kind="text", vocabulary=50, length=12)
        else:
            inputs = InputSpec(kind="images", size=size)
        arguments = {
            "classes": 7,
            "channels": 3,
            "image_size": inputs.size,
            "adapt": True,
            "config": {**TINY_BERT, "vocab_size": 50},
        }
        return Architecture(name, arguments, inputs)

    return make


@pytest.fixture(scope="session")
def fresh(architecture_of: Callable[..., Architecture]) -> Callable[..., Checkpoint]:
    """Makes a registered model with fresh weights and no value left at its start: norms and biases are perturbed."""

    def make(name: str, size: int = 64, seed: int = 0) -> Checkpoint:
        architecture = architecture_of(name, size)
        torch.manual_seed(seed)
        model = architecture.build().eval()
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                if key.endswith("running_var"):
                    tensor.uniform_(0.5, 1.5)
                elif tensor.is_floating_point() and tensor.ndim == 1:
                    tensor.add_(0.1 * torch.randn(tensor.shape))
        return Checkpoint(architecture, model, {})

    return make


@pytest.fixture(scope="session")
def request_for() -> Callable[..., Request]:
    """Makes a pruning request with a registered criterion."""

    def make(inputs: InputSpec, fraction: float = 0.3, criterion: str = "l2", **about: Any) -> Request:
        return Request(fraction, criteria.get(criterion).score, inputs, **about)

    return make


@pytest.fixture(scope="session")
def make_record() -> Callable[..., StepRecord]:
    """Makes the record of a step of a structured run without running it; keywords replace fields."""

    def make(step: int = 0, **changes: Any) -> StepRecord:
        left = round(100 * 0.9**step)
        record = StepRecord(
            run="tiny-structured-0123456789",
            model="tiny",
            dataset="digits",
            method="structured",
            criterion="l2",
            seed=0,
            step=step,
            fraction=0.1,
            nominal_left=0.9**step,
            units=(unit_count("channels", 100, round(100 * 0.9 ** max(step - 1, 0)), left),),
            prunable_weights=10_000,
            prunable_weights_masked=100 * left,
            prunable_weights_left=left**2,
            params=100 + left**2,
            nonzero_params=100 + left**2,
            macs=64 * left**2,
            test_before=Scores.of(top1=(200 - step, 360)),
            train_before=Scores.of(top1=(1000 - step, 1437)),
            test_after=Scores.of(top1=(340 - step, 360)),
            train_after=Scores.of(top1=(1437 - step, 1437)),
            loss=0.25,
            seconds=Seconds(1.0, 2.0, 3.0, 4.0),
            layers=(LayerRecord("conv1", "Conv2d", (100, 100, 1, 1), (left, left, 1, 1), 10_000, left**2),),
        )
        return msgspec.structs.replace(record, **changes)

    return make


@pytest.fixture(scope="session")
def make_cell() -> Callable[..., SensitivityRecord]:
    """Makes the record of a layer that was pruned alone, without pruning it; keywords replace fields."""
    record = SensitivityRecord(
        run="tiny-dense-0123456789",
        model="tiny",
        dataset="digits",
        method="structured",
        criterion="l2",
        seed=0,
        layer="conv1",
        kind="channels",
        share=0.5,
        units=8,
        left=4,
        part="train",
        dense=Scores.of(top1=(90, 100)),
        scores=Scores.of(top1=(80, 100)),
    )
    return lambda **changes: msgspec.structs.replace(record, **changes)


@pytest.fixture(scope="session")
def make_damage() -> Callable[..., DamageRecord]:
    """Makes the record of what two models answer, of answers alone; there are three classes. Nothing is computed."""

    def make(
        labels: Any,
        dense: Any,
        pruned: Any,
        confidence: Any = None,
        kinds: dict[str, Any] | None = None,
        **changes: Any,
    ) -> DamageRecord:
        sure = np.linspace(0.5, 1, len(labels)) if confidence is None else confidence
        figures = np.asarray(sure, "<f4").tobytes()
        one, other, right = (np.asarray(of, "<i4").tobytes() for of in (dense, pruned, labels))
        record = DamageRecord(
            **{"run": "tiny-structured-0123456789", "model": "tiny", "dataset": "digits", "method": "structured"},
            **{"criterion": "l2", "seed": 0, "step": 2, "files": {}, "classes": ("a", "b", "c"), "labels": right},
            dense=Predictions(one, figures),
            pruned=Predictions(other, figures),
            kinds={name: np.asarray(of, "<f4").tobytes() for name, of in (kinds or {}).items()},
            over="steps",
            trials=(),
            shown=(),
            otherwise=(0, 0),
        )
        return msgspec.structs.replace(record, **changes)

    return make


@pytest.fixture(scope="session")
def here() -> Environment:
    """An environment that runs are computed with."""
    return Environment(
        seed=0, device="cpu", hardware="a CPU", threads=2, platform="", python="3.12", versions={"torch": "2"}
    )


@pytest.fixture(scope="session")
def commit(here: Environment) -> Callable[..., None]:
    """Commits records to a run without computing anything; `write` puts a checkpoint into a folder."""

    def to(run: Run, *records: StepRecord, write: Callable[[Path], None] = lambda folder: None) -> None:
        with run.working(here):
            for record in records:
                run.commit(record, write)

    return to


@pytest.fixture
def run_on(tmp_path: Path, make_record: Callable[..., StepRecord], commit: Callable[..., None]) -> Callable[..., Run]:
    """Makes a pruning run on text in a folder, three steps that nobody computed, newer than the one made before.

    It is in the folder `runs`; keywords replace settings.
    """
    made: list[Run] = []

    def make(folder: str, text: str = "fine", **given: Any) -> Run:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for part in ("train", "test"):
            (place / f"{part}.csv").write_text(f"text,label\n{text},good\ndull,bad\n")
        named = {"model": "bert", "dataset": "text-file", "data_dir": str(place), "runs_dir": str(tmp_path / "runs")}
        experiment = resolve(RunConfig(**{**named, **given}))
        run, seed = experiment.run, experiment.settings.seed
        commit(run, *(make_record(step, run=run.key, seed=seed) for step in range(3)))
        made.append(run)
        os.utime(run.folder / "run.json", (10**9 + len(made), 10**9 + len(made)))
        return run

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder PRUNEBENCH_TEST_DATA, with FashionMNIST/raw and sst2/{train,dev}.tsv; skips where it is unset."""
    folder = os.environ.get("PRUNEBENCH_TEST_DATA")
    if not folder:
        pytest.skip("PRUNEBENCH_TEST_DATA is unset: it names a folder with FashionMNIST/raw and sst2/*.tsv")
    return Path(folder)


class Nursery:
    """A process that forks children which compute runs, and kills them: see tests/survival/nursery.py.

    Its children see a small disk of their own (a tmpfs of 16 MiB) at `disk`, where the machine lets one be mounted;
    this process sees the same disk at `seen`, or None where there is no such disk.
    """

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=16m none "$0" && exec "$@"', str(disk)]
        try:
            permitted = subprocess.run([*mount, "true"], capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            permitted = False
        command = [sys.executable, str(Path(__file__).parent / "survival" / "nursery.py"), str(disk)]
        self._process = subprocess.Popen(
            [*mount, *command] if permitted else command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.seen = Path(f"/proc/{self._process.pid}/root{disk}") if permitted else None
        assert self._answer() == "ready\n"

    def compute(self, config: RunConfig, **job: Any) -> dict[str, Any]:
        """Have a child compute a run, and tell what became of the child."""
        fields = {name: getattr(config, name) for name in config.__struct_fields__}
        job["config"] = {name: value for name, value in fields.items() if value is not None}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._answer())
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Computes runs in children that can be killed, and whose disk can be filled up."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    found = Nursery(tmp_path_factory.mktemp("disk"))
    yield found
    found.close()


CHROMIUM = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Chromium without a window, with a profile of its own."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: pip install selenium")
    binaries = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if missing := [name for name, path in binaries.items() if path is None]:
        pytest.skip(f"{' and '.join(missing)} missing: install the system's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binaries["chromium"]
    for flag in (*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(binaries["chromedriver"]))
    yield driver
    driver.quit()
