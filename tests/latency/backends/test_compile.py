"""torch.compile compiles each model at each batch size once, keeps it, and says in one line what went wrong."""

from __future__ import annotations

import copy
import gc
import os
import shutil
import subprocess
import sys
import weakref
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError, ModelError
from prunebench.latency.backends import backends
from prunebench.latency.variants import mask_like
from prunebench.models.architecture import Architecture
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec, output_of

pytestmark = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")

CPU = torch.device("cpu")
COMPILE = backends.get("compile")
INPUTS = InputSpec(kind="images", size=4)


class Small(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(48, width), nn.Linear(width, 3)

    def forward(self, images):
        return self.second(self.first(images.flatten(1)))


class Branching(Small):
    """Cannot be compiled in one piece, since its way depends on data."""

    def forward(self, images):
        hidden = self.first(images.flatten(1))
        return self.second(hidden if hidden[0, 0].item() < 1e6 else -hidden)


class Failing(Small):
    """Fails by itself on images that are too bright."""

    @torch.compiler.disable
    def check(self, images):
        if images.max() > 100:
            raise RuntimeError("too bright")

    def forward(self, images):
        self.check(images)
        return super().forward(images)


class Counting(Small):
    """Is another function at every call."""

    calls = 0

    def forward(self, images):
        self.calls += 1
        return super().forward(images) + self.calls


def state_of(kind=Small, seed=0, width=8):
    """A fresh model."""
    torch.manual_seed(seed)
    return Checkpoint(Architecture("small", {"classes": 3}, INPUTS), kind(width).eval(), {})


def with_mask(state):
    """The same model, half of its first layer masked."""
    mask = torch.arange(state.model.first.weight.numel()).view_as(state.model.first.weight) % 2 == 0
    return replace(state, model=mask_like(copy.deepcopy(state.model), replace(state, masks={"first.weight": mask})))


def ten_variants(kind):
    """Ten models of one class: two alike but for their weights, each also masked, and six of other widths."""
    alike = [state_of(kind, seed) for seed in (0, 1)]
    return [*alike, *map(with_mask, alike), *(state_of(kind, width=width) for width in range(2, 8))]


def call_in_turn(variants, sizes, rounds=3):
    """Call every model at each batch size in turn, and compare the answers with eager PyTorch's."""
    loaded = [COMPILE.load(state, CPU, "fp32") for state in variants]
    with torch.inference_mode():
        for size in sizes:
            batch = INPUTS.example(size)
            for _ in range(rounds):
                for state, backend in zip(variants, loaded, strict=True):
                    answer = backend.runner(size)(backend.place(batch))
                    torch.testing.assert_close(answer, output_of(state.model, batch))


@pytest.fixture
def graphs():
    """Tells how many graphs have been compiled in this test."""
    from torch._dynamo.utils import counters

    counters.clear()
    return lambda: counters["stats"]["unique_graphs"]


@contextmanager
def compiler(path):
    """The C++ compiler is this file."""
    from torch._inductor import config

    with config.patch({"cpp.cxx": (None, str(path))}):
        yield


def first_call(state, size=1):
    """Load a model and make the call that compiles it; returns what runs it."""
    backend = COMPILE.load(state, CPU, "fp32")
    run = backend.runner(size)
    run(backend.place(INPUTS.example(size)))
    return run


def test_ten_variants_of_one_class_are_each_compiled_once_per_batch_size_and_stay_compiled(graphs):
    call_in_turn(ten_variants(Small), sizes=(1, 2, 1))
    assert graphs() == 20


def test_variants_whose_graph_breaks_run_and_answer_as_eager_pytorch(graphs):
    call_in_turn(ten_variants(Branching), sizes=(1, 2))
    assert graphs() > 20


@torch.inference_mode()
def test_to_be_compiled_again_is_an_error_that_names_the_reason():
    run = first_call(state_of(), size=2)
    with pytest.raises(ModelError, match=r"compile small again at batch size 2.*expected 2, actual 3") as caught:
        run(INPUTS.example(3))
    assert "\n" not in str(caught.value)
    first_call(state_of(), size=3)  # what is new is compiled all the same


@torch.inference_mode()
def test_a_model_that_changes_with_every_call_is_never_timed_as_if_it_were_compiled():
    run = first_call(state_of(Counting))
    with pytest.raises(ModelError, match=r"again at batch size 1.*calls"):
        run(INPUTS.example(1))


@torch.inference_mode()
def test_errors_of_the_model_itself_stay_what_they_are():
    run = first_call(state_of(Failing))
    with pytest.raises(RuntimeError, match="too bright"):
        run(INPUTS.example(1) + 1000)


@torch.inference_mode()
def test_the_memory_layout_of_a_batch_does_not_matter(graphs):
    backend = COMPILE.load(state_of(), CPU, "fp32")
    batch = INPUTS.example(2)
    answers = [
        backend.runner(2)(backend.place(b)) for b in (batch, batch.contiguous(memory_format=torch.channels_last))
    ]
    assert torch.equal(*answers)
    assert graphs() == 1


@torch.inference_mode()
def test_bert_is_compiled_once_for_full_and_padded_sentences(fresh, graphs):
    state = fresh("bert")
    backend, batch = COMPILE.load(state, CPU, "fp32"), state.architecture.inputs.example(2)
    padded = {**batch, "attention_mask": batch["attention_mask"].clone()}
    padded["attention_mask"][1, 4:] = 0
    for given in (batch, padded, batch):
        answer = backend.runner(2)(backend.place(given))
        torch.testing.assert_close(answer, output_of(state.model, given), atol=1e-5, rtol=1e-4)
    assert graphs() == 1


def test_what_was_compiled_is_freed_with_the_engine():
    state = state_of()
    with torch.inference_mode():
        first_call(state)
    model = weakref.ref(state.model)
    del state
    gc.collect()
    assert model() is None


@torch.inference_mode()
def test_without_a_compiler_the_error_is_one_line_that_says_what_to_install(tmp_path):
    with (
        compiler(tmp_path / "nowhere"),
        pytest.raises(ConfigError, match=r"needs a C\+\+ compiler.*install") as caught,
    ):
        first_call(with_mask(state_of(width=9)))
    assert "\n" not in str(caught.value)


@torch.inference_mode()
@pytest.mark.skipif(os.name != "posix", reason="a compiler that is a shell script")
def test_what_a_compiler_complains_of_is_told_in_one_line(tmp_path):
    broken = tmp_path / "g++"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit\necho "In file a.h:"; echo "fatal error: nothing there"; exit 1\n'
    )
    broken.chmod(0o755)
    with compiler(broken), pytest.raises(ModelError, match="fatal error: nothing there") as caught:
        first_call(with_mask(state_of(width=10)))
    assert "\n" not in str(caught.value)


QUIET = """
import torch
from prunebench.models.architecture import Architecture
from prunebench.models.checkpoint import Checkpoint
from prunebench.latency.backends import backends
from prunebench.models.input_spec import InputSpec

inputs = InputSpec(kind="images", size=4)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3), torch.nn.Softmax(1)).eval()
state = Checkpoint(Architecture("net", {"classes": 3}, inputs), model, {})
backend = backends.get("compile").load(state, torch.device("cpu"), "fp32")
with torch.inference_mode():
    for _ in range(2):
        backend.runner(2)(backend.place(inputs.example(2)))
print("done")
"""


def test_a_process_that_compiles_writes_nothing_itself_and_ends(tmp_path):
    hints = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CUDA_HOME": str(tmp_path)}  # PyTorch remarks on the latter
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET],
        env={**os.environ, **hints},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
