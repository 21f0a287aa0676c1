"""MLflow: runs of an experiment on the server that MLFLOW_TRACKING_URI names, else in `RUNS/mlflow.db`.

The experiment is that of MLFLOW_EXPERIMENT_NAME, else `prunebench`. No global state of MLflow is used, so a run and the
dense run inside it are told of side by side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prunebench.tracking.lines import Figures
from prunebench.tracking.trackers import State, Told, Tracker, trackers

FILE = "mlflow.db"

LAST = "prunebench.last_line"

ENDS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""How long a server that is gone is waited for, unless the user has said so: MLflow's own is minutes, for each line."""

LETTERS = 6000
"""Of a parameter, MLflow keeps at most."""


class Client:
    """One run at a server, or in a file."""

    def __init__(self, told: Told) -> None:
        from mlflow import MlflowClient

        with _impatient():
            uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(told.root / FILE).absolute()}"
            self._client: Any = MlflowClient(tracking_uri=uri)
            experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or "prunebench")
            found = self._found(experiment, told)
            if found is None:
                tags = {f"prunebench.{name}": value for name, value in told.tags.items()}
                about = {"prunebench.created": told.created, LAST: "-1"}
                found = self._client.create_run(experiment, run_name=told.run, tags=tags | about)
                self._params(found.info.run_id, told)
            else:
                self._client.update_run(found.info.run_id, status="RUNNING")
        self._id = found.info.run_id
        self.last = int(found.data.tags.get(LAST, "-1"))

    def tell(self, line: int, figures: Figures) -> None:
        """Log a line, and that it was the last."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, line) for name, value in figures.items()]
        with _impatient():
            self._client.log_batch(self._id, metrics=metrics, tags=[RunTag(LAST, str(line))])

    def close(self, state: State) -> None:
        """Say how it ended."""
        with _impatient():
            self._client.set_terminated(self._id, ENDS[state])

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        try:
            return str(found.experiment_id if found else self._client.create_experiment(name))
        except MlflowException:  # another process of a study has just made it
            return str(self._client.get_experiment_by_name(name).experiment_id)

    def _found(self, experiment: str, told: Told) -> Any:
        """The run as MLflow has it; None where it has none."""
        asked = f"tags.`prunebench.run` = '{told.run}' and tags.`prunebench.created` = '{told.created}'"
        return next(iter(self._client.search_runs([experiment], asked, max_results=1)), None)

    def _params(self, run: str, told: Told) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)[:LETTERS]) for name, value in told.settings.items()]
        for first in range(0, len(params), 100):  # as many as the server takes at once
            self._client.log_batch(run, params=params[first : first + 100])


@contextmanager
def _impatient() -> Iterator[None]:
    """Within it, a server that is gone is not waited for long; the process's environment is the caller's."""
    mine = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


trackers.add("mlflow", Tracker("mlflow", f"MLFLOW_TRACKING_URI, else RUNS/{FILE}", Client, ("mlflow",), "mlflow"))
