"""Records: immutable, versioned rows with units in their field names, from which everything shown is made.

Raw counts and samples are kept; whoever shows a statistic computes it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

FORMAT = 2
"""Version of the files below; raised when a field changes its meaning."""


Key = Annotated[str, msgspec.Meta(pattern=r"^[\w-]+\Z")]
"""What a run is called: the name of its folder, never a path."""


def other_format(name: object, version: object) -> str:
    """What to say of a file whose format is not FORMAT."""
    newer = isinstance(version, int) and version > FORMAT
    which = "a newer" if newer else "another"
    hint = "update prunebench" if newer else "start over with --fresh, which keeps the old run aside"
    return f"{name} has format {version}, of {which} version of prunebench; this one reads format {FORMAT}: {hint}."


class Accuracy(msgspec.Struct, frozen=True):
    """Correct samples out of all samples."""

    correct: int
    total: int

    @property
    def top1(self) -> float:
        """Share of correct samples, 0 to 1."""
        return self.correct / self.total


class UnitCount(msgspec.Struct, frozen=True):
    """How many units of one kind (weights, channels, heads, neurons) there were, were left, and are left.

    `achieved` is the fraction that the step removed of what was left; the record's `fraction` is what was asked.
    """

    kind: str
    original: int
    before: int
    left: int
    achieved: float


class LayerRecord(msgspec.Struct, frozen=True):
    """The weight of one conv or linear layer in the unpruned model, and what is left of it (masked does not count).

    `collapsed` says in which way the layer no longer tells samples apart; empty where it does.
    """

    name: str
    kind: str
    shape_original: tuple[int, ...]
    shape: tuple[int, ...]
    weights: int
    weights_left: int
    collapsed: str = ""


class Seconds(msgspec.Struct, frozen=True):
    """Wall-clock seconds of each phase of a step."""

    prune: float = 0.0
    evaluate_before: float = 0.0
    finetune: float = 0.0
    evaluate_after: float = 0.0


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One iteration of pruning and fine-tuning; step 0 is the trained, unpruned model.

    `nominal_left` is (1 − fraction)^step. `prunable_weights` counts, for structured pruning, conv weights (for BERT
    the encoder's linear weights), else all conv and linear weights: in the original, as masking filters would leave
    them (kept filters × original inputs), and in the model as it is. `nonzero_params` are the parameters that no mask
    has removed. `macs` are multiply-accumulates of one sample. `loss` is the mean training loss of the last
    fine-tuning epoch (for step 0, of training).
    """

    format: int = FORMAT
    run: str
    model: str
    dataset: str
    method: str
    criterion: str
    seed: int
    step: int
    fraction: float
    nominal_left: float
    units: tuple[UnitCount, ...]
    prunable_weights: int
    prunable_weights_masked: int
    prunable_weights_left: int
    params: int
    nonzero_params: int
    macs: int
    test_before: Accuracy
    train_before: Accuracy
    test_after: Accuracy
    train_after: Accuracy
    loss: float | None
    seconds: Seconds
    layers: tuple[LayerRecord, ...]
    notes: tuple[str, ...] = ()


class LatencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Raw timings of one variant of one step at one batch size, in the order in which they were taken."""

    format: int = FORMAT
    run: str | None
    model: str
    method: str
    step: int
    nominal_left: float
    variant: str
    batch_size: int
    device: str
    dtype: str
    threads: int
    samples_ms: tuple[float, ...]


class TimingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The latencies of one pruned step: a record per variant and batch size."""

    format: int = FORMAT
    step: int
    latencies: tuple[LatencyRecord, ...]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, the versions and the seed that a run was computed with."""

    format: int = FORMAT
    seed: int
    device: str
    hardware: str
    threads: int
    platform: str
    python: str
    versions: dict[str, str]
    deterministic: bool = False


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is.

    `config` is the resolved configuration; `contents` holds digests of user files, local weights and local data;
    `recipe` is raised when a change of prunebench changes results. The key is a hash of what decides the result.
    `source` is the run that this one starts from: of a pruning run its dense run, of timings what was timed.
    """

    key: Key
    kind: str
    config: dict[str, object]
    contents: dict[str, str]
    recipe: int
    source: Key | None
    created: str
