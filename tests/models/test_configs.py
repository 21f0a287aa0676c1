"""Configurations of transformers are data: what a model is built by is kept, and nothing that could run code."""

from __future__ import annotations

import json

import msgspec
import pytest
import torch
import transformers as t

from prunebench.errors import ModelError
from prunebench.models import configs

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONFIGS = {
    "bert": lambda: t.BertConfig(**TINY, vocab_size=99, hidden_act="relu"),
    "llama": lambda: t.LlamaConfig(**TINY, vocab_size=99, num_key_value_heads=2),
    "gpt2": lambda: t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=99, n_inner=48),
    "swin": lambda: t.SwinConfig(image_size=16, patch_size=2, embed_dim=24, depths=[1, 1], num_heads=[3, 6]),
    "resnet": lambda: t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "deit": lambda: t.DeiTConfig(**TINY, image_size=16, patch_size=4, architectures=["DeiTForImageClassification"]),
    "clip": lambda: t.CLIPConfig(vision_config={**TINY, "image_size": 16, "patch_size": 4}, projection_dim=8),
}


def settled(family, **more):
    return configs.settled({**written(CONFIGS[family]()), **more})


def written(config):
    """What a config.json holds."""
    return json.loads(config.to_json_string(use_diff=False))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_model_built_of_what_is_kept_is_that_of_the_whole_config(family):
    kept = settled(family)
    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept
    kind = configs.model_class(kept)
    torch.manual_seed(0)
    ours = kind(configs.configuration(kept, 5)).state_dict()
    torch.manual_seed(0)
    whole = CONFIGS[family]()
    whole.num_labels = 5
    theirs = kind(whole).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_only_what_differs_from_the_class_is_kept():
    assert settled("gpt2") == {
        **{"model_type": "gpt2", "vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48}
    }


def test_a_value_that_the_class_would_work_out_otherwise_is_kept():
    config = t.LlamaConfig(**TINY, head_dim=t.LlamaConfig().head_dim)
    assert configs.configuration(configs.settled(written(config)), 2).head_dim == config.head_dim


def test_of_two_classifiers_of_a_type_the_config_names_one():
    one = settled("deit")
    other = settled("deit", architectures=["DeiTForImageClassificationWithTeacher"])
    assert configs.model_class(one) is t.DeiTForImageClassification
    assert configs.model_class(other) is t.DeiTForImageClassificationWithTeacher


@pytest.mark.parametrize(
    ("named", "reads"),
    [("PerceiverForSequenceClassification", "text"), ("PerceiverForImageClassificationLearned", "images")],
)
def test_of_a_type_that_reads_both_the_config_says_which(named, reads):
    assert configs.reads({"model_type": "perceiver", "architectures": [named]}) == reads
    with pytest.raises(ModelError, match="may classify text or images, and `architectures` in its config names nei"):
        configs.reads({"model_type": "perceiver"})


HOSTILE = [
    {"_attn_implementation": "some-one/kernel"},
    {"attn_implementation": "some-one/kernel"},
    {"auto_map": {"AutoModel": "evil.Evil"}},
    {"trust_remote_code": True},
    {"quantization_config": {"load_in_8bit": True}},
    {"backbone": "some-one/model"},
    {"backbone_config": {"model_type": "resnet"}},
    {"_name_or_path": "some-one/model"},
    {"torch_dtype": "float16"},
    {"dtype": "float16"},
    {"num_labels": 7},
    {"id2label": {"0": "x"}},
    {"no_such_key": 1},
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": -(10**9)},
    {"hidden_size": float("nan")},
    {"hidden_act": {"_name_or_path": "x"}},
    {"model_type": "nonesuch"},
    {"model_type": ["bert"]},
    {"model_type": "timm_wrapper", "architecture": "hf-hub:some-one/model"},
    {"architectures": ["Evil"]},
    {"architectures": "BertForSequenceClassification"},
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_no_model_is_built_by_is_refused(hostile):
    with pytest.raises(ModelError):
        configs.configuration({"model_type": "bert", **TINY, "vocab_size": 99, **hostile}, 2)


def test_what_no_model_is_built_by_is_refused_in_a_config_inside_another_too():
    inside = {"model_type": "clip", "vision_config": {**TINY, "_attn_implementation": "some-one/kernel"}}
    with pytest.raises(ModelError, match="is not built by '_attn_implementation'"):
        configs.configuration(inside, 2)


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("gpt2", "n_layer", 10**9),
        ("swin", "depths", [600, 600]),
        ("clip", "vision_config", {"num_hidden_layers": 10**9}),
        ("resnet", "depths", [10**9]),
    ],
)
def test_layers_are_counted_whatever_they_are_called(family, key, value):
    with pytest.raises(ModelError, match="layers is not built; 1,000 is the most"):
        configs.check({**settled(family), key: value})
    with pytest.raises(ModelError, match="layers is not built; 1,000 is the most"):
        configs.settled({**written(CONFIGS[family]()), key: value})


def test_attention_is_pytorchs_where_a_model_has_it_and_nothing_is_cached():
    found = configs.configuration(settled("llama"), 2)
    assert (found._attn_implementation, found.use_cache) == ("sdpa", False)
    assert configs.configuration(settled("resnet"), 2)._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 66}, 64),
        ({"model_type": "bert", "max_position_embeddings": 66}, 66),
        ({"model_type": "gpt2", "n_positions": 66}, 66),
        ({"model_type": "bloom"}, None),
    ],
)
def test_the_longest_text_is_that_of_the_positions_without_those_of_padding(config, longest):
    assert configs.longest(config) == longest


@pytest.mark.parametrize("kind", configs.AFTER_PADDING)
def test_a_type_that_numbers_positions_after_padding_reads_as_many_as_is_said_and_no_more(kind):
    shape = {"vocab_size": 50, "max_position_embeddings": 20}
    config = {"model_type": kind, **TINY, **shape, "hidden_size": 48}
    own = configs.own_keys(t.CONFIG_MAPPING[kind])
    if kind == "longformer":
        config["attention_window"] = 4
    if kind == "xmod":
        config["default_language"] = "en_XX"
    if kind == "layoutlmv3":
        config |= {"coordinate_size": 8, "shape_size": 8, "visual_embed": False}
    if kind == "luke":
        config |= {"entity_vocab_size": 10, "entity_emb_size": 8}
    if kind == "markuplm":
        config |= {"xpath_unit_hidden_size": 8}
    if kind == "esm":
        config |= {"pad_token_id": 1, "mask_token_id": 4, "token_dropout": False}
    config = {key: value for key, value in config.items() if key in (*own, "model_type")}
    model = configs.model_class(config)(configs.configuration(config, 2)).eval()
    most = configs.longest(config)

    def run(length):
        ids = torch.full((2, length), 5)
        with torch.no_grad():
            return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits

    assert torch.isfinite(run(most)).all()
    with pytest.raises((IndexError, RuntimeError)):
        run(most + 1)
