"""A run is timed in int8 with models calibrated on its training data alone, and scored on its test data."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from prunebench import EfficiencyConfig, prune, time_run
from prunebench.data.images import ImageTask
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import resolve
from prunebench.latency import quantisation
from prunebench.latency.backends import backends
from prunebench.latency.prepare import Conditions, check_usable, load_int8, ready

CPU = torch.device("cpu")
INT8 = EfficiencyConfig(backend="onnxruntime", dtype="int8", batch_sizes=(4,), time_budget=0.1, int8_samples=30)


def build_wide_net(classes):
    """A CNN large enough for its weights to be most of its file."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 192, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        nn.Linear(768, classes),
    )


@pytest.fixture
def timed(tiny_config, monkeypatch):
    """A run, what was timed of it in int8, and per model what it was calibrated on and the file that was made."""
    experiment = resolve(tiny_config(model=build_wide_net, iterations=1, epochs=3))
    list(prune(experiment, experiment.run))
    made, real = [], quantisation.quantise

    def kept(program, feeds, model):
        small, told = real(program, feeds, model)
        made.append((program, feeds, small))
        return small, told

    monkeypatch.setattr(quantisation, "quantise", kept)
    (record,) = time_run(experiment.run, experiment, INT8)
    return {r.variant: r for r in record.latencies}, made


def test_int8_of_a_run_is_calibrated_on_training_samples_and_scored_on_test_samples(timed, blobs):
    found, made = timed
    task = ImageTask(blobs(), 12)
    every = {
        part: {
            image.numpy().tobytes()
            for images, _ in task.batches(part, [torch.arange(len(task.targets[part]))], CPU)
            for image in images
        }
        for part in ("train", "test")
    }
    for _, feeds, _ in made:
        samples = [image.tobytes() for feed in feeds for image in feed["images"]]
        assert len(samples) == len(set(samples)) == 30
        assert set(samples) <= every["train"]
        assert not set(samples) & every["test"]
    files = {len(content): content for full, _, small in made for content in (full, small)}
    ((images, labels),) = task.batches("test", [torch.arange(25)], CPU)
    answers = {}
    for name in ("original", "pruned", "original-fp32", "pruned-fp32"):
        content = files[found[name].file_bytes]
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        answers[name] = session.run(None, {"images": images.numpy()})[0].argmax(1)
        assert found[name].scores.correct == (answers[name] == labels.numpy()).sum()
        assert found[name].scores.total == 25
    for name in ("original", "pruned"):
        assert found[name].agreement.sum == np.sum(answers[name] == answers[f"{name}-fp32"])
        assert found[name].file_bytes < 0.4 * found[f"{name}-fp32"].file_bytes
        assert found[name].quantised.calibrated_on == "training data"


def test_int8_of_bert_is_a_quarter_of_its_file_and_told_what_stays_in_fp32(fresh):
    state = fresh("bert")
    conditions = Conditions(backends.get("onnxruntime"), CPU, INT8, {})
    with torch.inference_mode():
        full, small = load_int8(state, conditions)
        found = ready(state, small, state.architecture.inputs.example(3), conditions)
    assert small.file_bytes < 0.4 * full.file_bytes
    assert 1e-5 < found.difference < 0.1
    assert (small.quantised.scheme, small.quantised.samples, small.quantised.calibrated_on) == ("dynamic", 0, "")
    assert sum(small.quantised.int8.values()) >= 13  # six layers of each block, and the classifier
    assert set(small.quantised.fp32) <= {"MatMul", "FusedMatMul"}  # of queries and keys, and with values


@pytest.mark.parametrize("name", [name for name in backends.names() if "int8" not in backends.get(name).dtypes])
def test_backends_without_int8_say_so_and_which_has_it(name):
    with pytest.raises(
        ConfigError, match=rf"--backend {name} computes in .* only, not in int8\. What does: onnxruntime"
    ):
        check_usable(backends.get(name), CPU, "int8")
