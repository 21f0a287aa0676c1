"""Exports: the file answers as the model does, at any batch size, and a failure leaves what was there."""

from __future__ import annotations

import copy
import functools
import json
import logging
import math
import resource
import sys
from dataclasses import replace

import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunebench.errors import ConfigError, ModelError
from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint, structure_of
from prunebench.models.export import BATCHES, export
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.loading import load
from prunebench.pruning.methods import structured, unstructured

PROGRAMS = ("pt2", "onnx")
MODULES = ("safetensors", *PROGRAMS)
"""Formats of any model; masks are of those that have some."""


SLOW = [(name, "onnx") for name in ("alexnet", "resnet50")]  # their operators are those of the others
SLOW += [("vgg16", to) for to in MODULES]
CONTRACT = [
    pytest.param(name, to, marks=pytest.mark.slow if (name, to) in SLOW else ())
    for name in models.names()
    for to in MODULES
]


@pytest.fixture(scope="module")
def pruned(fresh, request_for):
    """Makes a registered model that has lost a third of its units, in channels_last as training may leave it."""

    @functools.cache
    def make(name):
        state = fresh(name, size=64 if name == "alexnet" else 32)
        structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3))
        state.model.to(memory_format=torch.channels_last)
        return state

    return make


def names_of(batch):
    return dict(batch) if isinstance(batch, dict) else {"images": batch}


def opened(path, model=None):
    """What answers from a file, as somebody without prunebench would open it (pt2, onnx)."""
    if path.suffix == ".safetensors":
        found = load(path, model)
        return lambda batch: output_of(found, batch)
    if path.suffix == ".pt2":
        program = torch.export.load(path).module()
        return lambda batch: program(*names_of(batch).values())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(
        session.run(["logits"], {name: tensor.numpy() for name, tensor in names_of(batch).items()})[0]
    )


