"""Paths become results: matrices, runs with their timings, and both together without anything twice."""

from __future__ import annotations

import logging

import pytest

from prunebench.errors import DataError, RunError
from prunebench.plots.sources import gather
from prunebench.records import LatencyRecord, Scores, TimingRecord
from prunebench.results.matrices import write_steps
from prunebench.runs.index import identify
from prunebench.runs.run import Run


def with_loss(step, loss):
    """All scores of a step, with a loss that grows by so much in each."""
    scores = Scores.of(top1=(340 - step, 360), loss=(360 * loss * (step + 1), 360))
    return dict.fromkeys(("test_before", "train_before", "test_after", "train_after"), scores)


@pytest.fixture
def pruned(make_record, commit):
    """Makes a structured run of three steps, with a loss that grows by `loss` in each; keywords replace settings."""

    def make(root, changed="", steps=3, loss=None, **settings):
        config = {"model": "tiny", "dataset": "digits", "method": "structured", "criterion": "l2", "fraction": 0.1}
        config |= {"seed": 0, "include": [], **settings}
        run = Run(root, identify("prune", config, config, {"model": changed}))
        about = {"run": run.key, "seed": config["seed"]}
        commit(run, *(make_record(step, **about, **(with_loss(step, loss) if loss else {})) for step in range(steps)))
        return run

    return make


@pytest.fixture
def timed(commit):
    """Makes a run that timed step 2 of a run, or of nothing."""

    def make(root, config, source=None):
        run = Run(root, identify("efficiency", {**config, "backend": "eager"}, config, {}, source))
        latencies = tuple(
            LatencyRecord(
                **{"run": source, "model": "tiny", "method": "structured", "step": 2, "nominal_left": 0.81},
                **{"variant": variant, "batch_size": 4, "device": "cpu", "dtype": "fp32", "threads": 2},
                samples_ms=(ms, ms + 1, ms + 2),
            )
            for variant, ms in (("original", 9.0), ("masked", 10.0), ("pruned", 4.0))
        )
        commit(run, TimingRecord(step=2, latencies=latencies))
        return run

    return make


def test_a_folder_of_runs_has_seeds_counts_and_times(pruned, timed, tmp_path):
    runs = [pruned(tmp_path, seed=seed) for seed in (0, 1)]
    timed(tmp_path, runs[0].manifest.config, runs[0].key)
    found = gather([tmp_path])
    assert sorted(curve.seed for curve in found.curves) == [0, 1]
    assert all("latency@4" in curve.axes for curve in found.curves)
    assert found.curves[0].settings == found.curves[1].settings
    assert "include" not in found.curves[0].settings
    (counts,) = found.counts
    assert counts.left == pytest.approx((1, 0.9, 0.81))
    assert (counts.masked, counts.actual) == ((10_000, 9000, 8100), (10_000, 8100, 6561))
    (times,) = found.times
    assert (times.left, times.backend, times.batch_sizes) == (0.81, "eager", (4,))
    assert times.ms == {"original": (10,), "masked": (11,), "pruned": (5,)}
    assert times.settings == counts.settings


def test_one_run_has_its_own_timings_and_no_others(pruned, timed, tmp_path):
    mine, other = pruned(tmp_path), pruned(tmp_path, fraction=0.2)
    timed(tmp_path, other.manifest.config, other.key)
    assert gather([mine.folder]).times == ()
    found = gather([other.folder])
    assert [curve.name for curve in found.curves] == [other.key]
    assert len(found.times) == 1


def test_timings_of_untrained_weights_are_results_too(timed, tmp_path):
    config = {"model": "tiny", "dataset": "digits", "method": "structured", "seed": 0}
    run = timed(tmp_path, config)
    for path in (tmp_path, run.folder):
        found = gather([path])
        assert found.curves == ()
        assert found.times[0].settings == {"model": "tiny", "dataset": "digits", "method": "structured"}


