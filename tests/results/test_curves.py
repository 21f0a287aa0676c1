"""Curves: columns of what was recorded, over axes that are shares of the unpruned model."""

from __future__ import annotations

from math import isnan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.config import RunConfig
from prunebench.errors import RunError
from prunebench.experiment.existing import efficiency_run
from prunebench.experiment.resolve import resolve
from prunebench.records import LatencyRecord, Scores, TimingRecord
from prunebench.results.curves import (
    axis_title,
    by_settings,
    curve_of,
    curves_of,
    differing,
    labels,
    latency_axis,
    milliseconds,
    timed_alike,
    unpruned,
)
from prunebench.runs.index import all_runs


@pytest.fixture
def made(tmp_path, make_record, commit):
    """Makes a pruning run of two steps; `settings` are its config's, `about` says what of a record to replace."""

    def make(about=lambda record: {}, **settings):
        experiment = resolve(RunConfig(**{"model": "resnet18", **settings}, runs_dir=str(tmp_path)))
        run, seed = experiment.run, experiment.settings.seed
        records = [make_record(step, run=run.key, seed=seed) for step in range(3)]
        commit(run, *(msgspec.structs.replace(record, **about(record)) for record in records))
        return experiment, run

    return make


def timing(step, variants, batch_size=1, backend="eager", dtype="fp32"):
    """A step's timings: variant → milliseconds of every round."""
    return TimingRecord(
        step=step,
        latencies=tuple(
            LatencyRecord(
                run=None,
                model="resnet18",
                method="structured",
                step=step,
                nominal_left=0.9**step,
                variant=variant,
                batch_size=batch_size,
                device="cpu",
                dtype=dtype,
                threads=1,
                samples_ms=(ms,) * 6,
                backend=backend,
            )
            for variant, ms in variants.items()
        ),
    )


def test_a_curve_holds_what_was_recorded_of_every_step(made):
    _, run = made()
    curve, records = curve_of(run), run.records()
    assert curve.steps == (0, 1, 2)
    assert curve.after == tuple(record.test_after.top1 for record in records)
    assert curve.before == tuple(record.test_before.top1 for record in records)
    assert curve.axes["params"] == tuple(record.params / records[0].params for record in records)
    assert curve.axes["macs"] == tuple(record.macs / records[0].macs for record in records)
    assert curve.axes["units"] == (1.0, 0.9, 0.81)
    assert curve.axes["left"] == (1.0, 0.9, 0.9**2)
    assert "seed" not in curve.settings
    assert (curve.at(2), curve.at(3)) == (2, None)


def lost(record):
    """A loss of 3 nats before and 1 nat after fine-tuning, and a tenth more a step; half as much on training data."""

    def scores(loss, of):
        return Scores.of(top1=(of.correct, of.total), loss=(loss * of.total, of.total))

    loss = 1 + record.step / 10
    return {
        "test_before": scores(3 * loss, record.test_before),
        "train_before": scores(1.5 * loss, record.train_before),
        "test_after": scores(loss, record.test_after),
        "train_after": scores(loss / 2, record.train_after),
    }


def test_a_curve_is_of_the_main_metric_or_of_another_that_was_counted(made):
    _, run = made(lost)
    assert (curve_of(run).metric.name, curve_of(run).after) == ("top1", curve_of(run, metric="top1").after)
    curve = curve_of(run, metric="loss")
    assert (curve.metric.name, curve.metric.higher_is_better) == ("loss", False)
    assert curve.after == pytest.approx((1, 1.1, 1.2))
    assert curve.before == pytest.approx((3, 3.3, 3.6))
    assert curve.train_after == pytest.approx((0.5, 0.55, 0.6))
    assert curve.train_before == pytest.approx((1.5, 1.65, 1.8))
    assert curve.tested == curve_of(run).tested == (360,) * 3
    assert curve.axes == curve_of(run).axes


def test_curves_of_a_metric_that_a_run_has_not_counted_are_refused(made):
    _, run = made()
    with pytest.raises(RunError, match=f"Run {run.key} has not recorded loss; it has: top1"):
        curves_of([run], [run], "loss")


