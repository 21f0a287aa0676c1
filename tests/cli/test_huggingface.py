"""Eight families of transformers go by the command line from a folder, and on without it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import transformers as t

from prunebench import load
from prunebench.models.sizes import tensors_of

WORDS = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WORDS |= {"intermediate_size": 64, "max_position_embeddings": 34}
FAMILIES = {
    "distilbert": (
        lambda: t.DistilBertConfig(
            vocab_size=200, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=34
        ),
        {"heads", "neurons"},
    ),
    "roberta": (lambda: t.RobertaConfig(**WORDS), {"heads", "neurons"}),
    "albert": (lambda: t.AlbertConfig(**WORDS, embedding_size=16), {"heads", "neurons"}),
    "gpt2": (
        lambda: t.GPT2Config(
            vocab_size=200, n_embd=32, n_layer=2, n_head=4, n_positions=34, bos_token_id=1, eos_token_id=1
        ),
        {"heads", "neurons"},
    ),
    "llama": (lambda: t.LlamaConfig(**WORDS, num_key_value_heads=2), {"heads", "neurons"}),
    "vit": (
        lambda: t.ViTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            image_size=16,
            patch_size=4,
        ),
        {"heads", "neurons"},
    ),
    "swin": (
        lambda: t.SwinConfig(image_size=16, patch_size=2, embed_dim=24, depths=[1, 1], num_heads=[3, 6], window_size=4),
        {"heads", "neurons"},
    ),
    "convnext": (
        lambda: t.ConvNextConfig(hidden_sizes=[16, 32], depths=[1, 1], num_stages=2, patch_size=2, image_size=16),
        {"neurons"},
    ),
}
IMAGES = ("vit", "swin", "convnext")

LOADED = """
import sys, torch, prunebench
model = prunebench.load(sys.argv[1])
print(sum(p.numel() for p in model.parameters()))
"""


def killed_after(step, words, folder):
    """Run the command line in a process of its own, and kill it once it has finished a step."""
    command = [sys.executable, "-m", "prunebench", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    pattern = f"runs/*-{words[words.index('--method') + 1]}-*/steps/{step:03}"
    while process.poll() is None and time.monotonic() < until and not list(Path(folder).glob(pattern)):
        time.sleep(0.01)
    was_running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return was_running


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_all_the_way(family, prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, kinds = FAMILIES[family]
    config().save_pretrained(tmp_path / "own" / family)
    of = ("--model", f"hf:own/{family}", "--epochs", "1", "--limit-train", "60", "--limit-test", "30")
    of += ("--dataset", "digits") if family in IMAGES else ("--dataset", "reviews", "--sequence-length", "12")
    of += ("--threads", "1")
    slowly = ("--finetune-batch-size", "8", "--finetune-epochs", "2")
    structured = (
        *of,
        "--method",
        "structured",
        "--fraction",
        "0.3",
        "--iterations",
        "3",
        "--finetune-epochs",
        "1",
        *slowly,
    )

    def do(*words):
        done = prunebench(*words)
        assert done.status == 0, done.err
        return done

    do("train", *of)
    assert killed_after(1, ("prune", *structured), tmp_path)
    told = do("prune", *structured, "--json")
    assert "removal proved exact on this model" in told.err
    (folder,) = tmp_path.glob("runs/*-structured-*")
    shutil.copytree(tmp_path / "runs", tmp_path / "once", ignore=lambda *_: [folder.name])
    do("prune", *structured, "--runs-dir", "once")
    again = tensors_of(load(tmp_path / "once" / folder.name))
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors_of(load(folder)).items())
    do("prune", *of, "--method", "unstructured", "--fraction", "0.3", "--iterations", "1", "--finetune-epochs", "1")

    shutil.rmtree(tmp_path / "own")  # what a run is made of is in it
    (masked,) = tmp_path.glob("runs/*-unstructured-*")
    assert kinds <= {unit["kind"] for unit in record_of(folder, 3)["units"]}
    for run in (folder, masked):
        assert "as they were recorded" in do("verify", str(run)).out
        do("evaluate", "--run", run.name)
        do("export", str(run), "--output", f"{run.name}.safetensors")
        told = do("export", str(run), "--to", "hf", "-o", f"{run.name}-hf").out
        assert "transformers reads it too, and answers alike" in told or (run == folder and "has no sizes for" in told)
        there = tensors_of(load(f"{run.name}-hf"))
        assert all(torch.equal(tensor, there[name]) for name, tensor in tensors_of(load(run)).items())
    again = ("--model", f"hf:{masked.name}-hf", "--weights", f"{masked.name}-hf", *of[2:-2], "--epochs", "0", "--json")
    found = json.loads(do("evaluate", *again).out)["test_after"]["counted"]
    assert found == record_of(masked, 1)["test_after"]["counted"]
    do("efficiency", "--run", folder.name, "--batch-sizes", "1", "--steps", "3", "--time-budget", "0.5")
    fresh = subprocess.run(
        [sys.executable, "-c", LOADED, f"{folder.name}.safetensors"],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(fresh.stdout) == sum(p.numel() for p in load(folder).parameters())


def record_of(folder, step):
    return json.loads((folder / "steps" / f"{step:03}" / "record.json").read_text())


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty folder to work in, without Hugging Face."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for 20 s
    return tmp_path


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("hf:no-one/no-such-model", (), "Check the name, connect to the network, or give a local folder."),
        ("hf:nothing/here/at/all", (), "Check the name, connect to the network, or give a local folder."),
        ("hf:./nothing", (), "there is no such folder"),
        ("hf:empty", (), "has no config.json"),
        ("hf:vit", ("--dataset", "reviews"), "reads images, but reviews holds text"),
        ("hf:vit", ("--weights", "imagenet"), "--weights imagenet: there are none for hf:vit"),
        ("hf:vit", ("--weights", "empty"), "empty has no config.json"),
        ("hf:vit", ("--epochs", "0"), "--epochs 0 takes weights as they are, and there are none"),
    ],
)
def test_what_is_wrong_is_told_in_two_lines_at_most_with_status_2(name, given, told, prunebench, offline):
    FAMILIES["vit"][0]().save_pretrained(offline / "vit")
    (offline / "empty").mkdir()
    finished = prunebench("train", "--model", name, "--quiet", *given)
    assert finished.status == 2
    assert told in finished.err
    assert len(finished.err.splitlines()) <= 2
    assert not (offline / "runs").exists()
