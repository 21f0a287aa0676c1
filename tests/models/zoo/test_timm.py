"""timm's models by name: what timm says of them, without building them; what a name or an argument cannot reach."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import timm
import torch

from prunebench import load
from prunebench.errors import ConfigError, ModelError, PrunebenchError, UnknownName
from prunebench.models.architecture import Architecture, arguments_told, models
from prunebench.models.checkpoint import Checkpoint, save
from prunebench.models.input_spec import InputSpec, check_forward, output_of
from prunebench.models.zoo import timm as entries

TINY = [
    ("resnet10t", 32),
    ("vit_tiny_patch16_224", 32),
    ("mixer_s32_224", 32),
    ("mobilenetv3_small_050.lamb_in1k", 32),
    ("convnext_atto", 32),
]


def entry_of(name):
    return models.get(f"timm:{name}")


def built(name, size=32, **given):
    arguments = {"classes": 3, "channels": 3, "image_size": size, "adapt": True, "config": {}, "given": given}
    inputs = InputSpec(kind="images", size=size)
    return Architecture(f"timm:{name}", arguments, inputs).build().eval()


@pytest.fixture
def nothing_is_built(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a model was built")

    monkeypatch.setattr(timm, "create_model", refuse)


@pytest.mark.usefixtures("nothing_is_built", "no_network")
def test_sizes_and_normalisation_of_every_model_are_those_that_timm_says():
    names = [*timm.list_models(), *timm.list_models(pretrained=True)]
    assert len(names) > 2000
    for name in names:
        said, entry = timm.get_pretrained_cfg(name), entry_of(name)
        published = entry.published["default"]
        assert said.input_size == (3, entry.defaults["image_size"], said.input_size[2]), name
        assert published.statistics() == (tuple(said.mean), tuple(said.std)), name
        assert published.evaluation() == (said.crop_pct, said.interpolation), name
        assert published.version() == (None if "." in name else said.tag or ""), name
        heads = said.classifier or ()
        assert entry.library.heads() == ((heads,) if isinstance(heads, str) else tuple(heads)), name


@pytest.mark.parametrize(("name", "size"), TINY)
def test_a_model_is_built_for_the_size_and_the_classes_that_are_asked_for(name, size):
    model = built(name, size)
    assert output_of(model, torch.zeros(2, 3, size, size)).shape == (2, 3)
    bare = timm.create_model(name.partition(".")[0], num_classes=3, **({"img_size": size} if "_224" in name else {}))
    shapes = {key: value.shape for key, value in bare.state_dict().items()}
    assert {key: value.shape for key, value in model.state_dict().items()} == shapes


def test_a_size_that_it_does_not_run_at_is_told_with_the_one_that_it_is_made_for():
    entry, inputs = entry_of("vgg11"), InputSpec(kind="images", size=8)
    with pytest.raises(ModelError, match=r"^timm:vgg11 does not run on 8×8 .* is made for 224×224 .*--image-size 224"):
        check_forward(built("vgg11", 8), inputs, lambda shape: "", "timm:vgg11", entry.hint(8))
    with pytest.raises(ModelError, match=r"cannot be built for 30×30 .*It is made for 224×224 images: give --image-"):
        built("xcit_nano_12_p16_224", 30)
    assert entry.hint(224) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("hf-hub:timm/resnet18", "hf_hub:timm/resnet18", "local-dir:/tmp", "/tmp/model.pth", "../resnet18", ""),
        *("resnet18.", "resnet18.a1_in1k/..", "resnet18.nothing", "timm/resnet18", "ResNet18", "resnet18\n"),
    ],
)
@pytest.mark.usefixtures("no_network", "nothing_is_built")
def test_names_that_are_not_of_its_registry_are_refused_before_anything_is_fetched(name):
    with pytest.raises(UnknownName, match=r"^timm has no classification model .*prunebench list --models"):
        _ = entry_of(name).defaults["image_size"]
    with pytest.raises(UnknownName):
        built(name)


def test_the_nearest_name_is_told():
    with pytest.raises(UnknownName, match=r"Did you mean timm:vit_tiny_patch16_224\?"):
        built("vit_tiny_patch16_244")


@pytest.mark.parametrize(
    "argument",
    [
        *("pretrained=true", "checkpoint_path=net.pth", "cache_dir=there", "pretrained_cfg=a1_in1k"),
        *("features_only=true", "pretrained_cfg_overlay=file", "pretrained_strict=false"),
        *("num_classes=3", "in_chans=1"),
        *("img_size=64", "exportable=/x", "scriptable=a:b"),
        *("act_layer=/etc/passwd", "act_layer=http://x", "norm_layer=a.b", "weight_file=x", "model_cls=x"),
    ],
)
@pytest.mark.usefixtures("no_network", "nothing_is_built")
def test_arguments_that_load_something_or_are_the_datas_are_refused(argument):
    entry = entry_of("resnet10t")
    (text,) = arguments_told(entry, [argument])
    name, _, value = text.partition("=")
    with pytest.raises(ConfigError, match=f"^--model-arg {name}") as refused:
        built("resnet10t", **{name: value})
    assert "\n" not in str(refused.value)


def test_arguments_of_its_builders_are_handed_on():
    assert built("resnet10t", drop_rate=0.25).drop_rate == 0.25
    assert isinstance(built("resnet10t", act_layer="silu").layer1[0].act1, torch.nn.SiLU)
    with pytest.raises(ModelError, match=r"^timm:resnet10t cannot be built .*unexpected keyword argument 'nothing'\.$"):
        built("resnet10t", nothing=1)


def test_names_are_searched_with_tags_where_the_pattern_has_a_dot():
    assert "resnet18" in entries.Timm().search("resnet1*")
    assert not any("." in name for name in entries.Timm().search("resnet1*"))
    assert "resnet18.a1_in1k" in entries.Timm().search("resnet18.*")


def test_weights_that_timm_does_not_have_are_refused():
    name = next(each for each in timm.list_models() if not timm.get_pretrained_cfg(each).has_weights)
    with pytest.raises(ConfigError, match=f"timm has none for {name}"):
        entry_of(name).published["default"].here()


WITHOUT = """
import sys
sys.modules["timm"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "timm" else find(name, *more)
from prunebench.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--model", "timm:resnet10t"),
        ("inspect", "--model", "timm:resnet10t"),
        ("list", "--models", "timm:res*"),
    ],
)
def test_where_timm_is_missing_one_line_says_how_to_install_it(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "Error: timm is not installed, which --model timm:NAME needs: install it with: pip install 'prunebench[timm]'"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of a checkpoint of a tiny model."""
    inputs = InputSpec(kind="images", size=32)
    arguments = {"classes": 3, "channels": 3, "image_size": 32, "adapt": True, "config": {}, "given": {}}
    architecture = Architecture("timm:mobilenetv3_small_050", arguments, inputs)
    folder = tmp_path_factory.mktemp("checkpoint")
    save(Checkpoint(architecture, architecture.build().eval(), {}), folder)
    return folder


def test_a_checkpoint_is_loaded_by_its_name(checkpoint):
    assert output_of(load(checkpoint), torch.zeros(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "timm:hf-hub:someone/net"},
        {"model": "timm:local-dir:/etc"},
        {"model": "timm:../../net.pth"},
        {"given": {"pretrained": True}},
        {"given": {"checkpoint_path": "net.pth"}},
        {"given": {"pretrained_cfg": "a1_in1k"}},
        {"given": {"act_layer": "os:system"}},
        {"given": {"num_classes": 3}},
        {"given": {"name": "resnet18"}},
        {"output": "__class__"},
    ],
)
@pytest.mark.usefixtures("no_network")
def test_a_structure_from_elsewhere_reaches_nothing_but_a_builder_of_the_registry(changes, checkpoint, tmp_path):
    structure = json.loads((checkpoint / "structure.json").read_text())
    about = structure["architecture"]
    for name, value in changes.items():
        (about["arguments"] if name == "given" else about)[name] = value
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "structure.json").write_text(json.dumps(structure))
    if "output" in changes:  # it is looked up among tensors alone, and the model returns one
        assert output_of(load(tmp_path), torch.zeros(2, 3, 32, 32)).shape == (2, 3)
        return
    with pytest.raises(PrunebenchError) as refused:
        load(tmp_path)
    assert len(str(refused.value).splitlines()) == 1
