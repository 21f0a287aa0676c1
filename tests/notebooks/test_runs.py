"""The runs of a folder are a sequence, and data frames."""

from __future__ import annotations

import math

import pytest

from prunebench import Runs
from prunebench.errors import ConfigError, RunError
from prunebench.notebooks.rows import LATENCIES, STEPS


def test_a_folder_is_the_sequence_of_its_runs(study):
    runs = Runs(study)
    assert len(runs) == 5
    assert {run.manifest.kind for run in runs} == {"train", "prune"}
    assert runs[0].key == next(iter(runs)).key
    assert runs[runs[3].key].key == runs[3].key
    assert [run.key for run in runs[:2]] == [runs[0].key, runs[1].key]
    assert repr(runs) == f"Runs({str(study)!r}: 4 of pruning, 1 of training)"


def test_a_filter_or_a_key_names_some_of_them(study):
    random = Runs(study, "criterion=random")
    assert {run.manifest.config["criterion"] for run in random} == {"random"}
    assert len(random) == 2
    assert [run.key for run in Runs(study, random[0].key)] == [random[0].key]


@pytest.mark.parametrize(("named", "error"), [("colour=red", ConfigError), ("seed=7", RunError), ("other", RunError)])
def test_what_names_nothing_is_refused(named, error, study):
    with pytest.raises(error):
        Runs(study, named)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RunError, match="There is no folder"):
        Runs(tmp_path / "rnus")
    assert len(Runs(tmp_path)) == 0
    assert list(Runs(tmp_path).to_pandas().columns) == list(STEPS)


def test_a_frame_has_a_row_per_step_of_every_run(study):
    frame = Runs(study).to_pandas()
    assert list(frame.columns) == list(STEPS)
    assert len(frame) == 4 * 3 + 1
    assert frame.groupby("run").size().sort_values().tolist() == [1, 3, 3, 3, 3]
    row = frame[(frame.criterion == "l2") & (frame.seed == 1) & (frame.step == 2)].iloc[0]
    assert row.test_after == row.test_top1 == 340 / 360
    assert row.low < row.test_after < row.high
    assert (row.nominal_left, row.units_left, row.test_loss, row.metric) == (0.81, 0.81, 0.25, "top1")
    assert row.params_left == row.nonzero_params / frame[frame.step == 0].nonzero_params.iloc[0]


def test_types_are_those_of_figures_and_what_is_missing_is_nan(study):
    frame = Runs(study).to_pandas()
    assert {name: str(kind) for name, kind in frame.dtypes.items() if STEPS[name] != "str"} == {
        name: kind for name, kind in STEPS.items() if kind != "str"
    }
    assert frame[["effective_macs", "validation", "test_top5", "samples_seen"]].isna().all().all()
    trained = frame[frame.kind == "train"].iloc[0]
    assert all(isinstance(trained[name], float) and math.isnan(trained[name]) for name in ("method", "criterion"))


def test_settings_are_columns_where_they_are_asked_for(study):
    frame = Runs(study, "seed=0").to_pandas("lr", "exclude")
    assert list(frame.columns) == [*STEPS, "lr", "exclude"]
    assert frame.lr.tolist() == [0.01] * 6
    assert set(frame.exclude) == {"fc"}


@pytest.mark.parametrize(("name", "message"), [("learning", "no setting 'learning'"), ("seed", "a column already")])
def test_a_column_that_cannot_be_is_refused(name, message, study):
    with pytest.raises(ConfigError, match=message):
        Runs(study).to_pandas(name)


def test_a_run_that_is_damaged_is_warned_of_and_the_others_are_there(study, caplog):
    damaged = Runs(study, "criterion=l2,seed=0")[0]
    (damaged.folder / "steps" / "001" / "record.json").write_bytes(b"{}")
    frame = Runs(study).to_pandas()
    assert frame.run.nunique() == 4
    assert damaged.key not in set(frame.run)
    assert damaged.key in caplog.text


def test_timings_have_a_frame_of_their_own(tmp_path, made, timed):
    run = made(tmp_path)
    timing = timed(run)
    frame = Runs(tmp_path).latencies_to_pandas()
    assert list(frame.columns) == list(LATENCIES)
    assert frame.variant.tolist() == ["original", "masked", "pruned"]
    assert set(frame.run) == {timing.key}
    assert set(frame.source) == {run.key}
    assert frame.median_ms.tolist() == [8.0, 8.0, 4.0]
    assert frame.speedup.tolist() == [1.0, 1.0, 2.0]
    assert len(Runs(tmp_path).to_pandas()) == 3
