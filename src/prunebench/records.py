"""Records: immutable, versioned rows with units in their field names, from which everything shown is made.

Raw counts and samples are kept; whoever shows a statistic computes it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from prunebench.showing import html

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Some = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Ms = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(max_length=4096)]
"""What figures in files must be to be read: whoever shows them divides by some, and draws others."""

FORMAT = 3
"""Version of the files below; raised when a field changes its meaning."""

OLDER = (2,)
"""Formats whose records are read too, and not continued."""


def other_format(name: object, version: object) -> str:
    """What to say of a file whose format is not FORMAT."""
    newer = isinstance(version, int) and version > FORMAT
    which = "a newer" if newer else "an older" if isinstance(version, int) else "another"
    shown = "what it recorded is shown, but it is not continued; compute it anew"
    anew = "start over with --fresh, which keeps what is there aside"
    hint = "update prunebench" if newer else shown if version in OLDER else anew
    return f"{name} has format {version}, of {which} version of prunebench; this one reads format {FORMAT}: {hint}."


class Metric(msgspec.Struct, frozen=True):
    """A figure by which a model is judged on data: the mean over samples of what a task counts.

    Attributes:
        title: in a sentence.
        unit: "share" of samples, 0 to 1; else what a sample's figure is measured in.
        higher_is_better: whether more of it is better.
        interval: how the 95 % interval is made that the number of samples allows: that of a share (Wilson 1927), or
            none, since a mean tells nothing of its spread.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    interval: Literal["wilson", "none"]


METRICS = {
    metric.name: metric
    for metric in (
        Metric("top1", "accuracy", "share", True, "wilson"),
        Metric("top5", "top-5 accuracy", "share", True, "wilson"),
        Metric("loss", "cross-entropy", "nats", False, "none"),
        Metric("own_loss", "own loss", "its unit", False, "none"),
        Metric("exact", "exact-match accuracy", "share", True, "wilson"),
        Metric("f1", "F1 per sample", "share", True, "none"),
        Metric("lrap", "ranking precision", "share", True, "none"),
        Metric("bce", "binary cross-entropy", "nats", False, "none"),
    )
}
"""The metrics that tasks count."""


