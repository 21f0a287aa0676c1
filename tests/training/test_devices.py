"""Everything runs on every device: on one that pretends to be cuda or mps, nothing of two devices ever meets."""

from __future__ import annotations

import copy
import re
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pretended import pretended
from torch import nn

from prunebench import Dataset, EfficiencyConfig, RunConfig, Split, load, prune, pruning_run, reevaluate, seek, time_run
from prunebench.data.images import ImageTask
from prunebench.data.text import TextTask, train_tokenizer
from prunebench.errors import ConfigError, Stopped
from prunebench.experiment.resolve import resolve
from prunebench.experiment.sensitivity import sensitivity
from prunebench.experiment.verify import verify
from prunebench.models import checkpoint
from prunebench.models.architecture import Architecture
from prunebench.models.export import export
from prunebench.pruning.blocks.proof import find_removable_blocks
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.multiplied import find_weights
from prunebench.pruning.registry import Request, criteria, methods
from prunebench.pruning.shares import scopes
from prunebench.pruning.units.removable import find_removable
from prunebench.training.policies import policies

DEVICES = ("cuda", "mps")
SAMPLES = 12
PAIRS = [
    (method, name)
    for method in methods.names()
    for name in criteria.names()
    if methods.get(method).removes and methods.get(method).fitting(criteria.get(name))
]
AMOUNTS = [
    *[("unstructured", "l1", {"scope": scope}) for scope in scopes.names() if scopes.get(scope).masks],
    *[("structured", "l2", {"scope": scope}) for scope in scopes.names() if scopes.get(scope).pool],
    *[("structured", "taylor", {"scope": "global", "group_normalisation": "mean", "by": "macs"})],
    *[("structured", "l2", {"scope": "global", "group_normalisation": name}) for name in ("max", "norm")],
    *[("structured", "l2", {"group_reduction": name}) for name in ("mean", "norm", "max", "abs-sum")],
    *[
        ("unstructured", name, {"pattern": pattern, "gone": 0.5, "scope": "layerwise"})
        for pattern in ("2:4", "4x1", "row")
        for name in ("l1", "wanda", "random")
    ],
    ("unstructured", "sparsegpt", {"pattern": "2:4", "gone": 0.5, "scope": "layerwise"}),
]


