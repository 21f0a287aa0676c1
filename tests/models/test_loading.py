"""Loading: the model is the exported one to the bit, elsewhere too, and no file makes code run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from prunebench.errors import ModelError, RunError
from prunebench.models import checkpoint
from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.export import export
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.loading import load
from prunebench.pruning.methods import structured
from prunebench.runs.trust import note

ELSEWHERE = """
import pickle, sys
from pathlib import Path
sys.modules["torch_pruning"] = None  # importing it fails
import torch
from safetensors.torch import load_file, save_file
from prunebench.models.input_spec import output_of
from prunebench.models.loading import load

def refuse(*args, **kwargs):
    raise AssertionError("something is unpickled")

pickle.load = pickle.loads = torch.load = refuse
pickle.Unpickler = type("Unpickler", (), {"__init__": refuse})
threads, *folders = sys.argv[1:]
torch.set_num_threads(int(threads))
for folder in map(Path, folders):
    batch = load_file(folder / "batch.safetensors")
    batch = batch.get("images", batch)
    found = {}
    for name in ("step", "model.safetensors"):
        model = load(folder / name)
        assert not any(module.training for module in model.modules())
        with torch.no_grad():
            found[name] = output_of(model, batch)
    save_file(found, folder / "logits.safetensors")
"""


LARGE = ("resnet50", "vgg16")
"""Models that take long; their layers are those of the others."""


@pytest.mark.parametrize(
    "names",
    [
        [name for name in models.names() if name not in LARGE],
        pytest.param(LARGE, marks=pytest.mark.slow),
    ],
    ids=["small", "large"],
)
def test_every_model_answers_the_same_to_the_bit_in_a_process_without_torch_pruning_and_pickle(
    names, fresh, request_for, tmp_path
):
    expected = {}
    for name in names:
        state = fresh(name, size=64 if name == "alexnet" else 32)
        inputs = state.architecture.inputs
        structured.prune(state.model, {}, request_for(inputs, 0.3))
        (tmp_path / name / "step").mkdir(parents=True)
        checkpoint.save(state, tmp_path / name / "step")
        export(state, "safetensors", tmp_path / name / "model.safetensors")
        batch = inputs.example(3)
        save_file(batch if isinstance(batch, dict) else {"images": batch}, tmp_path / name / "batch.safetensors")
        with torch.no_grad():
            expected[name] = output_of(state.model, batch)
    folders = [str(tmp_path / name) for name in expected]
    command = [sys.executable, "-c", ELSEWHERE, str(torch.get_num_threads()), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, logits in expected.items():
        found = load_file(tmp_path / name / "logits.safetensors")
        assert torch.equal(found["step"], logits)
        assert torch.equal(found["model.safetensors"], logits)


NET = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("imported").touch()

def build(classes):
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *head)
"""


@pytest.fixture
def users(request_for, tmp_path):
    """Makes the checkpoint of a pruned model whose builder lies in `tmp_path/net.py`, in a folder and in a file."""
    (tmp_path / "net.py").write_text(NET)
    architecture = Architecture(f"{tmp_path / 'net.py'}:build", {"classes": 3}, InputSpec(kind="images", size=8))
    state = Checkpoint(architecture, architecture.build(), {})
    structured.prune(state.model, {}, request_for(architecture.inputs, 0.5))
    (tmp_path / "step").mkdir()
    checkpoint.save(state, tmp_path / "step")
    export(state, "safetensors", tmp_path / "net.safetensors")
    (tmp_path / "imported").unlink()
    return state


def assert_same(model, state):
    assert not model.training
    example = state.architecture.inputs.example(3)
    with torch.no_grad():
        assert torch.equal(output_of(model, example), output_of(state.model.eval(), example))


@pytest.mark.parametrize("place", ["step", "net.safetensors"])
@pytest.mark.parametrize("kind", ["function", "reference", "model"])
def test_a_users_own_model_is_built_by_what_is_given(place, kind, users, tmp_path):
    def build(classes):
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *head)

    given = {"function": build, "reference": users.architecture.model, "model": build(3)}[kind]
    found = load(str(tmp_path / place), given)
    assert found[0].out_channels == 2
    assert_same(found, users)
    if kind == "model":
        assert given[0].out_channels == 4