class Score(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What was counted of one metric: the sum over samples, and how many they are."""

    sum: float
    count: Some

    @property
    def mean(self) -> float:
        """The figure itself."""
        return self.sum / self.count


class Scores(msgspec.Struct, frozen=True, gc=False):
    """What one evaluation counted: metric → score. The first is the task's main one."""

    counted: dict[str, Score]

    @staticmethod
    def of(**counted: tuple[float, int]) -> Scores:
        """`Scores.of(top1=(340, 360))`."""
        return Scores({name: Score(float(total), count) for name, (total, count) in counted.items()})

    @property
    def main(self) -> Metric:
        """The metric that the task puts first."""
        return METRICS[next(iter(self.counted))]

    @property
    def total(self) -> int:
        """How many samples were scored."""
        return self.counted[self.main.name].count

    def __getitem__(self, metric: str) -> float:
        """The figure of a metric: the mean over samples."""
        return self.counted[metric].mean

    def __contains__(self, metric: str) -> bool:
        return metric in self.counted

    @property
    def top1(self) -> float:
        """Share of correct samples, 0 to 1."""
        return self["top1"]

    @property
    def correct(self) -> int:
        """Correct samples."""
        return round(self.counted["top1"].sum)


class PartSummary(msgspec.Struct, frozen=True):
    """Samples of one part of the data, and how many the classes have that have fewest and most of them."""

    samples: int
    classes: int
    fewest: int
    most: int


class ProofRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was proved of the removal of units, or of blocks, before anything was trained, on this very model with
    random weights.

    Attributes:
        groups: groups of units whose removal equals masking, in double precision.
        blocks: blocks whose removal equals having their branches at zero; of `normed` ones something, a norm mostly,
            follows the sum and goes as well: there it equals handing on what they are given.
        difference: the largest difference of outputs that was seen, relative to the largest output.
        problem: what does not work nevertheless; empty where all does.
        through_norms: channels go that norms average over, so that more changes than masking would; what was proved
            is that it equals masking with norms over the channels that are left.
    """

    groups: int
    difference: float
    problem: str = ""
    through_norms: bool = False
    blocks: int = 0
    normed: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run took its data, its weights and its model for, told before anything is trained.

    Attributes:
        data: the dataset's name; `digest` is of its contents, None where its name alone decides them.
        parts: train, test and, where data is held out, validation.
        classes: names of the classes, in the order of the model's outputs.
        left_out: what of the data was left out, converted or weighted, in sentences.
        weights: where they come from, and what of them starts fresh, in sentences.
        mean, std: what images, scaled to 0 to 1, are normalised with.
        params, macs: of the unpruned model, `macs` of one sample.
        reached_params, reached_macs: those in layers that the pruning can reach.
        spared: layers, or weights, that it cannot → why.
        spared_params: why → parameters of those, where single weights are masked.
        doubts: what is unlikely of the model, in sentences.
        proof: of the removal of units; None where none are removed.
    """

    data: str
    digest: str | None
    parts: dict[str, PartSummary]
    left_out: tuple[str, ...]
    weights: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    params: int
    macs: int
    reached_params: int = 0
    reached_macs: int = 0
    spared: dict[str, str] = {}
    doubts: tuple[str, ...] = ()
    proof: ProofRecord | None = None
    classes: tuple[str, ...] = ()
    spared_params: dict[str, int] = {}


class UnitCount(msgspec.Struct, frozen=True, gc=False):
    """How many units of one kind (weights, channels, heads, neurons) there were, were left, and are left.

    `achieved` is the fraction that the step removed of what was left; the record's `fraction` is what was asked.
    """

    kind: Name
    original: Count
    before: Count
    left: Count
    achieved: float


class LayerRecord(msgspec.Struct, frozen=True, gc=False):
    """One weight in the unpruned model, and what is left of it (masked does not count): that of a layer, by whose name
    it goes, or another parameter that is multiplied with data.

    `collapsed` says in which way the layer no longer tells samples apart; empty where it does.
    """

    name: Name
    kind: Name
    shape_original: tuple[int, ...]
    shape: tuple[int, ...]
    weights: Some
    weights_left: Count
    collapsed: str = ""


class Seconds(msgspec.Struct, frozen=True, gc=False):
    """Wall-clock seconds of each phase of a step."""

    prune: float = 0.0
    evaluate_before: float = 0.0
    finetune: float = 0.0
    evaluate_after: float = 0.0


class GroupRecord(msgspec.Struct, frozen=True):
    """Units that go together: the first layer that makes them, their kind and number, and all layers that make them."""

    name: str
    kind: str
    units: int
    modules: tuple[str, ...]


class BlockRecord(msgspec.Struct, frozen=True):
    """A block that can go: its name and class, its parameters, and the multiply-accumulates of one sample.

    `exact` says that its parameters at zero leave its input as it is; else something follows the sum, and goes as well.
    """

    name: str
    kind: str
    params: int
    macs: int
    exact: bool


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What of a model can be pruned, and what one step does to random weights.

    Attributes:
        inputs: what it was looked at with.
        params, macs: of the whole model, `macs` of one sample; `reached_…` in layers that pruning reaches, `…_after` of
            what a step with this fraction leaves.
        groups: of units that can be removed, and were asked for.
        blocks: that can be removed, and were asked for; where those go, a step takes the first, as no data tells which.
        spared: layers of whose outputs nothing can be removed, or nothing was asked for → why.
        layers: each before and after the step.
        seconds: that finding and proving took.
    """

    model: str
    inputs: str
    params: int
    macs: int
    reached_params: int
    reached_macs: int
    groups: tuple[GroupRecord, ...]
    spared: dict[str, str]
    proof: ProofRecord
    fraction: float
    params_after: int
    macs_after: int
    layers: tuple[LayerRecord, ...]
    seconds: float
    blocks: tuple[BlockRecord, ...] = ()


class RemovedBlock(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A block that a step removed, and how it scored: lowest of those that were there."""

    name: Name
    score: float


class StepRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One iteration of pruning and fine-tuning; step 0 is the trained, unpruned model.

    `nominal_left` is (1 − fraction)^step, or what a target asks for on its way (of MACs or parameters, if they are the
    target; `fraction` is then the share of what was left before), and 1 where the method removes nothing.
    `prunable_weights` counts, for structured pruning, conv weights (for BERT the encoder's linear weights), else all
    that is multiplied with data: in the original, as masking filters would leave them (kept filters × original inputs),
    and in the model as it is.
    `nonzero_params` are the parameters that no mask has removed. `macs` are multiply-accumulates of one sample,
    `effective_macs` those that are left where masked weights are skipped, which hardware for sparse weights can do
    (None: an earlier version did not count them). `loss` is the mean training loss of the last epoch of retraining, of
    distillation the mixed one (for step 0, of training). `validation` are the scores after it on training data that was
    held out. `summary` stands in step 0. `removed` are the blocks that this step removed. `samples_seen` counts
    training samples that the step's model was trained on, each as often as it was seen (of step 0, the dense model's;
    None: an earlier version did not count them); what criteria look at is not among them.
    """

    format: int = FORMAT
    run: str
    model: str
    dataset: str
    method: str
    criterion: str
    seed: int
    step: Count
    fraction: float
    nominal_left: Share
    units: tuple[UnitCount, ...]
    prunable_weights: Count
    prunable_weights_masked: Count
    prunable_weights_left: Count
    params: Count
    nonzero_params: Count
    macs: Count
    test_before: Scores
    train_before: Scores
    test_after: Scores
    train_after: Scores
    loss: float | None
    seconds: Seconds
    layers: tuple[LayerRecord, ...]
    notes: tuple[str, ...] = ()
    validation: Scores | None = None
    summary: Summary | None = None
    effective_macs: int | None = None
    removed: tuple[RemovedBlock, ...] = ()
    samples_seen: int | None = None

    def __repr__(self) -> str:
        main = self.test_after.main.name
        before = f"{self.test_before[main]:.3f} → " if self.step else ""
        score = f"{main} {before}{self.test_after[main]:.3f}"
        costs = f"{self.nonzero_params:,} parameters, {self.macs:,} MACs"
        return f"StepRecord(step {self.step} of {self.run or self.model}: {score}, {costs})"

    def _repr_html_(self) -> str:
        return html(self)


class SensitivityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a trained model scores where one layer, or one group of units, is pruned alone and nothing is trained.

    Attributes:
        run: the dense run whose model it is.
        layer: the layer, or the first layer of the group.
        kind: what goes: weights, channels, neurons, heads, groups or experts.
        share: of them that was asked for; `units` there were, and `left` are.
        part: of the data that is scored, never the test data; `train` is what the model was trained on.
        dense: what the whole model scores on the same samples.
    """

    format: int = FORMAT
    run: str
    model: str
    dataset: str
    method: str
    criterion: str
    seed: int
    layer: Name
    kind: Name
    share: Share
    units: Count
    left: Count
    part: Literal["train", "validation"]
    dense: Scores
    scores: Scores


class Bits(msgspec.Struct, frozen=True):
    """A bit per sample, eight in a byte, the first sample in the highest bit; in the order of the evaluation."""

    count: int
    packed: bytes


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """Which samples a step answers rightly, by part of the data (test, train, validation): kept beside its checkpoint.

    With them, whoever evaluates the checkpoint elsewhere can tell which answers are others.
    """

    format: int = FORMAT
    parts: dict[str, Bits]


class Predictions(msgspec.Struct, frozen=True):
    """What a model answers to the test samples, in their order.

    Attributes:
        answer: the class that it gives, int32, little-endian.
        confidence: the probability that it gives it, float32, little-endian.
    """

    answer: bytes
    confidence: bytes


class Trial(msgspec.Struct, frozen=True):
    """Which test samples a dense model and one that was pruned answer rightly: of another seed, or of another step."""

    name: str
    dense: Bits
    pruned: Bits


class Shown(msgspec.Struct, frozen=True):
    """A test sample to look at, by its place among them: a picture as a PNG, or a text."""

    sample: Count
    png: bytes = b""
    text: str = ""


class DamageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a dense model and one that was pruned answer to the same test samples, sample by sample.

    Attributes:
        run: the pruning run; `step` is the pruned one.
        files: what of the run it was computed of: records of step 0 and of the step → SHA-256.
        classes: their names.
        labels: of the samples, int32, little-endian.
        dense, pruned: predictions of step 0 and of the step.
        kinds: by what samples are told apart, such as "tokens" → a figure per sample, float32, little-endian.
        over: what the trials differ in.
        trials: that tell which samples are lost most often.
        shown: the samples lost most often.
        otherwise: answers that are others than the run has kept, of the dense and of the pruned model; None where it
            kept none. Another machine may round otherwise.
    """

    format: int = FORMAT
    run: str
    model: str
    dataset: str
    method: str
    criterion: str
    seed: int
    step: Count
    files: dict[str, str]
    classes: tuple[str, ...]
    labels: bytes
    dense: Predictions
    pruned: Predictions
    kinds: dict[str, bytes]
    over: Literal["seeds", "steps"]
    trials: tuple[Trial, ...]
    shown: tuple[Shown, ...]
    otherwise: tuple[int | None, int | None]


class UnitCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit of a group was measured to cost.

    Attributes:
        group: its name.
        ms: milliseconds a unit, by which units are ranked.
        units: that the group has, of which `removed` were left out in the measurement.
        gain_ms: by how much a pass is faster without those, a median of paired differences; `low_ms` and `high_ms` are
            its 95 % interval. None where none could be left out.
        told: whether that is above zero; else `ms` is a bound (experiment/unit_times).
    """

    group: str
    ms: Annotated[float, msgspec.Meta(gt=0)]
    units: Count
    removed: Count
    gain_ms: float | None
    low_ms: float | None
    high_ms: float | None
    told: bool


class UnitCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What units of the unpruned model were measured to cost, once per run, and on what."""

    format: int = FORMAT
    device: str
    hardware: str
    threads: int
    batch_size: int
    pass_ms: float
    groups: tuple[UnitCost, ...]

    @property
    def ms(self) -> dict[str, float]:
        """Group → milliseconds a unit."""
        return {each.group: each.ms for each in self.groups}


VARIANTS = {
    "original": "the unpruned model",
    "masked": "masked by torch.nn.utils.prune (no speed-up expected)",
    "pruned": "the pruned model",
    "rounded": "the pruned model with channels rounded up to a multiple of 8",
    "sparse": "the pruned model with linear layers stored compressed (CSR, or as their pattern is) where that paid",
    "original-fp32": "the unpruned model in fp32, beside int8",
    "pruned-fp32": "the pruned model in fp32, beside int8",
}
"""The variants that are timed, and what they are."""


class Quantised(msgspec.Struct, frozen=True, kw_only=True):
    """How a model was made int8, and what of it is.

    Attributes:
        scheme: `static`, ranges of activations found beforehand; `dynamic`, found anew for every batch.
        samples: that those of `static` were found on; 0 where none are needed.
        weight_bits: bits of the 8 that weights use; 7 where the CPU's sums of 8 overflow.
        int8: kind of operator → how many convolutions and products of matrices are computed in int8.
        fp32: kind of operator → how many are left in fp32.
        calibrated_on: which samples: "training data", or "random inputs" where there is no trained model.
    """

    scheme: Literal["static", "dynamic"]
    samples: Count
    weight_bits: Literal[7, 8]
    int8: dict[str, int]
    fp32: dict[str, int]
    calibrated_on: Literal["", "training data", "random inputs"] = ""


class LatencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Raw timings of one variant of one step at one batch size, in the order in which they were taken.

    Samples of the same step and batch size belong together: the i-th of each variant were taken in the same round. The
    masked model has those of the first rounds alone.
    `ended` says what ended the rounds: the interval of the speed-up was narrow enough, or the time was used up.
    `max_difference` is the largest difference of a logit from those of eager PyTorch in fp32, relative to the largest
    logit; `scores` are those of this very backend and dtype on the test data, where its numbers differ from those.
    `peak_bytes` is what the model and one pass take of memory at most, where PyTorch allocates it; `file_bytes` are
    those of the file that the backend reads. In int8, `agreement` counts test samples with the same answer as in fp32.
    """

    format: int = FORMAT
    run: str | None
    model: str
    method: str
    step: Count
    nominal_left: Share
    variant: str
    batch_size: Some
    device: str
    dtype: str
    threads: int
    samples_ms: Annotated[tuple[Ms, ...], msgspec.Meta(min_length=1)]
    backend: str = "eager"
    inputs: str = ""
    warmup_rounds: int = 1
    ended: Literal["interval", "budget"] = "budget"
    max_difference: float | None = None
    scores: Scores | None = None
    peak_bytes: int | None = None
    file_bytes: int | None = None
    quantised: Quantised | None = None
    agreement: Score | None = None


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs, apart from time.

    `macs` are multiply-accumulates of one sample, `effective_macs` those that are left where masked weights are
    skipped, `activation_bytes` the most that the intermediate results of one sample take at once in fp32,
    `checkpoint_bytes` those of the weights in a file, plain and compressed by zstd.
    """

    params: int
    nonzero_params: int
    macs: int
    activation_bytes: int
    checkpoint_bytes: int
    checkpoint_zstd_bytes: int
    effective_macs: int | None = None


class SparseLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One linear layer timed at one batch size as it is and stored compressed, in alternation; milliseconds.

    `layout` is the quickest of those that were tried, which `sparse_ms` is of: CSR; BSR 16x16, in blocks; 2:4.
    `others_ms` are those of the other layouts; `unfit` says by layout why a layer could not be stored so.
    """

    name: str
    batch_size: int
    shape: tuple[int, ...]
    sparsity: float
    dense_ms: tuple[float, ...]
    sparse_ms: tuple[float, ...]
    chosen: bool
    layout: Name = "CSR"
    others_ms: dict[str, tuple[float, ...]] = {}
    unfit: dict[str, str] = {}


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that tell where a speed-up went.

    `batch1_ms` and `batch4_ms` are samples of the pruned model, taken in alternation. `unpruned_share` is, per batch
    size, the share of the unpruned model's time in layers that were not pruned, 0 to 1: the median of those of several
    passes, `unpruned_shares` (none: an earlier version did not keep them).
    """

    batch1_ms: tuple[float, ...] = ()
    batch4_ms: tuple[float, ...] = ()
    unpruned_share: dict[int, float] = {}
    unpruned_shares: dict[int, tuple[float, ...]] = {}


class TimingRecord(msgspec.Struct, frozen=True, kw_only=True, rename={"breakdown": "evidence"}):
    """What was measured of one step: a latency record per variant and batch size, costs, and a breakdown.

    `notes` say what the pattern of pruning gains here, in sentences.
    """

    format: int = FORMAT
    step: Count
    latencies: tuple[LatencyRecord, ...]
    original: Costs | None = None
    pruned: Costs | None = None
    breakdown: Breakdown | None = None
    sparse_layers: tuple[SparseLayer, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        variants = ", ".join(dict.fromkeys(each.variant for each in self.latencies))
        sizes = ", ".join(map(str, dict.fromkeys(each.batch_size for each in self.latencies)))
        return f"TimingRecord(step {self.step}: {variants} at batch {sizes})"

    def _repr_html_(self) -> str:
        return html(self)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, the versions and the seed that a run was computed with; `precision` is that of products of fp32 on a
    GPU, fp32 or tf32, and empty elsewhere and where an earlier version did not tell."""

    format: int = FORMAT
    seed: int
    device: str
    hardware: str
    threads: int
    platform: str
    python: str
    versions: dict[str, str]
    deterministic: bool = False
    precision: str = ""
    cores: int = 0
    governor: str = ""
    driver: str = ""
    devices: int = 1