def test_latency_is_a_share_of_the_originals_and_unknown_where_it_was_not_timed(made):
    _, run = made()
    timed = [timing(2, {"original": 8.0, "masked": 9.0, "pruned": 2.0})]
    curve = curve_of(run, {"eager": timed, "openvino": [timing(1, {"original": 4.0, "pruned": 3.0}, 16, "openvino")]})
    shares = curve.axes["latency@1"]
    assert (shares[0], shares[2]) == (1.0, 0.25)
    assert isnan(shares[1])
    assert curve.axes["latency@16 openvino"][1] == 0.75
    assert milliseconds([curve], "latency@1") == {unpruned(curve): 8.0}
    assert milliseconds([curve], "latency@16 openvino") == {unpruned(curve): 4.0}


def test_milliseconds_are_those_of_the_unpruned_model_over_all_its_measurements(made):
    _, run = made()
    slow = curve_of(run, {"eager": [timing(step, {"original": 8.0 * step, "pruned": 2.0}) for step in (1, 2)]})
    fast = curve_of(run, {"eager": [timing(1, {"original": 1.0, "pruned": 0.5})]})
    assert milliseconds([slow, fast], "latency@1") == {unpruned(fast): 8.0}
    assert milliseconds([slow, fast], "latency@4") == {}


def test_where_layers_are_stored_compressed_that_is_the_time_that_counts(made):
    _, run = made(method="unstructured")
    curve = curve_of(run, {"eager": [timing(1, {"original": 8.0, "pruned": 8.0, "sparse": 4.0})]})
    assert curve.axes["latency@1"][1] == 0.5


def test_runs_of_other_seeds_and_criteria_of_structured_pruning_take_as_long(made, tmp_path, here):
    experiment, first = made()
    for about in ({"seed": 1}, {"criterion": "random"}, {"fraction": 0.3}):
        made(**about)
    into = efficiency_run(experiment, {"backend": "eager", "dtype": "fp32"}, first)
    with into.working(here):
        into.commit(timing(1, {"original": 8.0, "pruned": 4.0}), lambda folder: None)
    every = all_runs(tmp_path)
    found = {
        (curve.seed, curve.settings["criterion"], curve.settings["fraction"]): "latency@1" in curve.axes
        for curve in curves_of([run for run in every if run.manifest.kind == "prune"], every)
    }
    assert found == {(0, "l2", 0.1): True, (1, "l2", 0.1): True, (0, "random", 0.1): True, (0, "l2", 0.3): False}


def test_masks_of_another_criterion_may_take_another_time(made):
    _, one = made(method="unstructured")
    _, other = made(method="unstructured", criterion="random")
    _, seed = made(method="unstructured", seed=3)
    assert timed_alike(one) == timed_alike(seed) != timed_alike(other)


def test_a_model_that_lost_blocks_takes_as_long_as_no_other_since_weights_decide_which_go(made):
    _, one = made(method="depth")
    _, seed = made(method="depth", seed=3)
    assert timed_alike(one) == timed_alike(one) != timed_alike(seed)


@pytest.mark.parametrize("scope", ["global", "isomorphic", "lamp"])
def test_where_units_of_several_layers_compete_a_model_takes_as_long_as_no_other(made, scope):
    _, one = made(scope=scope)
    _, seed = made(scope=scope, seed=3)
    assert timed_alike(one) == timed_alike(one) != timed_alike(seed)
    assert timed_alike(made(scope="layerwise")[1]) == timed_alike(made(seed=3)[1])


def test_curves_that_differ_in_their_seed_alone_are_together_by_seed(made):
    curves = [curve_of(made(seed=seed, fraction=fraction)[1]) for seed in (2, 0, 1) for fraction in (0.1, 0.2)]
    groups = by_settings(curves)
    assert [[curve.seed for curve in group] for group in groups] == [[0, 1, 2], [0, 1, 2]]
    assert differing([group[0].settings for group in groups]) == ["fraction"]


