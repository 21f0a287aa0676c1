"""What runs compute is what they computed before: `benchmarks/bits.py` against the outcome that is kept beside this."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def bits():
    spec = importlib.util.spec_from_file_location("bits", HERE.parent / "benchmarks" / "bits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_runs_of_every_kind_compute_what_they_computed_before(bits, tmp_path):
    found = json.loads(json.dumps(bits.compute(tmp_path)))
    lines = bits.differing(json.loads((HERE / "bits.json").read_text()), found)
    assert [line for line in lines if not line.startswith("bits not compared")] == []


def test_what_differs_is_told_with_its_run_and_bits_only_of_one_kind_of_machine(bits):
    kept = json.loads((HERE / "bits.json").read_text())
    assert len(kept["runs"]) == 21
    assert bits.differing(kept, kept) == []
    other = json.loads(json.dumps(kept))
    other["runs"]["bf16"]["bits"][1][2] = ["0"]
    assert [line.partition(" differ")[0] for line in bits.differing(kept, other)] == ["bf16: bits"]
    other["cpu"] = "another"
    assert [line.partition(":")[0] for line in bits.differing(kept, other)] == ["bits not compared"]
    other["runs"]["bf16"]["shapes"][0][0] += 1
    assert bits.differing(kept, other)[1].startswith("bf16: shapes differ")
