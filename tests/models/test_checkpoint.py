"""Checkpoints: what is loaded is what was saved, to the bit, and nothing is ever unpickled."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from prunebench.errors import RunError
from prunebench.models import checkpoint
from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.pruning.methods import structured, unstructured

ELSEWHERE = """
import pickle, sys
from pathlib import Path
sys.modules["torch_pruning"] = None  # importing it fails
import torch
from safetensors.torch import save_file
from prunebench.models import checkpoint
from prunebench.models.input_spec import output_of

def refuse(*args, **kwargs):
    raise AssertionError("something is unpickled")

pickle.load = pickle.loads = torch.load = refuse
pickle.Unpickler = type("Unpickler", (), {"__init__": refuse})
threads, *folders = sys.argv[1:]
torch.set_num_threads(int(threads))
for folder in map(Path, folders):
    found = checkpoint.load(folder)
    assert not found.model.training
    logits = output_of(found.model, found.architecture.inputs.example(3))
    save_file({"logits": logits.detach().contiguous()}, folder / "logits.safetensors")
"""


@pytest.fixture
def pruned(fresh, request_for):
    """Makes a registered model that has lost a third of its units twice."""

    def make(name):
        state = fresh(name)
        for step in range(2):
            structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3, seed=step))
        return state

    return make


def test_a_pruned_model_answers_the_same_to_the_bit_in_another_process(pruned, tmp_path):
    states = {name: pruned(name) for name in ("resnet18", "bert")}
    for name, state in states.items():
        (tmp_path / name).mkdir()
        checkpoint.save(state, tmp_path / name)
    folders = [str(tmp_path / name) for name in states]
    command = [sys.executable, "-c", ELSEWHERE, str(torch.get_num_threads()), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, state in states.items():
        with torch.no_grad():
            expected = output_of(state.model, state.architecture.inputs.example(3))
        assert torch.equal(load_file(tmp_path / name / "logits.safetensors")["logits"], expected)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "bert"])
def test_a_loaded_model_is_the_saved_one_and_can_be_pruned_on(name, pruned, request_for, tmp_path):
    state = pruned(name)
    checkpoint.save(state, tmp_path)
    found = checkpoint.load(tmp_path)
    assert found.architecture == state.architecture
    again, loaded = state.model.state_dict(), found.model.state_dict()
    assert again.keys() == loaded.keys()
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in again.items())
    for model in (state.model, found.model):
        structured.prune(model, {}, request_for(state.architecture.inputs, 0.3))
    again, loaded = state.model.state_dict(), found.model.state_dict()
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in again.items())


def test_masks_and_tokenizer_come_back(tiny_state, tiny_net, request_for, tmp_path):
    state = tiny_state()
    masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5)).masks
    checkpoint.save(replace(state, masks=masks, tokenizer='{"ä": 1}'), tmp_path)
    found = checkpoint.load(tmp_path, models.get(tiny_net))
    assert found.tokenizer == '{"ä": 1}'
    assert found.masks.keys() == masks.keys()
    assert all(torch.equal(found.masks[name], masks[name]) for name in masks)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of images."""

    def forward(self, images):
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("norm", "left"),  # of ten channels; where all of them are normalised together, they stay
    [
        (lambda: nn.GroupNorm(5, 10), 6),
        (lambda: nn.GroupNorm(1, 10), 10),
        (lambda: ChannelNorm(10), 10),
        (lambda: nn.InstanceNorm2d(10), 7),
        (lambda: nn.InstanceNorm2d(10, affine=True, track_running_stats=True), 7),
    ],
)
def test_a_users_net_with_another_norm_comes_back(norm, left, request_for, tmp_path):
    def build(classes):
        head = (nn.Conv2d(10, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))
        return nn.Sequential(nn.Conv2d(3, 10, 3), norm(), nn.ReLU(), *head)

    torch.manual_seed(0)
    architecture = Architecture("mine", {"classes": 3}, InputSpec(kind="images", size=8))
    model = build(3).eval()
    structured.prune(model, {}, request_for(architecture.inputs, 0.3))
    assert (model[0].out_channels, model[3].out_channels) == (left, 4)
    checkpoint.save(Checkpoint(architecture, model, {}), tmp_path)
    found = checkpoint.load(tmp_path, models.get(build)).model
    assert str(found) == str(model)
    example = architecture.inputs.example(3)
    assert torch.equal(output_of(found, example), output_of(model, example))


