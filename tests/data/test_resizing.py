"""How pictures become squares, and which way is chosen."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from prunebench.data.image_files import Seen
from prunebench.data.resizing import Resizing, chosen
from prunebench.errors import DataError

DRAW = np.random.default_rng(0)


def picture(width, height):
    return Image.fromarray(DRAW.integers(0, 256, (height, width, 3)).astype(np.uint8))


def seen(*sizes):
    return {Path(f"{index}.png"): Seen("", width, height) for index, (width, height) in enumerate(sizes)}


def rule(resize, size, *sizes):
    return chosen(resize, size, seen(*sizes), seen(*sizes))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 32), st.sampled_from(["crop", "fit"]), st.booleans())
def test_any_picture_becomes_a_square_of_the_size(width, height, size, how, spares):
    assert Resizing(how, size, spares)(picture(width, height)).size == (size, size)


def test_crop_is_what_evaluates_imagenet():
    image = picture(500, 375)
    evaluation = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    assert np.array_equal(Resizing("crop", 224)(image), evaluation(image))


@pytest.mark.parametrize("how", ["crop", "fit"])
@pytest.mark.parametrize("turned", [False, True])
def test_of_a_very_long_picture_the_middle_is_resized_without_the_rest(how, turned):
    values = np.zeros((1, 30_000, 3), np.uint8)
    values[:, 14_990:15_010] = 200
    image = Image.fromarray(values.swapaxes(0, 1) if turned else values)
    found = Resizing(how, 64)(image)
    assert found.size == (64, 64)
    assert np.asarray(found).min() == 200


def test_fit_keeps_the_whole_of_a_square_picture():
    image = Image.fromarray(np.pad(np.zeros((30, 30, 3), np.uint8), ((1, 1), (1, 1), (0, 0)), constant_values=255))
    assert np.asarray(Resizing("fit", 64)(image))[[0, -1]].min() > 200
    assert np.asarray(Resizing("crop", 64)(image))[[0, -1], 4:-4].max() < 100


@pytest.mark.parametrize("how", ["crop", "fit", "none"])
def test_a_picture_that_has_the_size_is_spared(how):
    image = picture(32, 32)
    assert Resizing(how, 32)(image) is image


def test_a_crop_that_was_asked_for_spares_nothing():
    image, (resizing, told) = picture(32, 32), rule("crop", 32, (32, 32))
    assert not np.array_equal(resizing(image), image)
    assert told == (
        "--resize crop: the shorter side is resized to 37 pixels and the centre 32×32 is taken, as ImageNet's "
        "evaluation does"
    )


@pytest.mark.parametrize(
    ("sizes", "how", "told"),
    [
        ([(32, 32)] * 3, "none", "all images are 32×32, and are used as they are"),
        ([(28, 28)] * 3, "fit", "--resize fit, since most training images are no larger than 32×32: the shorter side "),
        ([(28, 28), (20, 32), (90, 90)], "fit", "no larger"),
        ([(28, 28), (90, 20), (90, 90)], "crop", "--resize crop, since most training images are larger than 32×32"),
        ([(40, 40), (40, 40), (32, 32)], "crop", "; 1 of 3 images are 32×32 already, and are used as they are"),
    ],
)
def test_without_a_wish_the_training_images_decide_and_it_is_said(sizes, how, told):
    resizing, text = rule("auto", 32, *sizes)
    assert resizing.how == how
    assert resizing.spares
    assert told in text


def test_test_images_do_not_choose():
    train, both = seen((28, 28)), seen((28, 28), (500, 500), (500, 500))
    assert chosen("auto", 32, train, both)[0].how == "fit"


def test_none_is_for_images_that_have_the_size():
    assert rule("none", 32, (32, 32))[0] == Resizing("none", 32)
    with pytest.raises(DataError) as caught:
        rule("none", 32, *[(32, 32), (31, 32)] * 12)
    assert str(caught.value).startswith("--resize none: 12 of 24 images are not 32×32: 1.png (31×32), 3.png (31×32), ")
    assert str(caught.value).endswith("19.png (31×32) and 2 others. Give --image-size, or another --resize.")
