"""What settings ask for reaches a method as it was meant, or is refused."""

from __future__ import annotations

import pytest

from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.resolve import resolve
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.requests import layer_fractions, request_of

IMAGES = InputSpec(kind="images", size=32)


def asked(**given):
    experiment = resolve(RunConfig(model="alexnet", **given))
    return request_of(experiment.settings, experiment.method, IMAGES, experiment.model.keeps, criterion=None)


def test_a_fraction_of_its_own_is_a_glob_and_a_number():
    assert layer_fractions(("layer4.*=0.3", "a=b=0")) == (("layer4.*", 0.3), ("a=b", 0.0))


@pytest.mark.parametrize("text", ["layer4", "=0.3", "layer4=", "layer4=1", "layer4=-0.1", "layer4=nan", "layer4=x"])
def test_what_is_no_fraction_of_its_own_is_refused(text):
    with pytest.raises(ConfigError, match="expected a glob of modules"):
        layer_fractions((text,))


def test_the_last_glob_that_matches_counts():
    request = asked(fraction=0.1, layer_fraction=("features=0.2", "features.3=0.5"))
    assert [request.fraction_of(names) for names in (["features.0"], ["features.3"], ["classifier"])] == [0.2, 0.5, 0.1]
    assert request.fraction_of(["classifier", "features.3"]) == 0.5


def test_the_share_of_several_steps_is_of_what_each_has_left():
    assert asked(fraction=0.1).share(2) == pytest.approx(0.19)


def test_what_a_model_keeps_is_kept_where_units_go():
    assert asked(method="structured").keeps == ("classifier",)
    assert asked(method="unstructured").keeps == ()


def test_how_weights_or_units_are_ranked_is_asked_of_each_method():
    assert asked(method="unstructured", scope="layerwise", targets="all").scope == "layerwise"
    assert asked(method="structured").scope is None
    given = {"scope": "global-units", "by": "macs", "group_reduction": "norm", "group_normalisation": "max"}
    request = asked(method="structured", **given)
    assert {name: getattr(request, name) for name in given} == given


def test_settings_of_units_reach_the_method():
    request = asked(prune=("heads", "neurons"), floor=0.25, through_norms=True, round_to=8)
    assert (request.kinds, request.floor, request.through_norms, request.round_to) == (
        ("heads", "neurons"),
        0.25,
        True,
        8,
    )