class Residual(nn.Module):
    """Adds to images what it makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

    def forward(self, images):
        return images + self.norm(self.conv(images)).relu()


def build(classes):
    """A convolution, two blocks that can go, and linear layers."""
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, classes)]
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), Residual(), Residual(), *head)


def data():
    """A few images of three classes."""
    draw = np.random.default_rng(0)
    parts = (Split(draw.integers(0, 255, (n, 8, 8)).astype(np.uint8), np.arange(n) % 3) for n in (20, 9))
    return Dataset(*parts, ["a", "b", "c"])


def texts():
    """A few sentences of two classes."""
    said = ["a fine film", "dull", "what a fine fine story", "dull and long", "never dull", "long film", "a story"]
    parts = (Split([said[i % 7] for i in range(n)], np.arange(n) % 2) for n in (14, 7))
    return Dataset(*parts, ["bad", "good"])


@cache
def subject(kind):
    """A model of a kind, its task, and what can be removed of it."""
    torch.manual_seed(0)
    if kind == "images":
        task = ImageTask(data(), 8)
        model = build(3)
    else:
        task = TextTask(texts(), train_tokenizer(texts().train.inputs), 8)
        sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
        config = {**sizes, "max_position_embeddings": 16, "vocab_size": task.inputs.vocabulary}
        model = Architecture("bert", {"classes": 2, "config": config}, task.inputs).build()
    found = SimpleNamespace(model=model, task=task, weights=find_weights(model, task.inputs))
    found.removable = find_removable(model, task.inputs)
    found.blocks = find_removable_blocks(model, task.inputs)
    return found


def finetune(task, model):
    """A step of SGD, without dropout."""
    optimizer = torch.optim.SGD(model.eval().parameters(), 0.1)
    some = [task.targets.some("train", 4)]
    inputs, target = next(task.batches("train", some, next(model.parameters()).device))
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    task.objective.loss(getattr(output, "logits", output), target).backward()
    optimizer.step()


def pruned(kind, method, name, device, **given):
    """The model of a kind on a device after a step, or two where amounts matter, and its masks; of text few layers."""
    of, method = subject(kind), methods.get(method)
    model, masks = copy.deepcopy(of.model), {}
    model.to(device)
    about = {"scope": criteria.get(name).scope} | given if method.masks else dict(given)
    pattern = about.pop("pattern", None)
    for step in (1, 2) if about and pattern is None and "scope" in given else (1,):
        request = Request(
            0.3,
            method.ranking(criteria.get(name)),
            of.task.inputs,
            seed=step,
            task=of.task,
            finetune=partial(finetune, of.task),
            calibration=SAMPLES,
            rounds=min(2, criteria.get(name).rounds),
            removable=of.removable if method.narrows else None,
            weights=of.weights,
            blocks=of.blocks if method.shortens else None,
            pattern=pattern if pattern is None else read_pattern(pattern),
            include=("bert.encoder.layer.0",) if kind == "text" and not method.shortens else (),
            **about,
        )
        done = method.prune(model, masks, request)
        masks = done.masks
        method.count(model, masks, request)
    return model, masks


def same(one, other):
    """Whether two models and their masks are equal, wherever they lie."""
    pairs = [(one[0].state_dict(), other[0].state_dict()), (one[1], other[1])]
    return all(a.keys() == b.keys() and all(torch.equal(a[n].cpu(), b[n].cpu()) for n in a) for a, b in pairs)


@pytest.mark.parametrize(("kind", "method", "name"), [(kind, *pair) for kind in ("images", "text") for pair in PAIRS])
def test_every_criterion_prunes_on_a_device_as_on_the_cpu(kind, method, name):
    try:
        expected = pruned(kind, method, name, "cpu")
    except ConfigError as refused:
        for device in DEVICES if kind == "images" else ("mps",):
            with pretended(device) as there, pytest.raises(ConfigError, match=re.escape(str(refused))):
                pruned(kind, method, name, there)
        return
    for device in DEVICES if kind == "images" else ("mps",):
        with pretended(device) as there:
            found = pruned(kind, method, name, there)
            lie = {each.device.type for each in (*found[0].state_dict().values(), *found[1].values())}
            assert lie == {device}
            if device == "cuda":  # mps has no numbers of 64 bits
                assert same(found, expected)
            assert all(torch.isfinite(value.float()).all() for value in found[0].state_dict().values())


@pytest.mark.parametrize(("method", "name", "about"), AMOUNTS)
def test_every_scope_and_pattern_goes_on_a_device_as_on_the_cpu(method, name, about):
    expected = pruned("images", method, name, "cpu", **about)
    for device in DEVICES:
        with pretended(device) as there:
            assert same(pruned("images", method, name, there, **about), expected)


@pytest.fixture
def config(tmp_path):
    """Makes a run of an epoch and a step on small images; keywords replace fields."""
    small = {"model": build, "dataset": data, "image_size": 8, "epochs": 1, "batch_size": 7}
    places = {"runs_dir": str(tmp_path / "runs"), "results_dir": str(tmp_path / "performance")}
    usual = {"iterations": 1, "fraction": 0.3, "calibration": SAMPLES, "threads": 1}
    return lambda **changes: RunConfig(**{**small, **places, **usual, **changes})


def came_to(records):
    """What does not tell of time and machine."""
    return [(r.units, r.params, r.nonzero_params, r.macs, r.loss, r.test_before, r.test_after) for r in records]


TUNING = {"method": "unstructured", "finetune_batch_size": 7}
OPTIMIZERS = [
    {"finetune_optimizer": optimizer, "optimizer": optimizer, "dtype": dtype, "clip_norm": clip, **TUNING}
    for optimizer, dtype, clip in (
        ("sgd", "fp32", 0.0),
        ("sgd", "bf16", 1.0),
        ("adam", "bf16", 0.0),
        ("adamw", "fp16", 1.0),
        ("adam", "fp16", 0.0),
    )
]
POLICIES = [{"retrain": name, "method": "unstructured"} for name in policies.names()]
OTHERS = [
    {"retrain": "weight-rewind", "validation": 0.2, "augment": True},
    {"memory_format": "channels_last", "freeze": True, "by": "macs", "scope": "global"},
    {"class_weights": "balanced", "macs": 0.5, "fraction": None},
    {"sparsity": 0.5, "fraction": None, "every": 1, "iterations": 2, "method": "unstructured"},
    {"method": "depth", "iterations": 2},
    {"method": "none"},
]
RUNS = [
    *[("cuda", each) for each in (*OPTIMIZERS, *POLICIES, *OTHERS)],
    *[("mps", each) for each in (*OPTIMIZERS[::3], OTHERS[1])],
]


@pytest.mark.parametrize(("device", "settings"), RUNS)
def test_runs_come_to_the_same_on_a_device(device, settings, config):
    with pretended(device):
        found = came_to(prune(config(device=device, **settings)))
    if device == "cuda" and settings in OPTIMIZERS:  # on mps other optimizers train, and sums are of 32 bits
        assert found == came_to(prune(config(device="cpu", **settings)))
    assert len(found) == 1 + settings.get("iterations", 1)


def stopping(config, batches):
    """The records of a run that is stopped and goes on again and again."""
    for most in range(batches, 100, batches):
        calls = iter(range(1, 1000))
        try:
            return list(prune(config, pruning_run(config), stop=lambda calls=calls, most=most: next(calls) >= most))
        except Stopped:
            continue
    raise AssertionError


@pytest.mark.parametrize(("device", "optimizer"), [("cuda", "adamw"), ("mps", "sgd")])
def test_a_run_on_a_device_is_kept_read_and_continued(device, optimizer, config):
    about = {"method": "unstructured", "finetune_optimizer": optimizer, "device": device, "finetune_batch_size": 7}
    with pretended(device):
        expected = came_to(prune(config(**about, runs_dir=config().runs_dir + "-2")))
        whole = config(**about)
        assert came_to(stopping(whole, 3)) == expected
        run = pruning_run(whole)
        assert reevaluate(run, 1, whole) == (run.record(1).test_after, run.record(1).train_after)
        assert [each.differences for each in verify(run, resolve(whole))] == [(), ()]


@pytest.mark.parametrize(
    ("device", "method", "kind"), [("cuda", "structured", "safetensors"), ("mps", "unstructured", "masks")]
)
def test_what_is_made_of_a_run_on_a_device_is_made(device, method, kind, config, tmp_path):
    timing = EfficiencyConfig(batch_sizes=(2,), time_budget=0.05)
    with pretended(device) as there:
        settings = config(device=device, method=method, until=("top1>=dense-0.9",))
        run = pruning_run(settings)
        assert list(seek(settings, run))
        experiment = resolve(settings)
        assert list(sensitivity(experiment, experiment.dense, (0.5,)))
        assert next(time_run(run, settings, timing)).latencies
        model = load(run.folder, build).to(there)
        assert model(torch.zeros(1, 3, 8, 8, device=there)).device.type == device
        state = checkpoint.load(run.checkpoint(1), experiment.model)
        state.model.to(there)
        assert export(state, kind, tmp_path / "net", entry=experiment.model) < 1e-5


FAULTS = {
    "a mask": lambda there: torch.ones(2, 3, device=there).mul_(torch.ones(2, 3)),
    "an output": lambda there: torch.zeros(3).add_(torch.zeros(3, device=there)),
    "a number that adds up": lambda there: torch.zeros(()).add_(torch.zeros((), device=there)),
    "an index": lambda there: torch.zeros(3)[torch.zeros(2, dtype=torch.long, device=there)],
    "parts": lambda there: torch.cat([torch.zeros(2, device=there), torch.zeros(2)]),
    "a view": lambda there: torch.zeros(4, device=there)[:2].view(2) + torch.zeros(2),
    "a loss": lambda there: nn.functional.cross_entropy(torch.zeros(2, 3, device=there), torch.zeros(2).long()),
    "a generator": lambda there: torch.empty(3, device=there).uniform_(generator=torch.Generator()),
    "another generator": lambda there: torch.rand(3, generator=torch.Generator(device=there)),
    "a module": lambda there: nn.Linear(3, 2).to(there)(torch.zeros(1, 3)),
    "a buffer": lambda there: (
        nn.BatchNorm1d(2, device=there).requires_grad_(False).to("cpu")(torch.ones(3, 2, device=there))
    ),
    "numpy": lambda there: torch.zeros(3, device=there).numpy(),
    "an array": lambda there: np.asarray(torch.zeros(3, device=there)),
    "a comparison": lambda there: torch.equal(torch.zeros(3, device=there), torch.zeros(3)),
}

FINE = {
    "a number": lambda there: torch.zeros(3, device=there) * torch.tensor(2.0),
    "an index on the CPU": lambda there: torch.zeros(3, device=there)[torch.tensor([0, 2])],
    "a copy": lambda there: torch.zeros(3, device=there).copy_(torch.ones(3)),
    "moved": lambda there: torch.zeros(3).to(there) + torch.ones(3, device=there),
    "moved as another": lambda there: torch.zeros(3).to(torch.ones(1, device=there)) + torch.ones(3, device=there),
    "a copy of a module": lambda there: copy.deepcopy(nn.Linear(3, 2).to(there))(torch.zeros(1, 3, device=there)),
    "drawn on the CPU": lambda there: torch.rand(3, generator=torch.Generator()).to(there),
    "brought back": lambda there: torch.from_numpy(torch.zeros(3, device=there).cpu().numpy()),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FAULTS)
def test_what_a_device_would_refuse_is_refused(name, device):
    with pretended(device) as there, pytest.raises((RuntimeError, TypeError), match="device"):
        FAULTS[name](there)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FINE)
def test_what_a_device_would_do_is_done(name, device):
    with pretended(device) as there:
        assert len(FINE[name](there))


def test_where_a_gradient_meets_a_mask_of_another_device_it_is_seen():
    with pretended("cuda") as there:
        weight = nn.Parameter(torch.ones(3, device=there))
        weight.square().sum().backward()
        with pytest.raises(RuntimeError, match="same device, but found cpu, cuda:0"):
            weight.grad.mul_(torch.ones(3))
        weight.register_hook(lambda gradient: gradient * torch.ones(3))
        with pytest.raises(RuntimeError, match="same device"):
            weight.square().sum().backward()


def test_mps_has_no_numbers_of_64_bits():
    with pretended("mps") as there:
        for make in (
            lambda: torch.zeros(3, dtype=torch.float64, device=there),
            lambda: torch.zeros(3, device=there).double(),
            lambda: torch.zeros(3, dtype=torch.float64).to(there),
            lambda: nn.Linear(2, 2).to(there).double(),
        ):
            with pytest.raises(TypeError, match="float64"):
                make()
        assert torch.zeros(3, dtype=torch.float64).to(there, torch.float32).cpu().double().dtype == torch.float64
