"""A model of each of eight families goes by the command line: train, prune, evaluate, verify, export, load."""

from __future__ import annotations

import json

import pytest
import torch

from prunebench import load
from prunebench.models.sizes import tensors_of

VISION = "from torchvision import models as m\n\n\ndef build(classes, channels):\n    return {}\n"
TEXT = """
import transformers as t
from torch import nn


class Scores(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def build(classes, vocab_size):
    return Scores({})
"""
SHAPE = "vocab_size=vocab_size, num_labels=classes, pad_token_id=0"
SWIN = "m.SwinTransformer([2, 2], 24, [2, 2], [3, 6], [2, 2], num_classes=classes)"
CONVNEXT = "m.convnext.ConvNeXt([m.convnext.CNBlockConfig(16, 32, 1), m.convnext.CNBlockConfig(32, None, 1)], 0.0, "
VIT = "m.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, "
DISTIL = f"t.DistilBertConfig({SHAPE}, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64)"
LLAMA = f"t.LlamaConfig({SHAPE}, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, "
GPT = f"t.GPT2Config({SHAPE}, n_embd=32, n_layer=2, n_head=4, n_positions=64)"

FAMILIES = {
    "swin": ("digits", VISION.format(SWIN), {"heads", "neurons"}),
    "convnext": ("digits", VISION.format(f"{CONVNEXT}num_classes=classes)"), {"neurons"}),
    "vit": ("digits", VISION.format(f"{VIT}num_classes=classes)"), {"heads", "neurons"}),
    "regnet": ("digits", VISION.format("m.regnet_x_400mf(num_classes=classes)"), {"channels"}),
    "efficientnet": ("digits", VISION.format("m.mobilenet_v3_small(num_classes=classes)"), {"channels", "neurons"}),
    "distilbert": ("reviews", TEXT.format(f"t.DistilBertForSequenceClassification({DISTIL})"), {"heads", "neurons"}),
    "llama": (
        "reviews",
        TEXT.format(f"t.LlamaForSequenceClassification({LLAMA}intermediate_size=64, max_position_embeddings=64))"),
        {"heads", "neurons"},
    ),
    "gpt2": ("reviews", TEXT.format(f"t.GPT2ForSequenceClassification({GPT})"), {"heads", "neurons"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_all_the_way(family, prunebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset, text, kinds = FAMILIES[family]
    (tmp_path / "net.py").write_text(text)
    of = ("--model", "net.py:build", "--dataset", dataset, "--epochs", "1", "--limit-train", "64", "--limit-test", "32")
    of += ("--sequence-length", "16") if dataset == "reviews" else ("--image-size", "32")
    pruned = ("--method", "structured", "--fraction", "0.3", "--iterations", "2", "--finetune-epochs", "1")

    def do(*words):
        done = prunebench(*words)
        assert done.status == 0, done.err
        return done

    do("train", *of)
    told = do("prune", *of, *pruned, "--json")
    assert "removal proved exact on this model" in told.err
    *_, last = map(json.loads, told.out.splitlines())
    assert kinds <= {unit["kind"] for unit in last["units"]}
    assert all(unit["left"] < unit["original"] for unit in last["units"])
    do("evaluate", *of, *pruned, "--steps", "1,2")
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if "-structured-" in path.name)
    assert "ok" in do("verify", str(folder)).out
    do("export", str(folder), "--output", "net.safetensors")
    loaded, exported = load(str(folder)), load("net.safetensors", "net.py:build")
    tensors = tensors_of(exported)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in tensors_of(loaded).items())
    assert not loaded.training
