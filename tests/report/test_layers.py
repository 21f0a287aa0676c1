"""Layers of a report: what the last step left of each, models once, and nothing of controls."""

from __future__ import annotations

from prunebench.report.document import document
from prunebench.report.sources import gather


def test_each_group_that_removed_anything_has_its_layers_and_one_model_is_told_once(study):
    found = document(gather(str(study)))
    (model,) = found.models
    assert (model.names, model.outputs, model.weights, model.told) == (("conv1",), (100,), (10_000,), "")
    assert [found.groups[left.group].label for left in found.layers] == ["structured l2", "unstructured l1"]
    assert [(left.step, left.seeds, left.shown) for left in found.layers] == [(2, 3, "outputs"), (2, 3, "weights")]
    assert [(left.outputs, left.weights) for left in found.layers] == [((81,), (6561,))] * 2


def test_controls_alone_have_none(tmp_path, pruned):
    pruned(tmp_path, method="none")
    found = document(gather(str(tmp_path)))
    assert (found.models, found.layers) == ((), ())