def test_a_checkpoints_own_file_is_imported_where_the_user_has_given_it(users, tmp_path):
    note("model", users.architecture.model)
    assert_same(load(tmp_path / "step"), users)


def test_a_file_that_the_user_has_not_given_is_not_imported(users, tmp_path):
    net = tmp_path / "net.py"
    note("model", users.architecture.model)
    for text in (NET + "# changed\n", NET.replace("def build", "def other")):
        net.write_text(text)
        with pytest.raises(ModelError, match=r"net\.py:build, which was not given on this machine or has changed"):
            load(tmp_path / "step")
    net.write_text(NET)
    assert not (tmp_path / "imported").exists()
    structure = tmp_path / "step" / "structure.json"
    about = json.loads(structure.read_text())
    about["architecture"]["arguments"]["given"] = {"classes": 5}
    structure.write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"Give what builds the model: load\(path, model=build\)"):
        load(tmp_path / "step")
    assert not (tmp_path / "imported").exists()


def test_what_only_the_program_that_made_it_holds_is_asked_for(users, tmp_path):
    structure = tmp_path / "step" / "structure.json"
    about = json.loads(structure.read_text())
    about["architecture"]["model"] = "<lambda>"
    structure.write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"<lambda>, which only the program that made it holds\. Give what builds"):
        load(tmp_path / "step")


def test_a_checkpoint_whose_file_is_gone_asks_for_it(users, tmp_path):
    (tmp_path / "net.py").rename(tmp_path / "other.py")
    with pytest.raises(ModelError, match=r"net\.py:build: there is no such file\. Give .*load\(path, model=build\)"):
        load(tmp_path / "step")


def rewritten(path, name, arguments):
    """An exported file, changed so that it names something else to build its model with."""
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    structure = json.loads(about["structure"])
    structure["architecture"] |= {"model": name, "arguments": arguments}
    save_file(load_file(path), path, about | {"structure": json.dumps(structure)})


def test_no_code_runs_because_a_file_names_it(users, tmp_path):
    path = tmp_path / "net.safetensors"
    (tmp_path / "net.py").write_text(NET + "# another digest, so that it would be imported anew\n")
    for name, arguments in (
        (users.architecture.model, {"classes": 3}),
        ("os:mkdir", {"path": str(tmp_path / "imported")}),
    ):
        rewritten(path, name, arguments)
        with pytest.raises(
            ModelError, match=r"no code is run because a file names it\.\nGive .*load\(path, model=build\)"
        ):
            load(path)
        assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.pkl", "WEIGHTS.PTH"])
def test_a_pickle_is_refused_unopened(name, tmp_path):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ModelError, match=rf"{name} holds a pickle, .*; prunebench opens safetensors only\."):
        load(tmp_path / name)


@pytest.mark.parametrize(("name", "by"), [("net.pt2", r"torch\.export\.load"), ("net.onnx", "onnxruntime")])
def test_a_program_is_refused_with_what_opens_it(name, by, tmp_path):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(RunError, match=rf"{name} is a program.*open it with {by}"):
        load(tmp_path / name)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(RunError, match=r"There is no file or folder .*nowhere\.safetensors"):
        load(tmp_path / "nowhere.safetensors")


def test_a_folder_without_a_checkpoint_is_told(tmp_path):
    with pytest.raises(RunError, match=r"is no checkpoint: it has no structure\.json"):
        load(tmp_path)


def test_weights_that_prunebench_did_not_export_are_told(tmp_path):
    for about in (None, {"format": "pt"}):
        save_file({"weight": torch.rand(3)}, tmp_path / "weights.safetensors", about)
        with pytest.raises(RunError, match=r"weights\.safetensors was not written by prunebench export"):
            load(tmp_path / "weights.safetensors")


def test_bytes_that_are_no_safetensors_are_told(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"these are no weights")
    with pytest.raises(RunError, match=r"broken\.safetensors cannot be read as safetensors"):
        load(tmp_path / "broken.safetensors")


