"""MLflow keeps each line once, with the run's settings, and how it ended."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from prunebench.tracking.trackers import Told, trackers

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and of what it imports

TAGS = {"run": "net-dense-1", "folder": "/there", "kind": "train"}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What is told of a run, in a folder that MLflow keeps runs in: to make the tables of a file takes seconds."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return Told("net-dense-1", "2026", Path("there"), tmp_path, {"lr": 0.1}, TAGS)


def runs():
    """The runs, and the client."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("prunebench")
    return client.search_runs([experiment.experiment_id]), client


def tell(told, *lines, state="finished"):
    """Open a run, tell it lines, and close it; returns the last line that it had."""
    run = trackers.get("mlflow").open(told)
    for line in lines:
        run.tell(line, {"fit/epoch": line, "fit/loss": line / 2})
    run.close(state)
    return run.last


def test_a_run_that_goes_on_is_the_same_and_knows_its_last_line(told):
    environment = dict(os.environ)
    assert tell(told, 0, 1, state="stopped") == -1
    assert tell(told, 2) == 1  # though nobody has noted it
    (run,), client = runs()
    history = client.get_metric_history(run.info.run_id, "fit/loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert (run.info.run_name, run.info.status) == ("net-dense-1", "FINISHED")
    assert run.data.params == {"lr": "0.1"}
    assert run.data.tags["prunebench.folder"] == "/there"
    assert dict(os.environ) == environment


def test_a_run_of_the_same_key_that_was_begun_later_is_another(told):
    tell(told, 0, state="failed")
    assert tell(replace(told, created="2027"), 0) == -1
    assert sorted(run.info.status for run in runs()[0]) == ["FAILED", "FINISHED"]


@pytest.mark.slow
def test_without_a_server_runs_are_kept_in_a_file_beside_them(told, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    tell(told, 0)
    assert tell(told, 1) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,), _ = runs()
    assert run.data.metrics["fit/loss"] == 0.5


@pytest.mark.slow
def test_a_server_that_is_gone_is_not_waited_for_long(told, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(Exception, match="Max retries exceeded"):
        tell(told, 0)
