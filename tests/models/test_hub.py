"""BERT of Hugging Face: nothing is drawn at random but the classifier, and what does not fit is refused by name."""

from __future__ import annotations

import json
import logging
import os

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.utils import prune
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertForSequenceClassification, BertModel
from transformers.utils import logging as transformers_logging

from prunebench.errors import ModelError
from prunebench.models import hub

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
    "vocab_size": 50,
}


@pytest.fixture(autouse=True)
def _quiet():
    before = transformers_logging.get_verbosity(), logging.getLogger("transformers").level
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    yield
    transformers_logging.set_verbosity(before[0])


def bert(kind=BertForSequenceClassification, seed=0, **more):
    torch.manual_seed(seed)
    return kind(BertConfig(**SIZE, **more))


@pytest.fixture
def folder(tmp_path):
    """Writes a folder of a BERT with the weights that a function makes of its own; returns these."""

    def write(change=lambda state: state, model=None):
        model = model or bert(seed=1)
        model.save_pretrained(tmp_path)
        state = {name: tensor.contiguous().clone() for name, tensor in change(model.state_dict()).items()}
        save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
        return state

    write.path = tmp_path
    return write


def read(folder, classes=2):
    return hub.read(str(folder.path), bert(num_labels=classes), classes)


def test_a_folder_that_fits_is_taken_whole_and_nothing_is_said(folder):
    state = folder()
    found = read(folder)
    assert (found.masks, found.fresh, found.notes) == ({}, (), ())
    assert all(torch.equal(found.tensors[name], state[name]) for name in state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_a_prefix_is_taken_off_and_told(prefix, folder):
    state = folder(lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()})
    found = read(folder)
    assert all(torch.equal(found.tensors[name], state[f"{prefix}{name}"]) for name in found.tensors)
    assert found.notes[0].endswith("taken off the names of 41 of 41 tensors")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_bert_has_no_classifier_which_starts_fresh(prefix, folder):
    state = folder(lambda state: {f"{prefix}{n}": t for n, t in state.items()}, bert(BertModel, seed=1))
    found = read(folder)
    assert found.fresh == ("classifier.weight", "classifier.bias")
    assert found.notes[-1] == "the classifier starts fresh, since the weights have none"
    name = "encoder.layer.0.output.dense.weight"
    assert torch.equal(found.tensors[f"bert.{name}"], state[f"{prefix}{name}"])


def test_heads_of_other_tasks_are_left_out_and_told(folder):
    folder(model=bert(BertForPreTraining))
    assert read(folder).notes == (
        "cls.predictions, cls.seq_relationship left out: heads of other tasks",
        "the classifier starts fresh, since the weights have none",
    )


def test_a_classifier_of_other_classes_starts_fresh(folder):
    folder()
    found = read(folder, classes=5)
    assert (found.tensors["classifier.weight"].shape, found.fresh) == (
        (5, 32),
        ("classifier.weight", "classifier.bias"),
    )
    assert found.notes == ("the classifier starts fresh, since the weights have 2 classes",)


def test_a_pooler_that_is_not_there_is_not_drawn_at_random(folder):
    folder(model=bert(BertForMaskedLM))
    with pytest.raises(ModelError, match=r"bert\.pooler\.dense\.weight, bert\.pooler\.dense\.bias are missing"):
        read(folder)


