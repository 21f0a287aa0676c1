"""The zoo: what is built, and on what it runs. Weights are random, classes ten; members are small, and so are images.

Images have 64×64 pixels unless a model needs more (the numbers beside the names below); sentences are as long as the
file of kinds says.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from prunebench.models.input_spec import InputSpec

CLASSES = 10
SIZE = 64
LIBRARIES = ("torchvision", "huggingface", "hard", "timm")

TORCHVISION_SIZES = {"inception_v3": 299, "maxvit_t": 224, "vit_h_14": 56}

TIMM = """
vgg vgg11
resnet resnet18
resnext resnext50_32x4d
seresnet seresnet18
ecaresnet ecaresnet26t
res2net res2net50_14w_8s
regnetx regnetx_002
regnety regnety_002
regnetz regnetz_005
resnest resnest14d
sknet skresnet18
densenet densenet121
dpn dpn48b
dla dla46_c
hrnet hrnet_w18_small
inception_v3 inception_v3 96
inception_v4 inception_v4 96
inception_resnet_v2 inception_resnet_v2 96
xception xception41
nasnet nasnetalarge 96
pnasnet pnasnet5large 96
efficientnet efficientnet_b0
efficientnetv2 tf_efficientnetv2_b0
mobilenetv1 mobilenetv1_100
mobilenetv2 mobilenetv2_035
mobilenetv3 mobilenetv3_small_050
mobilenetv4 mobilenetv4_conv_small_035
mnasnet mnasnet_small
fbnet fbnetc_100
ghostnet ghostnet_050
ghostnetv2 ghostnetv2_100
tinynet tinynet_e
hardcorenas hardcorenas_a
spnasnet spnasnet_100
rexnet rexnet_100
selecsls selecsls42
cspresnet cspresnet50
cspdarknet cspdarknet53
darknet darknet17
vovnet ese_vovnet19b_slim
repvgg repvgg_a0
repghost repghostnet_050
mobileone mobileone_s0
fastvit fastvit_t8
starnet starnet_s050
convnext convnext_atto
convnextv2 convnextv2_atto
convmixer convmixer_1024_20_ks9_p14 70
mixer mixer_s32_224 64 img_size
resmlp resmlp_12_224 64 img_size
gmlp gmlp_ti16_224 64 img_size
vit vit_tiny_patch16_224 64 img_size
deit deit_tiny_patch16_224 64 img_size
beit beit_base_patch16_224 64 img_size
eva eva02_tiny_patch14_224 56 img_size
cait cait_xxs24_224 64 img_size
xcit xcit_nano_12_p16_224 64 img_size
levit levit_128s 64 img_size
swin swin_tiny_patch4_window7_224 224
swinv2 swinv2_tiny_window8_256 64 img_size
twins twins_pcpvt_small 64 img_size
pvt_v2 pvt_v2_b0
coat coat_lite_tiny 64 img_size
crossvit crossvit_tiny_240 240
convit convit_tiny 64 img_size
visformer visformer_tiny 64 img_size
tnt tnt_s_patch16_224 64 img_size
pit pit_ti_224 64 img_size
poolformer poolformer_s12
maxvit maxvit_rmlp_pico_rw_256 64 img_size
coatnet coatnet_nano_rw_224 224
mobilevit mobilevit_xxs
mobilevitv2 mobilevitv2_050
edgenext edgenext_xx_small
efficientformer efficientformer_l1 224
efficientvit_mit efficientvit_b0
efficientvit_msra efficientvit_m0 224
nest nest_tiny 64 img_size
sequencer2d sequencer2d_s 64 img_size
focalnet focalnet_tiny_srf
davit davit_tiny
volo volo_d1_224 64 img_size
gcvit gcvit_xxtiny 64 img_size
tresnet tresnet_m
nfnet nf_resnet26
hgnet hgnetv2_b0
inception_next inception_next_atto
nextvit nextvit_small
repvit repvit_m0_9
tiny_vit tiny_vit_5m_224
hiera hiera_tiny_224 64 img_size
"""
"""Family, its member, its image size where that is not 64, and the argument that says it where the builder has one."""


@dataclass(frozen=True)
class Model:
    """One model of a library: its family, its name and what it reads."""

    library: str
    family: str
    name: str
    inputs: InputSpec
    size_argument: str = ""


def images(size: int) -> InputSpec:
    """Images of three channels."""
    return InputSpec(kind="images", size=size)


def models(library: str, hard: Path | None = None, kinds: Path | None = None) -> list[Model]:
    """All models of a library.

    Args:
        hard: a file with MODELS, name → builder, of models that read 8×8 images.
        kinds: a file with M, name → (image size or "text", builder), and V and L, the vocabulary and the length.

    Raises:
        ImportError: the library is not installed.
    """
    if library == "torchvision":
        return list(_torchvision())
    if library == "timm":
        import timm  # noqa: F401

        return list(_timm())
    if library == "hard":
        return [Model(library, name, name, images(8)) for name in _file(hard).MODELS] if hard else []
    return list(_kinds(_file(kinds))) if kinds else []


def _torchvision() -> Iterator[Model]:
    import torchvision

    for name in torchvision.models.list_models(module=torchvision.models):
        family = torchvision.models.get_model_builder(name).__module__.rpartition(".")[2]
        size = "image_size" if family == "vision_transformer" else ""
        yield Model("torchvision", family, name, images(TORCHVISION_SIZES.get(name, SIZE)), size)


def _timm() -> Iterator[Model]:
    for line in TIMM.strip().splitlines():
        family, name, size, argument, *_ = [*line.split(), "", ""]
        yield Model("timm", family, name, images(int(size or SIZE)), argument)


def _kinds(file: ModuleType) -> Iterator[Model]:
    for name, (reads, _) in file.M.items():
        text = InputSpec(kind="text", vocabulary=file.V, length=file.L)
        yield Model("huggingface", name, name, text if reads == "text" else images(reads))


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"zoo_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def builder(model: Model, hard: Path | None = None, kinds: Path | None = None) -> Callable[[], nn.Module]:
    """What builds it with random weights."""
    if model.library == "hard" and hard:
        return _file(hard).MODELS[model.name]  # type: ignore[no-any-return]
    if model.library == "huggingface" and kinds:
        return _file(kinds).M[model.name][1]  # type: ignore[no-any-return]
    arguments: dict[str, Any] = {"num_classes": CLASSES}
    if model.size_argument:
        arguments[model.size_argument] = model.inputs.size
    if model.library == "timm":
        import timm

        return partial(timm.create_model, model.name, pretrained=False, **arguments)
    import torchvision

    if model.name in ("googlenet", "inception_v3"):
        arguments["init_weights"] = False  # it takes a minute, and all weights are drawn anew
    return partial(torchvision.models.get_model, model.name, weights=None, **arguments)


def selected(found: list[Model], only: str, limit: int | None) -> list[Model]:
    """Those whose name or family fits a glob, so many at most."""
    return [m for m in found if fnmatchcase(m.name, only) or fnmatchcase(m.family, only)][:limit]
