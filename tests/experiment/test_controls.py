"""A control differs from a run in what is removed, and in nothing else."""

from __future__ import annotations

import pytest

from prunebench.config import RunConfig
from prunebench.experiment.controls import OF_REMOVAL, without_removal
from prunebench.experiment.resolve import resolve


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"method": "unstructured", "criterion": "wanda", "sparsity": 0.9, "exclude": ("fc",)},
        {"scope": "global", "macs": 0.5, "floor": 0.3, "finetune_lr": 0.5, "finetune_updates": 7},
        {"method": "unstructured", "pattern": "2:4", "retrain": "lr-rewind"},
        {"until": ("macs<=0.5",), "iterations": 4},
    ],
)
def test_a_control_is_trained_as_its_run_is_and_loses_nothing(given):
    experiment = resolve(RunConfig(model="resnet18", seed=3, **given))
    control = without_removal(experiment)
    assert not control.method.removes
    assert control.settings.until == ()
    assert control.dense.key == experiment.dense.key
    same = [name for name in experiment.settings.__struct_fields__ if name not in (*OF_REMOVAL, "method", "until")]
    assert [getattr(control.settings, name) for name in same] == [getattr(experiment.settings, name) for name in same]
