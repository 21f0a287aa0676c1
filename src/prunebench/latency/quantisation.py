"""Quantisation: an ONNX program made int8 by ONNX Runtime's own quantiser, and what of it is. Knows no torch.

Weights are int8, with a scale per output. On x86, activations are unsigned, which its instructions ask for, and weights
have 7 bits where the CPU lacks VNNI, since its sums of pairs of 8-bit products overflow 16 bits; on ARM both are signed
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import importlib
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prunebench.errors import ModelError
from prunebench.latency.sessions import open_session
from prunebench.models.quiet import silence
from prunebench.records import Quantised
from prunebench.runs.processors import flags

DYNAMIC = ("Softmax", "Attention", "MultiHeadAttention", "LSTM", "GRU", "RNN")
"""Operators of transformers and recurrent networks: what has one finds ranges of activations anew for every batch, and
leaves convolutions in fp32. A BERT-mini on SST-2, 872 sentences: fp32 0.725, dynamic 0.724 (99.9 % of answers as in
fp32), static 0.626 (68.1 %). ResNet18 takes 7 to 9 times as long as in fp32 dynamic, and a third
static (32 px, one thread of an AMD EPYC)."""

Scheme = Literal["static", "dynamic"]
Feed = Mapping[str, Any]
"""A batch as arrays, by the names of the program's inputs."""

INT8 = (
    *("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"),
    *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"),
)
"""Operators that compute convolutions and products of matrices in int8, as the runtime fuses them."""

FP32 = (
    *("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Einsum"),
    *("LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention"),
)
"""Those that compute them in fp32."""

VNNI = ("avx512_vnni", "avx_vnni")


def quantise(program: bytes, feeds: Sequence[Feed], model: str) -> tuple[bytes, Quantised]:
    """The program of a model in int8, and what of it is; ranges of activations are those that the feeds lead to.

    Raises:
        ModelError: an operator cannot be quantised, or none is computed in int8.
    """
    with tempfile.TemporaryDirectory(prefix="prunebench-") as name, silence():
        folder = Path(name)
        (folder / "fp32.onnx").write_bytes(program)
        scheme = _prepared(folder)
        bits = weight_bits()
        try:
            _quantise(folder, scheme, bits, feeds)
        except Exception as error:  # the quantiser's own kinds
            raise ModelError(f"{model}: {_why(folder, scheme, bits, feeds, error)}") from error
        small = (folder / "int8.onnx").read_bytes()
        int8, fp32 = computed(small)
    if not int8:
        left = ", ".join(f"{count} {kind}" for kind, count in fp32.items())
        raise ModelError(f"{model}: ONNX Runtime computes nothing of it in int8 ({left or 'no products'} in fp32).")
    samples = sum(len(next(iter(feed.values()))) for feed in feeds) if scheme == "static" else 0
    return small, Quantised(scheme=scheme, samples=samples, weight_bits=bits, int8=int8, fp32=fp32)


def weight_bits() -> Literal[7, 8]:
    """Bits of the 8 that weights may use on this CPU."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686", "x86")
    return 7 if x86 and not flags() & {*VNNI} else 8


def computed(program: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Kind of operator → how many compute convolutions and products of matrices, as the runtime runs a program: those
    in int8, and those in fp32."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="prunebench-") as folder:
        path = Path(folder) / "optimised.onnx"
        open_session(program, 1, path)
        found = Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    int8, fp32 = ({kind: found[kind] for kind in kinds if kind in found} for kinds in (INT8, FP32))
    return int8, fp32


def _prepared(folder: Path) -> Scheme:
    """Fold constants and normalisations of `fp32.onnx` into `ready.onnx`; and which scheme suits it."""
    import onnx

    shapes = importlib.import_module("onnxruntime.quantization.shape_inference")
    # symbolic shapes of sentences of any length are more than its inference of shapes can do
    shapes.quant_pre_process(str(folder / "fp32.onnx"), str(folder / "ready.onnx"), skip_symbolic_shape=True)
    kinds = {node.op_type for node in onnx.load(folder / "ready.onnx").graph.node}
    return "dynamic" if kinds & {*DYNAMIC} else "static"


def _quantise(
    folder: Path, scheme: Scheme, bits: int, feeds: Sequence[Feed], kinds: Sequence[str] | None = None
) -> None:
    """Make `int8.onnx` of `ready.onnx`; of some kinds of operators alone, or all that the quantiser knows."""
    quantiser = importlib.import_module("onnxruntime.quantization")
    paths = str(folder / "ready.onnx"), str(folder / "int8.onnx")
    weights: dict[str, Any] = {
        "per_channel": True,
        "reduce_range": bits == 7,
        "weight_type": quantiser.QuantType.QInt8,
    }
    if scheme == "dynamic":
        known = importlib.import_module("onnxruntime.quantization.registry").IntegerOpsRegistry
        quantiser.quantize_dynamic(
            *paths, op_types_to_quantize=kinds or [kind for kind in known if kind != "Conv"], **weights
        )
        return
    arm = platform.machine().lower() in ("aarch64", "arm64")
    quantiser.quantize_static(
        *paths,
        _reader(feeds),
        op_types_to_quantize=kinds,
        quant_format=quantiser.QuantFormat.QDQ,
        activation_type=quantiser.QuantType.QInt8 if arm else quantiser.QuantType.QUInt8,
        **weights,
    )


def _reader(feeds: Sequence[Feed]) -> Any:
    reader: Any = importlib.import_module("onnxruntime.quantization").CalibrationDataReader

    class Reader(reader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    return Reader()


def _why(folder: Path, scheme: Scheme, bits: int, feeds: Sequence[Feed], error: Exception) -> str:
    """What the quantiser said, and of which kind of operator it says so: the first in the model's order."""
    import onnx

    kinds = dict.fromkeys(node.op_type for node in onnx.load(folder / "ready.onnx").graph.node)
    failing = (kind for kind in kinds if _fails(partial(_quantise, folder, scheme, bits, feeds, [kind])))
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"ONNX Runtime cannot quantise {next(failing, 'all operators together')}: {reason}"


def _fails(call: Callable[[], None]) -> bool:
    try:
        call()
    except Exception:
        return True
    return False
