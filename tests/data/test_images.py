"""Image batches: the pixels of the samples asked for, resized, normalised and laid out as the model reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from prunebench import Dataset, Split
from prunebench.data.images import IMAGENET, ImageTask, crop_and_flip
from prunebench.errors import DataError

CPU = torch.device("cpu")
DRAW = np.random.default_rng(0)


def dataset(*shape, test=4):
    images = DRAW.integers(0, 256, shape).astype(np.uint8)
    labels = np.arange(len(images)) % 2
    return Dataset(Split(images, labels), Split(images[:test], labels[:test]), ["even", "odd"])


def first(task, indices=(0, 1, 2), part="train", **about):
    return next(iter(task.batches(part, [torch.tensor(indices)], CPU, **about)))


@pytest.mark.parametrize("shape", [(9, 8, 8), (9, 1, 8, 8), (9, 3, 8, 8)])
@pytest.mark.parametrize("size", [8, 20])
def test_a_batch_is_three_channels_of_the_size_that_was_asked_for(shape, size):
    images, labels = first(ImageTask(dataset(*shape), size), (4, 1))
    assert images.shape == (2, 3, size, size)
    assert images.dtype == torch.float32
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("shape", "notes"),
    [
        ((9, 8, 8), ()),
        ((9, 3, 16, 16), ("images of 16×16 are scaled to 8×8 (--image-size)",)),
        ((9, 8, 6), ("images of 8×6 are scaled to 8×8 (--image-size), which stretches them",)),
    ],
)
def test_images_in_memory_of_another_size_are_told(shape, notes):
    assert ImageTask(dataset(*shape), 8, cache="off").notes == notes


@pytest.mark.parametrize("cache", ["auto", "off"])
@pytest.mark.parametrize("shape", [(9, 8, 8), (9, 3, 28, 24)])
def test_images_are_resized_on_the_cpu_whatever_the_device(shape, cache):
    """A GPU rounds bytes otherwise."""
    resized = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if "upsample" in str(function):
                resized.append(args[0].device.type)
            return function(*args, **kwargs or {})

    task = ImageTask(dataset(*shape), 20, cache=cache)
    for _ in range(2):
        with Watching():
            (images, labels), *_ = task.batches("train", [torch.arange(5), torch.arange(5, 9)], torch.device("meta"))
        assert images.device.type == labels.device.type == "meta"
    assert resized == ["cpu"] * (2 if cache == "auto" else 4)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("shape", [(9, 8, 8), (9, 3, 28, 24)])
def test_images_that_are_kept_are_those_that_are_resized_anew(shape, augment):
    data, batches = dataset(*shape), [torch.tensor([7, 0]), torch.tensor([3, 0, 8])]
    found = []
    for cache in ("off", "auto"):
        task = ImageTask(data, 20, cache=cache)
        torch.manual_seed(0)
        found.append([images for _ in range(3) for images, _ in task.batches("train", batches, CPU, augment=augment)])
    assert all(map(torch.equal, *found))


def test_images_in_memory_that_look_nearly_alike_are_told_by_their_part():
    data = dataset(9, 8, 8)
    masks = replace(data, test=Split(data.test.inputs % 2, data.test.labels))
    (note,) = ImageTask(masks, 8).notes
    assert note.startswith("test: all values of 4 images are from 0 to 1 of 255, so they look nearly alike.")


def test_a_batch_holds_the_samples_in_the_order_asked_for():
    data = dataset(9, 8, 8)
    task = ImageTask(data, 8, statistics=((0.0,) * 3, (1.0,) * 3))
    images, _ = first(task, (7, 0, 3))
    assert torch.equal((images[:, 0] * 255).round().byte(), torch.from_numpy(data.train.inputs[[7, 0, 3]]))


@pytest.mark.parametrize("shape", [(40, 8, 8), (40, 3, 8, 8)])
def test_training_images_have_mean_zero_and_variance_one(shape):
    images, _ = first(ImageTask(dataset(*shape), 8), range(40))
    assert images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (images.var((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_given_statistics_replace_those_of_the_data():
    task = ImageTask(dataset(9, 8, 8), 8, statistics=IMAGENET)
    assert (task.inputs.mean, task.inputs.std) == IMAGENET


def test_an_image_of_one_colour_is_finite():
    black = Split(np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2)
    images, _ = first(ImageTask(Dataset(black, black, ["a", "b"]), 8))
    assert images.eq(0).all()


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_layout_is_the_one_asked_for(channels_last):
    images, _ = first(ImageTask(dataset(9, 8, 8), 8, channels_last=channels_last))
    assert images.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_images_of_another_number_of_channels_are_refused():
    with pytest.raises(DataError, match="1 or 3 channels"):
        ImageTask(dataset(9, 2, 8, 8), 8)


def test_augmentation_follows_the_global_generator_and_never_touches_the_data():
    data = dataset(9, 16, 16)
    before, task = data.train.inputs.copy(), ImageTask(data, 16)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(first(task, augment=True)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert np.array_equal(data.train.inputs, before)


def test_augmentation_shifts_and_flips_each_image_for_itself():
    pixels = torch.arange(1, 257, dtype=torch.int16).view(1, 1, 16, 16).expand(300, 1, 16, 16)
    torch.manual_seed(0)
    views = crop_and_flip(pixels)
    assert views.shape == pixels.shape
    padded = torch.nn.functional.pad(pixels[0, 0], (2, 2, 2, 2))
    windows = [padded[y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    known = {tuple(window.flatten().tolist()) for window in windows}
    known |= {tuple(window.flip(1).flatten().tolist()) for window in windows}
    seen = {tuple(view.flatten().tolist()) for view in views}
    assert seen <= known
    assert len(seen) > 40  # of 50


@pytest.fixture
def folder_dataset(tmp_path):
    """Six images in files, wide and high, whose left half is dark and whose right half is light."""
    paths = []
    for index, (width, height) in enumerate([(40, 28), (28, 40), (32, 32)] * 2):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, width // 2 :] = 250
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    split = Split(paths, np.arange(6) % 2)
    return Dataset(split, split, ["a", "b"])


@pytest.mark.parametrize("workers", [0, 1])
def test_files_are_resized_and_cropped_at_the_centre(folder_dataset, workers):
    task = ImageTask(folder_dataset, 24, statistics=((0.0,) * 3, (1.0,) * 3), workers=workers)
    (images, labels), _ = task.batches("test", [torch.tensor([5, 0, 1]), torch.tensor([2])], CPU)
    assert images.shape == (3, 3, 24, 24)
    assert labels.tolist() == [1, 0, 1]
    assert images[..., :10].max() < 0.1
    assert images[..., 14:].min() > 0.9


def test_a_file_that_has_the_size_is_used_as_it_is(tmp_path):
    pixels = DRAW.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    split, memory = Split(paths, np.arange(2)), Split(pixels.transpose(0, 3, 1, 2), np.arange(2))
    of_files, in_memory = (
        first(ImageTask(Dataset(part, part, ["a", "b"]), 32, statistics=IMAGENET, workers=0), (0, 1))[0]
        for part in (split, memory)
    )
    assert torch.equal(of_files, in_memory)


def test_reading_files_leaves_the_global_generator_alone(folder_dataset):
    torch.manual_seed(0)
    first(ImageTask(folder_dataset, 24, workers=0))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize("cache", ["auto", "off"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_samples_are_the_same_to_the_bit_whoever_reads_them_and_whether_they_are_kept(folder_dataset, workers, cache):
    usual, task = (
        ImageTask(folder_dataset, 24, **about)
        for about in ({"workers": 0, "cache": "off"}, {"workers": workers, "cache": cache})
    )
    passes = [("train", [torch.tensor([5, 0, 1]), torch.tensor([2])]), ("test", [torch.arange(6)])] * 2
    for part, batches in passes:
        pairs = zip(usual.batches(part, batches, CPU), task.batches(part, batches, CPU), strict=True)
        assert all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_files_that_are_kept_are_opened_once_and_it_is_told(folder_dataset):
    task = ImageTask(folder_dataset, 24, workers=0)
    assert task.notes[-1] == "12 images are kept in memory once they are read, 1 MB (--cache)"
    before = first(task, range(6))[0]
    for path in folder_dataset.train.inputs:
        path.unlink()
    assert torch.equal(first(task, range(6))[0], before)
    assert ImageTask(folder_dataset, 24, workers=0, cache="off").notes == ()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_no_image_is_named_in_one_line(folder_dataset, workers):
    path = folder_dataset.train.inputs[0]
    path.write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        first(ImageTask(folder_dataset, 24, workers=workers))
    assert str(caught.value).startswith(f"{path} cannot be read as an image: ")
    assert len(str(caught.value).splitlines()) == 1


def test_images_in_memory_are_told_apart_by_brightness_and_contrast(blobs):
    dataset = blobs()
    kinds = ImageTask(dataset, 12).kinds("test")
    pixels = dataset.test.inputs.reshape(25, -1) / 255
    assert np.allclose(kinds["brightness"], pixels.mean(1), atol=1e-6)
    assert np.allclose(kinds["contrast"], pixels.std(1), atol=1e-6)


@pytest.mark.parametrize("cache", ["on", "off"])
def test_images_that_are_resized_are_told_apart_too_whether_they_are_kept(cache, blobs):
    task = ImageTask(blobs(), 20, cache=cache)
    (pixels,) = task._sources["test"].read([torch.arange(25)])
    kinds = task.kinds("test")
    assert torch.equal(kinds["brightness"], pixels.flatten(1).float().div_(255).mean(1))
    assert kinds["contrast"].shape == (25,)


def test_where_no_sample_is_asked_for_none_is_shown(tiny_task):
    assert tiny_task.shown("test", torch.tensor([], dtype=torch.int64)) == []