def test_groups_are_named_by_what_tells_them_apart(made):
    made_of = [{"criterion": "l2"}, {"criterion": "random"}, {"method": "none"}, {"method": "none", "lr": 0.5}]
    found = labels([curve_of(made(**about)[1]).settings for about in made_of])
    assert found == ["structured l2", "structured random", "dense, same epochs lr=0.002", "dense, same epochs lr=0.5"]


SETTINGS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["a", "b"]),
        "method": st.sampled_from(["structured", "none"]),
        "fraction": st.sampled_from([0.1, 0.2]),
        "lr": st.sampled_from([1, 2]),
    }
)


@given(st.lists(SETTINGS, min_size=1, max_size=6, unique_by=lambda settings: repr(sorted(settings.items()))))
def test_no_two_groups_have_one_name(groups):
    assert len(set(labels(groups))) == len(groups)


def test_axes_have_titles(made):
    assert axis_title("macs") == "MACs left"
    assert axis_title(latency_axis("eager", 4)) == "measured latency left, batch 4"
    assert axis_title(latency_axis("openvino, bf16", 1)) == "measured latency left, batch 1, openvino, bf16"


@pytest.fixture
def head(tmp_path):
    """A config of a first phase of training."""
    (tmp_path / "head.toml").write_text("epochs = 1\nfreeze = true\n", encoding="utf-8")
    return str(tmp_path / "head.toml")


def test_seeds_whose_training_had_two_phases_are_one_group(made, head, tmp_path):
    runs = [made(weights=head, seed=seed)[1] for seed in range(3)]
    assert len({run.manifest.config["weights"] for run in runs}) == 3
    assert [len(group) for group in by_settings(map(curve_of, runs))] == [3]
    (label,) = {repr(labels([curve_of(run).settings])) for run in runs}
    assert "any" not in label
    assert len({timed_alike(run) for run in runs}) == 1
    (tmp_path / "head.toml").write_text("epochs = 2\nfreeze = true\n", encoding="utf-8")
    other = made(weights=head)[1]
    assert [len(group) for group in by_settings(map(curve_of, [*runs, other]))] == [3, 1]


def test_batch_sizes_that_were_timed_one_after_the_other_are_all_there(made, tmp_path, here):
    experiment, run = made()
    for size, ms in ((1, 4.0), (16, 2.0)):
        into = efficiency_run(experiment, {"batch_sizes": [size]}, run)
        with into.working(here):
            into.commit(timing(1, {"original": 8.0, "pruned": ms}, size), lambda folder: None)
    (curve,) = curves_of([run], all_runs(tmp_path))
    assert (curve.axes["latency@1"][1], curve.axes["latency@16"][1]) == (0.5, 0.25)


def test_of_a_batch_size_that_was_timed_twice_the_newer_times_count(made, tmp_path, here):
    experiment, run = made()
    for budget, ms, step in ((9, 4.0, 1), (10, 2.0, 1), (10, 1.0, 2)):
        into = efficiency_run(experiment, {"time_budget": budget}, run)
        with into.working(here):
            into.commit(timing(step, {"original": 8.0, "pruned": ms}), lambda folder: None)
    every = sorted(all_runs(tmp_path), key=lambda found: found.manifest.config.get("time_budget") == 9)
    (curve,) = curves_of([run], every)
    assert curve.axes["latency@1"] == (1.0, 0.25, 0.125)
    (curve,) = curves_of([run], every[::-1])
    assert curve.axes["latency@1"] == (1.0, 0.5, 0.125)


def test_models_of_other_sizes_take_other_times(made):
    small, large = (made(image_size=size)[1] for size in (32, 64))
    curves = [
        curve_of(run, {"eager": [timing(1, {"original": ms, "pruned": ms / 2})]})
        for run, ms in ((small, 10.0), (large, 400.0))
    ]
    assert milliseconds(curves, "latency@1") == {unpruned(curves[0]): 10.0, unpruned(curves[1]): 400.0}