def test_a_run_and_its_matrices_are_one(pruned, tmp_path):
    run = pruned(tmp_path / "runs", seed=3)
    write_steps(run, run.records(), tmp_path / "performance")
    (alone,) = gather([tmp_path / "performance"]).curves
    found = gather([tmp_path / "performance", tmp_path / "runs"])
    (curve,) = found.curves
    assert curve.settings == alone.settings
    assert (curve.seed, alone.seed) == (3, 3)
    assert len(found.counts) == 1
    assert curve.after == pytest.approx(alone.after)


def test_of_runs_with_the_same_settings_and_seed_the_newest_is_taken(pruned, tmp_path, caplog):
    first, second = pruned(tmp_path), pruned(tmp_path, changed="x")
    times = [path.stat().st_mtime for path in (first.folder / "run.json", second.folder / "run.json")]
    newest = second if times[1] > times[0] or second.key > first.key else first
    with caplog.at_level(logging.WARNING, "prunebench"):
        (curve,) = gather([tmp_path]).curves
    assert curve.name == newest.key
    assert "same settings and seed" in caplog.text


def test_of_a_metric_that_is_named_the_curves_are_those_of_runs_alone(pruned, tmp_path):
    run = pruned(tmp_path / "runs", loss=0.5)
    write_steps(run, run.records(), tmp_path / "performance")
    found = gather([tmp_path / "runs", tmp_path / "performance"], "loss")
    (curve,) = found.curves
    assert (curve.metric.name, curve.after) == ("loss", (0.5, 1.0, 1.5))
    assert gather([tmp_path / "performance"], "loss").curves == ()
    assert found.counts == gather([tmp_path / "runs"]).counts
    with pytest.raises(RunError, match="has not recorded top5; it has: top1, loss"):
        gather([run.folder], "top5")


def test_the_matrices_of_an_older_version_and_its_run_are_one(pruned, tmp_path):
    run = pruned(tmp_path / "runs", model_arg=[])
    (path, *_) = write_steps(run, run.records(), tmp_path / "performance")
    path.write_text(path.read_text().replace("dataset=digits", "dataset=digits stem=standard"))
    assert "stem=standard" in path.read_text()
    assert len(gather([tmp_path / "performance", tmp_path / "runs"]).curves) == 1
    small = pruned(tmp_path / "small", model_arg=["stem=small"], include=["conv*"])
    write_steps(small, small.records(), tmp_path / "text")
    found = gather([tmp_path / "text", tmp_path / "small"])
    (curve,), (counts,) = found.curves, found.counts
    assert curve.settings == counts.settings
    assert (curve.settings["model_arg"], curve.settings["include"]) == (["stem=small"], ["conv*"])


def test_a_folder_may_hold_matrices_and_runs(pruned, tmp_path):
    pruned(tmp_path)
    (tmp_path / "vgg16_unstructured_performance.txt").write_text("100 50\n1 1\n1 1\n1 1\n1 1\n")
    assert {curve.settings["model"] for curve in gather([tmp_path]).curves} == {"tiny", "vgg16"}


def test_a_path_that_holds_nothing_is_an_error_that_says_where_something_is(pruned, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        gather([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no runs with a finished step. `prunebench prune` makes both"):
        gather([tmp_path / "empty"])
    pruned(tmp_path / "runs")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a_none_performance.txt").touch()
    with pytest.raises(DataError, match=r"Name one of: \S+/old, \S+/runs\."):
        gather([tmp_path])


def test_a_run_that_pruned_nothing_is_an_error_where_it_is_named(pruned, tmp_path):
    run = pruned(tmp_path, steps=1)
    with pytest.raises(RunError, match="pruned nothing"):
        gather([run.folder])
    assert gather([tmp_path]).curves == ()


def test_a_damaged_run_is_passed_over_in_a_folder_and_an_error_where_it_is_named(pruned, tmp_path, caplog):
    good, bad = pruned(tmp_path), pruned(tmp_path, seed=1)
    (bad.folder / "run.json").write_text("{")
    with caplog.at_level(logging.WARNING, "prunebench"):
        assert [curve.name for curve in gather([tmp_path]).curves] == [good.key]
    assert "passed over" in caplog.text
    with pytest.raises(RunError):
        gather([bad.folder])
