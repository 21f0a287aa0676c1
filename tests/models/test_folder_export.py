"""A folder for transformers answers as the pruned model does where its config can say the shape, else says why not."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as t
from tokenizers import Tokenizer

from prunebench import load
from prunebench.config import RunConfig
from prunebench.data.text import train_tokenizer
from prunebench.errors import ConfigError, ModelError
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models import folder_export, hub
from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.export import export_folder
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.passing import pass_on
from prunebench.pruning.methods import structured, unstructured

TOKENIZER = train_tokenizer(["the plot was dull", "the music was warm"])
WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT = {**WIDTHS, "max_position_embeddings": 34, "pad_token_id": 0}
CONFIGS = {
    "bert": TEXT,
    "roberta": TEXT,
    "albert": {**TEXT, "embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 34},
    "qwen3": {**TEXT, "num_key_value_heads": 4, "head_dim": 8},
    "mistral": {**TEXT, "num_key_value_heads": 4, "head_dim": 8},
    "mixtral": {**TEXT, "num_key_value_heads": 4, "head_dim": 8, "num_local_experts": 4},
    "llama": {**TEXT, "num_key_value_heads": 2, "head_dim": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 34, "pad_token_id": 0},
    "vit": {**WIDTHS, "image_size": 16, "patch_size": 4},
    "swin": {
        "image_size": 16,
        "patch_size": 2,
        "embed_dim": 24,
        "depths": [1, 1],
        "num_heads": [3, 6],
        "window_size": 4,
    },
    "convnext": {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2, "patch_size": 2, "image_size": 16},
}
KEPT = models.get("hf:some/model").keeps
AUTO = {"text": t.AutoModelForSequenceClassification, "images": t.AutoModelForImageClassification}


def state_of(family):
    images = "image_size" in CONFIGS[family]
    inputs = (
        InputSpec(kind="images", size=16, mean=(0.5,) * 3, std=(0.25,) * 3)
        if images
        else InputSpec(kind="text", vocabulary=TOKENIZER.get_vocab_size(), length=12)
    )
    text = {} if images else {"vocab_size": inputs.vocabulary}
    arguments = {"classes": 3, "channels": 3, "image_size": 16 if images else 0, "adapt": False, "given": {}}
    arguments["config"] = {"model_type": family, **CONFIGS[family], **text}
    torch.manual_seed(0)
    architecture = Architecture(f"hf:some/{family}", arguments, inputs)
    return Checkpoint(architecture, architecture.build().eval(), {}, None if images else TOKENIZER.to_str())


def assert_alike(state, folder):
    """transformers reads the folder and answers as the model."""
    inputs = state.architecture.inputs
    theirs = AUTO[inputs.kind].from_pretrained(folder).eval()
    batch = inputs.example(3, seed=7)
    with torch.no_grad():
        torch.testing.assert_close(output_of(theirs, batch), output_of(state.model, batch))


@pytest.mark.parametrize(
    ("family", "kinds", "read"),
    [
        ("bert", ("neurons",), True),
        ("bert", ("heads",), False),
        ("roberta", ("neurons",), True),
        ("distilbert", ("neurons",), True),
        ("qwen3", ("heads", "neurons"), True),
        ("mistral", ("heads", "neurons"), True),
        ("mixtral", ("experts",), True),
        ("albert", ("neurons",), True),
        ("llama", ("neurons",), True),
        ("gpt2", ("neurons",), True),
        ("gpt2", ("heads",), False),
        ("vit", ("heads", "neurons"), True),
        ("swin", ("neurons",), True),
        ("convnext", ("neurons",), False),
    ],
)
def test_transformers_reads_what_its_config_can_say_and_the_rest_is_told(family, kinds, read, request_for, tmp_path):
    state = state_of(family)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.25, kinds=kinds, floor=0.75, keeps=KEPT))
    difference, why = export_folder(state, tmp_path / "out", ["a", "b", "c"])
    assert difference == 0
    batch = state.architecture.inputs.example(3, seed=7)
    with torch.no_grad():
        assert torch.equal(output_of(load(tmp_path / "out"), batch), output_of(state.model, batch))
    assert bool(why) != read
    if why:
        assert "has no sizes for" in why
        with pytest.raises((RuntimeError, ValueError)):
            AUTO[state.architecture.inputs.kind].from_pretrained(tmp_path / "out")
    else:
        assert_alike(state, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"]["2"] == "c"


def test_of_a_model_that_has_lost_blocks_they_are_named_and_what_to_do_with_the_folder(tmp_path):
    state = state_of("bert")
    pass_on(state.model.bert.encoder.layer[0], 0)
    difference, why = export_folder(state, tmp_path / "out", ["a", "b", "c"])
    assert difference == 0
    assert why.startswith("BertConfig cannot say that these are gone: bert.encoder.layer.0.attention.self.query, ")
    with pytest.raises(ModelError, match=r"are missing\. prunebench wrote this .* export --to safetensors, and give"):
        hub.read(str(tmp_path / "out"), state_of("bert").model, 3)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_masked_model_is_read_by_transformers(family, request_for, tmp_path):
    state = state_of(family)
    unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5))
    assert export_folder(state, tmp_path / "out") == (0, "")
    assert_alike(state, tmp_path / "out")


def test_the_tokenizer_and_the_processor_are_read_by_transformers(tmp_path):
    export_folder(state_of("roberta"), tmp_path / "text")
    read = t.AutoTokenizer.from_pretrained(tmp_path / "text")
    assert read("the plot was warm")["input_ids"] == TOKENIZER.encode("the plot was warm").ids
    assert read.pad_token_id == TOKENIZER.token_to_id("[PAD]")
    export_folder(state_of("vit"), tmp_path / "images")
    found = t.AutoImageProcessor.from_pretrained(tmp_path / "images")
    assert (list(found.image_mean), list(found.image_std)) == ([0.5] * 3, [0.25] * 3)
    assert (found.size["height"], found.size["width"]) == (16, 16)


def test_a_folder_starts_a_run_as_any_of_hugging_face(request_for, tmp_path):
    state = state_of("vit")
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.3, kinds=("neurons",)))
    assert export_folder(state, tmp_path / "out")[1] == ""
    given = {"dataset": "digits", "limit_train": 20, "limit_test": 10, "weights": "default"}
    setup = set_up(resolve(RunConfig(model=f"hf:{tmp_path / 'out'}", runs_dir=str(tmp_path / "runs"), **given)))
    found = setup.fresh()
    assert (setup.task.inputs.size, setup.task.inputs.mean) == (16, (0.5,) * 3)
    own, mine = found.model.state_dict(), state.model.state_dict()
    assert {name for name in mine if own[name].shape != mine[name].shape} == {"classifier.weight", "classifier.bias"}
    assert found.fresh == ("classifier.weight", "classifier.bias")


def test_a_folder_that_transformers_would_answer_otherwise_from_has_a_config_that_it_refuses(
    request_for, tmp_path, monkeypatch
):
    monkeypatch.setattr(folder_export, "SAME", ("vocab_size", "num_labels"))  # narrower heads have the same shapes
    monkeypatch.setattr(folder_export, "_changes", lambda *_: [{"head_dim": 6}])
    state = state_of("mistral")
    structured.prune(
        state.model, {}, request_for(state.architecture.inputs, 0.25, kinds=("heads",), floor=0.75, keeps=KEPT)
    )
    _, why = export_folder(state, tmp_path / "out")
    assert why.startswith("its answers differ by")
    with pytest.raises(RuntimeError):
        AUTO["text"].from_pretrained(tmp_path / "out")


def test_nothing_is_replaced_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="is there already, and nothing is replaced"):
        export_folder(state_of("vit"), tmp_path / "there")
    monkeypatch.setattr(folder_export, "_unlike", lambda *_: 1 / 0)
    with pytest.raises(Exception, match="cannot be exported to hf: ZeroDivisionError"):
        export_folder(state_of("vit"), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_other_models_are_none_of_transformers(tiny_state, tmp_path):
    with pytest.raises(ConfigError, match="is for models of transformers"):
        export_folder(tiny_state(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_padding_that_a_tokenizer_keeps_is_that_of_transformers(tmp_path):
    tokenizer = Tokenizer.from_str(TOKENIZER.to_str())
    tokenizer.enable_padding(pad_id=3, pad_token="[SEP]")
    state = state_of("gpt2")
    export_folder(Checkpoint(state.architecture, state.model, {}, tokenizer.to_str()), tmp_path / "out")
    assert t.AutoTokenizer.from_pretrained(tmp_path / "out").pad_token_id == 3


def test_that_samples_may_have_several_labels_is_said(tmp_path):
    for several in (False, True):
        export_folder(state_of("bert"), tmp_path / str(several), ["a", "b", "c"], several=several)
        config = json.loads((tmp_path / str(several) / "config.json").read_text())
        assert config.get("problem_type") == ("multi_label_classification" if several else None)
