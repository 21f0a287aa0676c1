"""TensorBoard: event files in `RUNS/tensorboard/KEY`, which its program finds in `--logdir RUNS/tensorboard`."""

from __future__ import annotations

from typing import Any

from prunebench.tracking.lines import Figures, Setting
from prunebench.tracking.trackers import State, Told, Tracker, trackers

FOLDER = "tensorboard"


class Events:
    """One run's event files. Going on, lines after the last that is known are declared void, which readers obey."""

    def __init__(self, told: Told) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(told.root / FOLDER / told.run), purge_step=told.last + 1)
        if told.last < 0:
            self._hparams(dict(told.settings))
            text = "\n".join(f"- {name}: `{value}`" for name, value in told.tags.items())
            self._writer.add_text("run", text, 0)
        self._writer.flush()

    def tell(self, line: int, figures: Figures) -> None:
        """Append a line to the file."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, line)
        self._writer.flush()

    def close(self, state: State) -> None:
        """Close the file."""
        self._writer.close()

    def _hparams(self, settings: dict[str, Setting]) -> None:
        """The settings as the plugin of that name reads them; `add_hparams` would make a run of its own of them."""
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(settings, {"test/top1": 0.0}):
            self._writer.file_writer.add_summary(summary)


trackers.add(
    "tensorboard", Tracker("tensorboard", f"event files in RUNS/{FOLDER}", Events, ("tensorboard",), "tensorboard")
)
