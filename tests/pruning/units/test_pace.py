"""How far finding and proving are is told where they take long, and not before."""

from __future__ import annotations

import torch
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.pruning.units import pace
from prunebench.pruning.units.removable import find_removable


def test_nothing_is_told_for_two_seconds():
    told, now = [], iter([10.0, 11.9, 12.1, 13.0])
    patient = pace.patient(lambda *about: told.append(about), lambda: next(now))
    for done in range(3):
        patient("find units", done, 3)
    assert told == [("find units", 1, 3), ("find units", 2, 3)]


def test_all_that_is_done_is_told_and_never_more_than_there_is(monkeypatch):
    monkeypatch.setattr(pace, "PATIENCE", -1.0)
    told = []
    torch.manual_seed(0)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), *head).eval()
    find_removable(model, InputSpec(kind="images", size=8), pace=lambda *about: told.append(about))
    assert list(dict.fromkeys(what for what, _, _ in told)) == ["find units", "prove that they can go"]
    assert all(0 <= done < total for _, done, total in told)
    assert [done for what, done, _ in told if what == "find units"] == [0, 1, 2]