@pytest.mark.parametrize(
    ("structure", "reason"),
    [("{}damaged", "cannot be read as a checkpoint"), ('{"format": 99}', "a newer version of prunebench")],
)
def test_a_structure_that_cannot_be_read_is_told(structure, reason, tmp_path):
    save_file({"weight": torch.rand(3)}, tmp_path / "net.safetensors", {"structure": structure})
    with pytest.raises(RunError, match=rf"net\.safetensors.*{reason}"):
        load(tmp_path / "net.safetensors")


def test_weights_that_do_not_fit_the_structure_are_told(users, tmp_path):
    path = tmp_path / "net.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "0.bias"}, path, about)
    with pytest.raises(RunError, match=r"(?s)net\.safetensors: its weights do not fit .*0\.bias"):
        load(path, users.architecture.model)


@pytest.mark.parametrize("name", ["torch.hub:load", "pip:main", "os:mkdir", ":", "a..b:c", "x" * 300 + ".py:y"])
def test_no_function_that_a_checkpoint_names_is_called(name, tmp_path):
    (tmp_path / "hubconf.py").write_text("open(__file__ + '.done', 'w')\ndef x(**k): pass\n")
    given = {"repo_or_dir": str(tmp_path), "model": "x", "source": "local"}
    architecture = Architecture(name, {"classes": 3, "given": given}, InputSpec(kind="images", size=8))
    (tmp_path / "step").mkdir()
    checkpoint.save(Checkpoint(architecture, nn.Linear(1, 1), {}), tmp_path / "step")
    with pytest.raises(ModelError, match=r"Give what builds the model"):
        load(tmp_path / "step")
    with pytest.raises(RunError, match=r"Give what builds the model"):
        checkpoint.load(tmp_path / "step")
    assert not (tmp_path / "hubconf.py.done").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "rm -rf"),
        ("classes", -1),
        ("classes", 3.5),
        ("image_size", [1]),
        ("adapt", "yes"),
        ("config", ["a"]),
        ("given", {"path": ["a"]}),
        ("given", "a"),
        ("other", 1),
    ],
)
def test_a_model_is_built_by_arguments_of_their_kind_alone(name, value, tmp_path):
    arguments = {"classes": 3, "channels": 3, "image_size": 32, "adapt": True, name: value}
    state = Checkpoint(Architecture("resnet18", arguments, InputSpec(kind="images", size=32)), nn.Linear(1, 1), {})
    (tmp_path / "step").mkdir()
    checkpoint.save(state, tmp_path / "step")
    with pytest.raises((ModelError, RunError), match=f"a model is not built (by|from) {name!r}"):
        load(tmp_path / "step")


def test_a_model_of_a_billion_layers_is_not_begun(fresh, tmp_path):
    state = fresh("bert")
    export(state, "safetensors", tmp_path / "net.safetensors")
    arguments = state.architecture.arguments
    config = arguments["config"] | {"num_hidden_layers": 10**9}
    rewritten(tmp_path / "net.safetensors", "bert", arguments | {"config": config})
    with pytest.raises((ModelError, RunError), match="bert of 1,000,000,000 layers is not built; 1,000 is the most"):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
def test_a_configuration_has_no_code_fetched(key, fresh, tmp_path, monkeypatch):
    from transformers import BertForSequenceClassification

    asked = []
    monkeypatch.setattr(
        BertForSequenceClassification,
        "_check_and_adjust_attn_implementation",
        lambda model, name, *rest, **more: asked.append(name) or "sdpa",
    )
    state = fresh("bert")
    export(state, "safetensors", tmp_path / "net.safetensors")
    arguments = state.architecture.arguments
    odd = {"torchscript": True, "quantization_config": {"load_in_8bit": True}, "auto_map": {"AutoModel": "x.Y"}}
    rewritten(
        tmp_path / "net.safetensors",
        "bert",
        arguments | {"config": arguments["config"] | odd | {key: "kernels-community/evil"}},
    )
    assert_same(load(tmp_path / "net.safetensors"), state)
    assert set(asked) == {"sdpa"}
