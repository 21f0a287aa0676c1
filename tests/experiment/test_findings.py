"""What the structure of a registered model decides is found once per process; a user's own is looked at each time."""

from __future__ import annotations

import pytest
from torch import nn

from prunebench.experiment import findings
from prunebench.experiment.findings import once
from prunebench.models.architecture import Architecture
from prunebench.models.input_spec import InputSpec

IMAGES = InputSpec(kind="images", size=32)


@pytest.fixture
def found(monkeypatch):
    """Counts how often something is found; nothing was before."""
    monkeypatch.setattr(findings, "_found", {})
    times = []

    def find():
        times.append(1)
        return len(times)

    return find


def test_the_same_architecture_is_asked_once_for_each_thing(found):
    small, large = (Architecture("resnet18", {"classes": classes}, IMAGES) for classes in (2, 10))
    assert [once(small, "a", found), once(small, "a", found), once(small, "b", found)] == [1, 1, 2]
    assert [once(large, "a", found), once(small, "a", found)] == [3, 1]


def test_a_model_that_lost_units_or_blocks_is_another(found):
    architecture, sizes = Architecture("resnet18", {}, IMAGES), (4, 3, 4)
    assert [once(architecture, "a", found, nn.Linear(4, size)) for size in sizes] == [1, 2, 1]
    assert once(architecture, "a", found, nn.Sequential(nn.Linear(4, 4))) == 3


def test_a_model_of_the_users_is_looked_at_each_time(found):
    mine = Architecture("net.py:build", {}, IMAGES)
    assert [once(mine, "a", found), once(mine, "a", found)] == [1, 2]


def test_the_oldest_findings_go(found):
    architecture = Architecture("resnet18", {}, IMAGES)
    for what in range(findings.MOST + 1):
        once(architecture, what, found)
    assert len(findings._found) == findings.MOST
    assert once(architecture, findings.MOST, found) == findings.MOST + 1
    assert once(architecture, 0, found) == findings.MOST + 2
