"""An ONNX program is made int8, its weights a byte each, and what of it is computed so is counted as it runs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, load_model_from_string, numpy_helper

from prunebench.errors import ModelError
from prunebench.latency import quantisation
from prunebench.latency.quantisation import computed, quantise, weight_bits

DRAW = np.random.default_rng(0)
FEEDS = [{"images": DRAW.standard_normal((4, 4, 8, 8), np.float32)} for _ in range(3)]
WEIGHTS = {"filters": DRAW.standard_normal((16, 4, 3, 3), np.float32), "matrix": DRAW.standard_normal((1024, 10))}


def program(nodes=("Conv", "Relu", "Flatten", "MatMul"), **weights):
    """A convolution and a linear layer, or a chain of some of these operators."""
    more = {"Conv": (["filters"], {"pads": [1, 1, 1, 1]}), "MatMul": (["matrix"], {})}
    names = ["images", *(f"after {kind}" for kind in nodes[:-1]), "logits"]
    made = [
        helper.make_node(kind, [names[i], *more.get(kind, ([], {}))[0]], [names[i + 1]], **more.get(kind, ([], {}))[1])
        for i, kind in enumerate(nodes)
    ]
    kept = {"Conv": "filters", "MatMul": "matrix"}
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", None])],
        [
            numpy_helper.from_array({**WEIGHTS, **weights}[kept[kind]].astype(np.float32), kept[kind])
            for kind in nodes
            if kind in kept
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return model.SerializeToString()


def answers(content, fed):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, fed)[0]


def test_weights_take_a_byte_and_answers_are_near(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    full = program()
    small, told = quantise(full, FEEDS, "net")
    held = {of.name: of for of in load_model_from_string(small).graph.initializer}
    assert len([of for of in held.values() if of.data_type == TensorProto.INT8 and len(of.dims) > 1]) == 2
    assert len(small) < 0.4 * len(full)
    expected, found = (answers(content, FEEDS[0]) for content in (full, small))
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert (told.scheme, told.samples) == ("static", 12)
    assert (sum(told.int8.values()), told.fp32) == (2, {})
    assert list(tmp_path.iterdir()) == []  # the quantiser leaves nothing behind


def test_what_has_attention_is_quantised_batch_by_batch_and_its_convolutions_stay_in_fp32():
    small, told = quantise(program(("Conv", "Softmax", "Flatten", "MatMul")), FEEDS, "net")
    assert (told.scheme, told.samples, sum(told.int8.values()), sum(told.fp32.values())) == ("dynamic", 0, 1, 1)
    assert next(iter(told.fp32)).endswith("Conv")
    assert len(small) < 0.4 * len(program())


def test_what_runs_in_fp32_is_counted_as_such():
    int8, fp32 = computed(program())
    assert (int8, sum(fp32.values())) == ({}, 2)


def test_int8_is_never_fp32_in_silence():
    with pytest.raises(ModelError, match=r"^net: ONNX Runtime computes nothing of it in int8 \(no products in fp32\)"):
        quantise(program(("Relu", "Flatten")), FEEDS, "net")


def test_the_operator_that_cannot_be_quantised_is_named():
    broken = np.where(np.arange(576).reshape(16, 4, 3, 3) == 0, np.nan, WEIGHTS["filters"])
    with pytest.raises(ModelError, match=r"^net: ONNX Runtime cannot quantise Conv: "):
        quantise(program(filters=broken), FEEDS, "net")


@pytest.mark.parametrize(
    ("machine", "flags", "bits"),
    [
        ("x86_64", {"avx2"}, 7),
        ("AMD64", set(), 7),
        ("x86_64", {"avx2", "avx_vnni"}, 8),
        ("x86_64", {"avx512_vnni"}, 8),
        ("aarch64", set(), 8),
    ],
)
def test_where_sums_of_products_overflow_weights_have_a_bit_less(machine, flags, bits, monkeypatch):
    monkeypatch.setattr(quantisation.platform, "machine", lambda: machine)
    monkeypatch.setattr(quantisation, "flags", lambda: frozenset(flags))
    assert weight_bits() == bits


def test_weights_of_seven_bits_stay_within_them(monkeypatch):
    monkeypatch.setattr(quantisation, "weight_bits", lambda: 7)
    small, told = quantise(program(), FEEDS, "net")
    assert told.weight_bits == 7
    weights = [
        numpy_helper.to_array(of)
        for of in load_model_from_string(small).graph.initializer
        if of.data_type == TensorProto.INT8 and len(of.dims) > 1
    ]
    assert len(weights) == 2
    assert all(np.abs(of.astype(int)).max() <= 64 for of in weights)