def other_batches(inputs):
    """Batches that no file was traced or checked with; for text, padded sentences of other lengths too."""
    yield from (inputs.example(batch, seed=batch) for batch in (3, 7))
    if inputs.kind == "text":
        for length in (1, 5, inputs.length + 9):
            batch = InputSpec(kind="text", vocabulary=inputs.vocabulary, length=length).example(4)
            batch["attention_mask"][1, max(1, length // 2) :] = 0
            yield batch


def assert_close(answers, expected):
    assert answers.shape == expected.shape
    assert answers.dtype == torch.float32
    assert float((answers - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize(("name", "to"), CONTRACT)
def test_a_pruned_models_file_answers_as_the_model_does_at_any_batch_size(name, to, pruned, tmp_path):
    state = pruned(name)
    difference = export(state, to, tmp_path / f"model.{to}")
    answer = opened(tmp_path / f"model.{to}")
    with torch.no_grad():
        scale = float(output_of(state.model, state.architecture.inputs.example(5)).abs().max())
        assert difference == 0 if to == "safetensors" else difference < 1e-4 * scale
        for batch in other_batches(state.architecture.inputs):
            assert_close(answer(batch), output_of(state.model, batch))


@pytest.mark.parametrize("to", MODULES)
def test_a_users_own_model_is_exported(to, tiny_state, tiny_net, tmp_path):
    state = tiny_state()
    assert export(state, to, tmp_path / f"net.{to}") < 1e-6
    answer = opened(tmp_path / f"net.{to}", tiny_net)
    for batch in other_batches(state.architecture.inputs):
        assert_close(answer(batch).detach(), state.model(batch).detach())


def test_a_safetensors_file_holds_plain_parameters_the_structure_and_the_tokenizer(tiny_state, tmp_path):
    state = tiny_state()
    for tokenizer in ('{"ä": 1}', None):
        export(replace(state, tokenizer=tokenizer), "safetensors", tmp_path / "net.safetensors")
        with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        assert about.get("tokenizer") == tokenizer
        assert about["format"] == "pt"
        assert json.loads(about["structure"]) == json.loads(structure_of(state))
        assert tensors.keys() == state.model.state_dict().keys()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in state.model.state_dict().items())


def test_masked_weights_are_zero_in_the_file(tiny_state, tiny_net, request_for, tmp_path):
    state = tiny_state()
    masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5)).masks
    export(replace(state, masks=masks), "safetensors", tmp_path / "net.safetensors")
    model = load(tmp_path / "net.safetensors", tiny_net)
    assert all(torch.equal(model.get_parameter(name) != 0, mask) for name, mask in masks.items())


@pytest.mark.parametrize("to", MODULES)
def test_the_file_is_in_eval_mode_and_fp32_and_the_model_itself_stays_as_it_is(to, tiny_state, tiny_net, tmp_path):
    state = tiny_state()
    model = state.model.bfloat16().to(memory_format=torch.channels_last).train()
    before = copy.deepcopy(model)
    export(state, to, tmp_path / f"net.{to}")
    batch = state.architecture.inputs.example(3)
    answers = opened(tmp_path / f"net.{to}", tiny_net)(batch)
    assert_close(answers.detach(), copy.deepcopy(before).float().eval()(batch).detach())
    assert all(module.training for module in model.modules())
    assert model.features[4].weight.is_contiguous(memory_format=torch.channels_last)
    for (name, tensor), old in zip(model.state_dict().items(), before.state_dict().values(), strict=True):
        assert tensor.dtype == old.dtype, name
        assert torch.equal(tensor, old), name


def mine(forward, kind="images"):
    """The checkpoint of a user's own model with four weights, without a function that builds it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 4)

    Net.forward = forward
    torch.manual_seed(0)
    inputs = InputSpec(kind="text", vocabulary=9, length=6) if kind == "text" else InputSpec(kind="images", size=8)
    return Checkpoint(Architecture("<net>", {"classes": 4}, inputs), Net(), {})


def pooling(self, images):
    return self.head(images.mean((2, 3)))


def averaging(self, input_ids, attention_mask):
    return self.head((input_ids * attention_mask).float().mean(1, keepdim=True).expand(-1, 3))


@pytest.mark.parametrize(
    ("make", "axes"),
    [
        (lambda: mine(pooling), {"images": ["batch", 3, 8, 8]}),
        (lambda: mine(averaging, "text"), {"input_ids": ["batch", "length"], "attention_mask": ["batch", "length"]}),
    ],
)
def test_the_programs_name_what_they_read_and_return(make, axes, tmp_path):
    export(make(), "onnx", tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert {given.name: given.shape for given in session.get_inputs()} == axes
    assert [(given.name, given.shape) for given in session.get_outputs()] == [("logits", ["batch", 4])]
    export(make(), "pt2", tmp_path / "net.pt2")
    assert list(torch.export.load(tmp_path / "net.pt2").graph_signature.user_inputs) == list(axes)


def forgetful(calls):
    """Adds how often it was called, which a trace takes for a constant."""

    def forward(self, images):
        calls.append(1)
        return self.head(images.mean((2, 3))) + len(calls)

    return forward


@pytest.mark.parametrize("to", PROGRAMS)
def test_a_file_that_answers_otherwise_shows_in_the_difference(to, tmp_path):
    assert export(mine(forgetful([])), to, tmp_path / f"net.{to}") >= 1


@pytest.mark.parametrize("to", MODULES)
def test_a_model_that_answers_with_nan_differs_by_nan(to, tmp_path):
    state = mine(pooling)
    with torch.no_grad():
        state.model.head.bias[2] = math.nan
    assert math.isnan(export(state, to, tmp_path / f"net.{to}"))


@pytest.mark.parametrize("to", MODULES)
def test_the_difference_is_the_largest_over_all_batches(to, tiny_state, tiny_net, tmp_path):
    state = tiny_state()
    difference = export(state, to, tmp_path / f"net.{to}")
    answer = opened(tmp_path / f"net.{to}", tiny_net)
    with torch.no_grad():
        batches = [state.architecture.inputs.example(batch, seed=batch) for batch in BATCHES]
        found = [float((answer(batch) - output_of(state.model, batch)).abs().max()) for batch in batches]
    assert difference == max(found)


@pytest.mark.parametrize("to", PROGRAMS)
def test_a_text_model_that_fixes_the_length_is_exported_with_it(to, tmp_path):
    def forward(self, input_ids, attention_mask):
        return self.head((input_ids * attention_mask).reshape(input_ids.shape[0], 2, 3).float().mean(1))

    state = mine(forward, "text")
    assert export(state, to, tmp_path / f"net.{to}") < 1e-5
    batch = state.architecture.inputs.example(3)
    assert_close(opened(tmp_path / f"net.{to}")(batch).detach(), output_of(state.model, batch).detach())


def branching(self, images):
    found = self.head(images.mean((2, 3)))
    return found if found.sum() > 0 else -found


def batch_of_two(self, images):
    return self.head(images.reshape(2, 3, -1).mean(2))


def without_an_onnx_counterpart(self, images):
    return self.head(torch.special.bessel_j0(images).mean((2, 3)))


def failing(self, images):
    raise ValueError("no such\nlayer")


FAILURES = [
    *(
        (forward, to, reason)
        for to in PROGRAMS
        for forward, reason in (
            (branching, "GuardOnDataDependentSymNode: Could not guard on data-dependent"),
            (batch_of_two, "UserError: Constraints violated"),
            (failing, "ValueError: no such"),
        )
    ),
    (without_an_onnx_counterpart, "onnx", "DispatchError: No ONNX function found .*bessel_j0"),
]


@pytest.mark.parametrize(("forward", "to", "reason"), FAILURES)
def test_a_model_that_cannot_be_exported_leaves_the_old_file_and_an_error_of_one_line(
    forward, to, reason, tmp_path, capfd
):
    path = tmp_path / f"net.{to}"
    path.write_bytes(b"old")
    with pytest.raises(
        ModelError, match=rf"^<net> cannot be exported to {to}: {reason}.*Try safetensors instead\.$"
    ) as told:
        export(mine(forward), to, path)
    assert len(str(told.value).splitlines()) == 1
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("to", MODULES)
def test_a_full_disk_leaves_the_old_file(to, tmp_path):
    state = mine(pooling)
    state.model.ballast = nn.Parameter(torch.zeros(200_000))
    path = tmp_path / f"net.{to}"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export(state, to, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("to", MODULES)
def test_a_file_is_replaced_without_a_word_and_read_by_whom_other_files_are(to, tmp_path, capfd, caplog):
    path = tmp_path / "new" / f"net.{to}"
    for _ in range(2):
        export(mine(pooling), to, path)
        assert list(path.parent.iterdir()) == [path]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_a_model_too_large_for_one_onnx_file_is_refused(tmp_path):
    state = mine(pooling)
    state.model.register_buffer("ballast", torch.zeros(1).expand(2**29))  # takes four bytes here, two GiB in a file
    with pytest.raises(ModelError, match=r"its weights take 2\.1 GB, .* at most 2\.1\. Try safetensors instead"):
        export(state, "onnx", tmp_path / "net.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_onnx_it_is_told_how_to_install_it(package, tiny_state, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"^{package} is not installed.*pip install 'prunebench\[onnx\]'$"):
        export(tiny_state(), "onnx", tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(tiny_state, tmp_path):
    with pytest.raises(ConfigError, match=r"no format 'pickle'\. There are: safetensors, masks, pt2, onnx\."):
        export(tiny_state(), "pickle", tmp_path / "net.pickle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", MODULES)
def test_a_file_holds_the_names_of_the_classes(to, tiny_state, tmp_path):
    path, classes = tmp_path / f"net.{to}", ["a cat", "ein Hündchen", "c"]
    export(tiny_state(), to, path, classes)
    if to == "safetensors":
        with safe_open(path, framework="pt") as file:
            found = file.metadata()["classes"]
    elif to == "pt2":
        extra = {"classes": ""}
        torch.export.load(path, extra_files=extra)
        found = extra["classes"]
    else:
        found = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["classes"]
    assert json.loads(found) == classes


def test_masks_are_those_of_pytorch_and_come_back_with_the_weights(tiny_state, tiny_net, request_for, tmp_path):
    state, path = tiny_state(), tmp_path / "net.masks.safetensors"
    masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5)).masks
    state = replace(state, masks=masks)
    assert export(state, "masks", path, entry=models.get(tiny_net)) == 0
    net = tiny_net(3)
    for name in state.masks:
        layer, _, parameter = name.rpartition(".")
        torch_prune.identity(net.get_submodule(layer), parameter)
    net.load_state_dict(load_file(path))
    example = state.architecture.inputs.example(3)
    assert torch.equal(net.eval()(example), state.model.eval()(example))
    assert torch.equal(load(path, tiny_net)(example), net(example))


def test_a_model_without_masks_has_none_to_write(tiny_state, tmp_path):
    with pytest.raises(ConfigError, match="Nothing is masked in this step"):
        export(tiny_state(), "masks", tmp_path / "net.masks.safetensors")
    assert list(tmp_path.iterdir()) == []
