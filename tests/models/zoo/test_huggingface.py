"""Models of transformers are known by what is in their folder, and built again without it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import msgspec
import pytest
import torch
import transformers as t

from prunebench import load
from prunebench.config import RunConfig
from prunebench.errors import ModelError
from prunebench.experiment.identity import file_contents
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint, structure_of
from prunebench.models.export import export
from prunebench.models.input_spec import InputSpec
from prunebench.registry import reference, without_folder
from prunebench.runs.index import title
from prunebench.studies.jobs import jobs_of

VIT = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
VIT |= {"intermediate_size": 48, "image_size": 16, "patch_size": 4}


@pytest.fixture
def folder(tmp_path):
    """A folder with the config of a ViT and nothing else."""
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text(json.dumps(VIT))
    return tmp_path / "vit"


def state_of(name, config=None):
    arguments = {"classes": 3, "channels": 3, "image_size": 16, "adapt": False, "given": {}}
    arguments["config"] = VIT if config is None else config
    architecture = Architecture(name, arguments, InputSpec(kind="images", size=16, mean=(0.5,), std=(0.5,)))
    torch.manual_seed(0)
    return Checkpoint(
        architecture, Architecture("hf:x/y", {**arguments, "config": VIT}, architecture.inputs).build(), {}
    )


def test_the_entry_says_what_the_folder_does(folder):
    entry = models.get(f"hf:{folder}")
    assert (entry.reads, dict(entry.defaults)) == ("images", {"image_size": 16})
    assert list(entry.published) == ["default"]


def test_a_run_is_the_same_wherever_the_folder_is_and_another_where_its_config_is(folder, tmp_path, monkeypatch):
    def key(name, **more):
        return dense_run(RunConfig(model=f"hf:{name}", **more)).key

    shutil.copytree(folder, tmp_path / "else" / "vit")
    monkeypatch.chdir(tmp_path)
    first = key(folder)
    assert first == key("vit") == key("./vit") == key("else/vit")
    changed = {**VIT, "transformers_version": "9.9", "_name_or_path": "x"}
    (tmp_path / "else" / "vit" / "config.json").write_text(json.dumps(changed))
    assert key("else/vit") == first
    (tmp_path / "else" / "vit" / "config.json").write_text(json.dumps({**VIT, "intermediate_size": 64}))
    assert key("else/vit") != first


def test_references_are_absolute_and_say_no_more_than_the_name_of_the_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert reference("hf:vit") == f"hf:{folder}"
    assert without_folder(f"hf:{folder}") == "hf:vit"
    assert reference("hf:org/vit") == without_folder("hf:org/vit") == "hf:org/vit"
    assert title(f"hf:{folder}") == "hf-vit"


def test_jobs_know_the_folder_from_anywhere(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder.parent)
    given = RunConfig(model="hf:vit", weights="vit", method="none", runs_dir=str(tmp_path / "runs"))
    for job in jobs_of([resolve(given)]):
        assert (job.config.model, job.config.weights) == (f"hf:{folder}", str(folder))


def test_contents_tell_whether_the_folder_has_changed_and_nothing_where_it_is_gone(folder):
    settings = resolve(RunConfig(model=f"hf:{folder}")).settings
    before = file_contents(settings)["model"]
    (folder / "config.json").write_text(json.dumps({**VIT, "hidden_size": 64}))
    assert file_contents(settings)["model"] != before
    (folder / "config.json").write_text("{")
    assert "model" not in file_contents(settings)
    shutil.rmtree(folder)
    assert "model" not in file_contents(settings)


def test_a_file_is_loaded_in_a_process_of_its_own_without_network_or_folder(tmp_path):
    export(state_of("hf:/was/here/once"), "safetensors", tmp_path / "net.safetensors")
    code = "import sys, prunebench; print(type(prunebench.load(sys.argv[1])).__name__)"
    command = [sys.executable, "-c", code, str(tmp_path / "net.safetensors")]
    done = subprocess.run(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == t.ViTForImageClassification.__name__


@pytest.mark.parametrize(
    "hostile",
    [
        {"_attn_implementation": "some-one/kernel"},
        {"auto_map": {"AutoModel": "evil.Evil"}},
        {"quantization_config": {"load_in_8bit": True}},
        {"num_hidden_layers": 10**9},
        {"model_type": "timm_wrapper"},
        {"architectures": ["Evil"]},
    ],
)
@pytest.mark.usefixtures("no_network")
def test_a_checkpoint_with_a_hostile_config_is_refused(hostile, tmp_path):
    state = state_of("hf:some-one/evil", {**VIT, **hostile})
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "structure.json").write_bytes(structure_of(state))
    from safetensors.torch import save_file

    save_file(state.model.state_dict(), tmp_path / "step" / "model.safetensors")
    with pytest.raises(ModelError, match="hf:some-one/evil"):
        load(tmp_path / "step")


@pytest.mark.parametrize("name", ["", "a" * 5000, "x\0y", "../..", "a/b/c/d", "~", "-"])
@pytest.mark.usefixtures("no_network")
def test_any_name_is_looked_up_without_the_network(name):
    entry = models.known(f"hf:{name}")
    assert entry.reads is None
    assert entry.folder.digest() is None


def test_an_architecture_is_data(folder):
    state = state_of(f"hf:{folder}")
    again = msgspec.json.decode(msgspec.json.encode(state.architecture), type=Architecture)
    torch.manual_seed(0)
    built = again.build().state_dict()
    assert all(torch.equal(value, built[name]) for name, value in state.model.state_dict().items())
