"""What models of libraries share: names that they list, and arguments that reach nothing but a builder."""

from __future__ import annotations

import pytest

from prunebench.errors import ConfigError, UnknownName
from prunebench.models.libraries import DATA, WEIGHTS, check_arguments, check_name, matching, torch_hub_file

REFUSED = {**DATA, "pretrained*": WEIGHTS}


def test_a_name_that_is_not_listed_is_refused_with_the_nearest():
    check_name("lib", "resnet18", ["resnet18", "vgg11"])
    with pytest.raises(UnknownName, match=r"lib has no classification model 'resnet81'. Did you mean lib:resnet18\?"):
        check_name("lib", "resnet81", ["resnet18", "vgg11"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pretrained_cfg": "x"}, "--model-arg pretrained_cfg: weights are chosen by --weights"),
        ({"img_size": 96}, "--model-arg img_size: give --image-size"),
        ({"act": "/etc/passwd"}, "takes numbers and single words"),
        ({"act": "https://there"}, "takes numbers and single words"),
    ],
)
def test_what_would_load_something_or_data_decides_is_no_argument(given, message):
    with pytest.raises(ConfigError, match=message):
        check_arguments(given, REFUSED)


def test_numbers_and_single_words_are_arguments():
    check_arguments({"depth": 3, "drop": 0.1, "act": "gelu_new", "pool": True}, REFUSED)


def test_names_that_fit_a_glob_are_sorted():
    assert matching(["vit_b", "resnet", "vit_a"], "vit*") == ["vit_a", "vit_b"]


def test_files_of_torch_hub_lie_under_their_last_name(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert torch_hub_file("https://there/a/b.pth") == tmp_path / "hub" / "checkpoints" / "b.pth"
