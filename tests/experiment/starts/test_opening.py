"""Opening a start: nothing is downloaded where that is refused."""

from __future__ import annotations

import pytest

from prunebench import RunConfig
from prunebench.data.dataset import no_downloads
from prunebench.errors import DownloadNeeded


def test_nothing_is_downloaded_where_that_is_refused(no_network, monkeypatch, tmp_path, started):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for given in ({"model": "resnet18", "weights": "imagenet"}, {"model": "bert", "weights": "no-one/no-such-model"}):
        with no_downloads(), pytest.raises(DownloadNeeded, match="Not on this machine yet"):
            started(RunConfig(**given, limit_train=20, limit_test=10, runs_dir=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