def narrower(state):
    """As with two of the first layer's heads pruned away."""
    found = dict(state)
    for name in state:
        if "layer.0.attention.self" in name:
            found[name] = state[name][:16]
        elif name.endswith("layer.0.attention.output.dense.weight"):
            found[name] = state[name][:, :16]
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {n: t for n, t in s.items() if "layer.0" not in n},
            r"layer\.0\.attention.* and 11 more are missing",
        ),
        (lambda s: {n: t for n, t in s.items() if "pooler" not in n}, r"bert\.pooler\.dense\.weight, .* are missing"),
        (lambda s: {n: t for n, t in s.items() if n != "classifier.bias"} | {"x.bias": t0}, r"x\.bias is not part"),
        (lambda s: {**s, "bert.encoder.layer.0.lora_A": t0}, r"bert\.encoder\.layer\.0\.lora_A is not part"),
        (lambda s: {**s, "bert.encoder.layer.2.output.dense.bias": t0}, r"layer\.2\.output\.dense\.bias is not part"),
        (narrower, r"layer\.0\.attention\.self\.query\.weight has shape \(16, 32\) instead of \(32, 32\)"),
        (
            lambda s: {f"blocks.{n}" if "layer.1" in n else n: t for n, t in s.items()},
            r"missing; blocks\.bert\.encoder",
        ),
        (lambda s: {f"x{i}.{n}": t for i, (n, t) in enumerate(s.items())}, r"nothing of it fits: it has x"),
        (lambda s: {n: (t * 99).to(torch.int8) for n, t in s.items()}, r"quantised \(int8\): bert\."),
        (
            lambda s: {n: t.to(torch.complex64) if "pooler" in n else t for n, t in s.items()},
            r"complex .*: bert\.pooler",
        ),
        (lambda s: {n: t * torch.nan if "pooler" in n else t for n, t in s.items()}, r"bert\.pooler.* hold NaN"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, message, folder):
    folder(change)
    with pytest.raises(ModelError, match=message):
        read(folder)


t0 = torch.zeros(2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_are_converted_and_told(dtype, folder):
    state = folder(lambda state: {name: tensor.to(dtype) for name, tensor in state.items()})
    found = read(folder)
    assert all(torch.equal(found.tensors[name], state[name].float()) for name in state)
    assert found.notes == (f"converted from {str(dtype).removeprefix('torch.')} to float32",)


def test_a_config_that_asks_for_less_than_the_file_holds_rounds_nothing(folder):
    state = folder()
    path = folder.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "float16"}))
    found = read(folder)
    assert all(torch.equal(found.tensors[name], state[name]) for name in state)


def test_masks_of_torch_load_as_masks(folder):
    model = bert(seed=1)
    prune.l1_unstructured(model.bert.encoder.layer[0].attention.self.query, "weight", 0.5)
    weight = model.bert.encoder.layer[0].attention.self.query.weight.detach().clone()
    folder(lambda state: model.state_dict())
    found = read(folder)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert torch.equal(found.tensors[name], weight)
    assert torch.equal(found.masks[name], weight != 0)


def test_names_of_classes_are_told_since_the_datas_may_be_in_another_order(folder):
    folder(model=bert(id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1}))
    assert read(folder).notes == ("their classes are, in this order, bad, good",)


def test_a_folder_without_weights_or_with_broken_ones_says_so(folder):
    folder()
    (folder.path / "model.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(ModelError, match="cannot be read as weights"):
        read(folder)
    (folder.path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        read(folder)


def test_weights_in_parts_and_in_torchs_format_are_read(folder):
    state = folder()
    (folder.path / "model.safetensors").unlink()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, folder.path / "pytorch_model.bin")
    found = read(folder)
    assert all(torch.equal(found.tensors[name], state[name]) for name in state)


KERNEL = "kernels-community/evil"


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
def test_a_configuration_has_no_code_fetched(key, folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        BertForSequenceClassification,
        "_check_and_adjust_attn_implementation",
        lambda model, name, *rest, **more: asked.append(name) or "sdpa",
    )
    state = folder()
    config = json.loads((folder.path / "config.json").read_text())
    odd = {"auto_map": {"AutoConfig": "evil.Evil"}, "torchscript": True, key: KERNEL}
    (folder.path / "config.json").write_text(json.dumps(config | odd))
    found = read(folder)
    assert all(torch.equal(found.tensors[name], state[name]) for name in state)
    assert set(asked) <= {None, "sdpa"}
    asked.clear()
    BertForSequenceClassification.from_pretrained(str(folder.path))
    assert KERNEL in asked or key == "_attn_implementation_internal"  # transformers itself would


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "vocab.txt"])
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_no_file_in_a_folder_is_told(kind, name, folder):
    folder()
    path = folder.path / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    if kind == "sparse" and name.endswith(".safetensors"):  # weights may be large
        hub.check_folder(folder.path)
        return
    with pytest.raises(ModelError, match=f"--weights {folder.path}: {name} cannot be read: it is "):
        hub.check_folder(folder.path)
