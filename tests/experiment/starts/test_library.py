"""Weights that libraries have of their models: taken whole, prepared for as they say, or refused in a line."""

from __future__ import annotations

import re

import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from prunebench import RunConfig
from prunebench.data.dataset import no_downloads
from prunebench.errors import DataError, DownloadNeeded, ModelError
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.experiment.starts.opening import open_start

NAME = "mobilenetv3_small_050.lamb_in1k"


@pytest.fixture
def hub(monkeypatch, no_network, tmp_path):
    """An empty cache of Hugging Face and of torch.hub, without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


@pytest.fixture
def cached(hub):
    """Puts random weights of a model of timm into the cache, as the hub's client keeps them; gives them."""

    def put(name):
        torch.manual_seed(1)
        settings = timm.get_pretrained_cfg(name)
        state = timm.create_model(name).state_dict()
        folder = hub / f"models--{settings.hf_hub_id.replace('/', '--')}"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        save_file(state, folder / "snapshots" / "abc" / "model.safetensors")
        return state

    return put


def started(weights="default", **about):
    experiment = resolve(RunConfig(**about, weights=weights, limit_train=20, limit_test=10, epochs=1))
    start = open_start(experiment)
    task = make_task(experiment, tokenizer=start.tokenizer, statistics=start.statistics)
    return start.make(task), task.inputs


def test_weights_of_timm_are_taken_whole_and_images_are_prepared_as_it_says(cached):
    state = cached(NAME)
    found, inputs = started(model=f"timm:{NAME}", image_size=64)
    own = found.model.state_dict()
    assert own["classifier.weight"].shape == (10, 1024)
    assert found.fresh == ("classifier.weight", "classifier.bias")
    assert all(torch.equal(own[name], state[name]) for name in state if not name.startswith("classifier."))
    assert "classifier starts fresh, since the weights have 1000 classes" in found.notes
    said = timm.get_pretrained_cfg(NAME)
    assert (inputs.mean, inputs.std) == (said.mean, said.std)


def test_a_model_with_two_classifiers_starts_both_fresh(cached):
    cached("deit_tiny_distilled_patch16_224.fb_in1k")
    found, _ = started(model="timm:deit_tiny_distilled_patch16_224.fb_in1k")
    assert {name.partition(".")[0] for name in found.fresh} == {"head", "head_dist"}
    assert "head and head_dist start fresh, since the weights have 1000 classes" in found.notes


def test_weights_for_another_size_are_refused_with_the_one_that_they_are_for(cached):
    cached("vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    with pytest.raises(ModelError, match=r"pos_embed has .* It is made for 224×224 images: give --image-size 224"):
        started(model="timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", image_size=64)


def test_the_tag_that_a_name_without_one_stands_for_is_part_of_the_key():
    run = dense_run(RunConfig(model="timm:mobilenetv3_small_050", weights="default"))
    assert run.manifest.contents["weights"] == "lamb_in1k"
    assert "weights" not in dense_run(RunConfig(model=f"timm:{NAME}", weights="default")).manifest.contents


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("model", [f"timm:{NAME}", "torchvision:squeezenet1_1"])
def test_without_network_one_line_says_what_to_do_and_a_plan_downloads_nothing(model):
    with pytest.raises(DataError, match=r"could not be had \(.*Connect to the network, or give") as refused:
        started(model=model, image_size=64)
    assert len(str(refused.value).splitlines()) == 1
    with no_downloads(), pytest.raises(DownloadNeeded, match="Not on this machine yet: the weights of"):
        started(model=model, image_size=64)


def test_files_that_timm_would_prepare_otherwise_are_told_of(cached, tmp_path):
    cached(NAME)
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(10):
                Image.new("RGB", (70, 70), (number, 9 * number, 90)).save(tmp_path / part / name / f"{number}.png")
    found, _ = started(model=f"timm:{NAME}", image_size=64, dataset="image-folder", data_dir=str(tmp_path))
    (note,) = [note for note in found.notes if "its library scores" in note]
    assert "(bicubic) so that the centre is 0.875 of it" in note


@pytest.mark.parametrize("model", [f"timm:{NAME}", "timm:mixer_s32_224"])
def test_a_file_is_prepared_for_as_the_library_says(model, tmp_path):
    name = model.partition(":")[2]
    torch.save(timm.create_model(name, num_classes=10).state_dict(), tmp_path / "net.pth")
    experiment = resolve(RunConfig(model=model, weights=str(tmp_path / "net.pth"), limit_train=20, limit_test=10))
    start, said = open_start(experiment), timm.get_pretrained_cfg(name)
    assert start.statistics == (tuple(said.mean), tuple(said.std))
    found = start.make(make_task(experiment, statistics=start.statistics))
    assert found.fresh == ()
    assert "images are normalised as the model's library says" in found.notes


def test_a_file_of_googlenet_may_hold_the_heads_of_its_training(tmp_path):
    net = torchvision.models.googlenet(init_weights=False, num_classes=10)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    about = {"model": "torchvision:googlenet", "image_size": 64, "limit_train": 20, "limit_test": 10}
    experiment = resolve(RunConfig(**about, weights=str(tmp_path / "net.pth")))
    start = open_start(experiment)
    found = start.make(make_task(experiment, statistics=start.statistics))
    assert found.fresh == ()
    assert any(re.match("aux1, aux2 left out: heads for training", note) for note in found.notes)


def test_a_download_without_network_says_what_to_do(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match="Connect to the network"):
        started(model="resnet18", weights="imagenet")