def test_a_structure_of_another_format_is_refused_as_such(tiny_state, tiny_net, tmp_path):
    checkpoint.save(tiny_state(), tmp_path)
    path = tmp_path / "structure.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 4}))
    with pytest.raises(
        RunError, match=r"has format 4, of a newer version of prunebench; this one reads format 3: update prunebench\."
    ):
        checkpoint.load(tmp_path, models.get(tiny_net))


KINDS = {nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten}
KINDS |= {nn.Dropout, nn.Linear}


def test_no_name_in_a_file_reaches_an_attribute_but_of_whole_numbers_that_become_smaller(
    tiny_state, tiny_net, tmp_path, monkeypatch
):
    checkpoint.save(tiny_state(), tmp_path)
    expected = checkpoint.load(tmp_path, models.get(tiny_net)).model
    path = tmp_path / "structure.json"
    structure = json.loads(path.read_text())
    for name in ("features.0", "features", "", "__class__", "features.0.weight", "no.such.module"):
        structure["sizes"].setdefault(name, {})
        structure["sizes"][name] |= {"padding_mode": 7, "forward": 1, "training": 1, "__class__": 1, "__dict__": 1}
        structure["sizes"][name] |= {"_parameters": 1, "stride": 5, "../out_channels": 1, "weight": 1}
    path.write_text(json.dumps(structure))
    before = [dict(vars(module)) for module in expected.modules()]
    monkeypatch.setattr(checkpoint.Architecture, "build", lambda self, entry: expected)
    found = checkpoint.load(tmp_path, models.get(tiny_net)).model
    for was, module in zip(before, found.modules(), strict=True):
        assert vars(module) == was
        assert type(module) in KINDS
    assert str(found) == str(tiny_state().model)


@pytest.mark.parametrize("value", ["8", 8.5, None, True, [8], {"a": 8}, "__class__"])
def test_a_size_that_is_no_whole_number_is_refused(value, tiny_state, tiny_net, tmp_path):
    checkpoint.save(tiny_state(), tmp_path)
    path = tmp_path / "structure.json"
    structure = json.loads(path.read_text())
    structure["sizes"]["features.0"]["out_channels"] = value
    path.write_text(json.dumps(structure))
    with pytest.raises(RunError, match=r"cannot be read as a checkpoint: .*sizes"):
        checkpoint.load(tmp_path, models.get(tiny_net))


@pytest.mark.parametrize("file", ["model.safetensors", "structure.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{}damaged")])
def test_a_missing_or_damaged_file_is_told(file, damage, tiny_state, tiny_net, tmp_path):
    checkpoint.save(tiny_state(), tmp_path)
    damage(tmp_path / file)
    with pytest.raises(RunError, match="cannot be read as a checkpoint"):
        checkpoint.load(tmp_path, models.get(tiny_net))


def test_weights_that_do_not_fit_the_structure_are_told(tiny_state, tiny_net, tmp_path):
    checkpoint.save(tiny_state(), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file(
        {key: tensor for key, tensor in state.items() if key != "features.4.bias"}, tmp_path / "model.safetensors"
    )
    with pytest.raises(RunError, match=r"features\.4\.bias"):
        checkpoint.load(tmp_path, models.get(tiny_net))


@pytest.mark.parametrize("model", ["resnet18", "os:system"])
def test_a_structure_that_asks_for_other_arguments_than_a_builder_has_is_refused(model, tiny_state, tmp_path):
    checkpoint.save(tiny_state(), tmp_path)
    path, stolen = tmp_path / "structure.json", tmp_path / "stolen"
    structure = json.loads(path.read_text())
    structure["architecture"] |= {"model": model, "arguments": {"command": f"touch {stolen}"}}
    path.write_text(json.dumps(structure))
    with pytest.raises(RunError, match="a model is not built from 'command'"):
        checkpoint.load(tmp_path)
    assert not stolen.exists()


def test_a_checkpoint_is_in_memory_and_not_its_files(tiny_state, tiny_net, tmp_path):
    """The library's tensors are the file, which Windows does not let be removed then, and which may change."""
    state = tiny_state()
    state = replace(state, masks={"features.0.weight": torch.ones(8, 3, 3, 3, dtype=torch.bool)})
    checkpoint.save(state, tmp_path)
    found = checkpoint.load(tmp_path, models.get(tiny_net))
    for path in tmp_path.glob("*.safetensors"):
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
    assert found.masks["features.0.weight"].all()
    assert all(tensor.equal(state.model.state_dict()[name]) for name, tensor in found.model.state_dict().items())
