"""An augmentation of the user's: of training batches alone, and the same whenever it is drawn again."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from prunebench import Dataset, Split
from prunebench.data.images import ImageTask
from prunebench.data.own_transform import OwnTransform
from prunebench.data.text import TextTask, train_tokenizer
from prunebench.errors import DataError

IMAGES = torch.randint(0, 256, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
CPU = torch.device("cpu")
counted = iter(range(1000))


def by_python(images):
    return images.roll(random.randrange(8), 3)


def by_numpy(images):
    return images.roll(np.random.randint(8), 3)


def by_torch(images):
    return images.roll(int(torch.randint(8, ())), 3)


def at(seed, function):
    torch.manual_seed(seed)
    return OwnTransform(function)(IMAGES.clone())


@pytest.mark.parametrize("function", [by_python, by_numpy, by_torch, lambda images: images / 255])
def test_it_is_decided_by_torchs_generator_alone(function):
    OwnTransform(function).check(IMAGES)
    random.seed(1)
    first = at(3, function)
    random.seed(2)
    assert torch.equal(first, at(3, function))


@pytest.mark.parametrize("function", [by_python, by_numpy, by_torch])
def test_it_is_another_for_another_seed(function):
    assert len({at(seed, function).numpy().tobytes() for seed in range(20)}) > 3


def test_the_generators_of_the_process_stay_as_they_were():
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    OwnTransform(by_numpy).check(IMAGES)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


REFUSED = {
    "gives another result for the same seed": lambda images: images + next(counted),
    "returned floats from 0 to 255": lambda images: images.float(),
    "made 6×1×4×8 of images of 6×1×8×8: keep the shape": lambda images: images[:, :, ::2],
    "returned torch.int64: images are uint8 from 0 to 255, or floats": lambda images: images.long(),
    "returned ndarray: return the tensor of images": lambda images: images.numpy(),
    "failed: ZeroDivisionError: division by zero": lambda images: 1 / 0,
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_no_model_could_be_trained_on_is_refused_in_a_line(message):
    with pytest.raises(DataError, match=re.escape(message)) as told:
        OwnTransform(REFUSED[message]).check(IMAGES)
    assert "\n" not in str(told.value)


flip = v2.RandomHorizontalFlip()


@pytest.mark.parametrize(
    ("function", "alike"),
    [
        (flip, True),
        (lambda images: torch.stack([flip(image) for image in images]), False),
        (lambda images: 255 - images, True),
        (lambda images: images, False),
    ],
)
def test_that_all_images_of_a_batch_are_treated_alike_is_noticed(function, alike):
    assert OwnTransform(function).treats_alike(IMAGES) == alike


def task_of(**more):
    split = Split(IMAGES.numpy(), np.arange(6) % 2)
    return ImageTask(Dataset(split, split, ["a", "b"], **more), 8)


def test_training_images_alone_are_augmented_and_then_normalised_alike():
    plain, bytes_, floats = (
        task_of(transform=function) for function in (None, lambda images: 255 - images, lambda images: 1 - images / 255)
    )
    chunk = [torch.arange(6)]
    for training in (False, True):
        (images, _), (other, _), (third, _) = (
            next(task.batches("train", chunk, CPU, training=training)) for task in (plain, bytes_, floats)
        )
        assert torch.equal(images, other) != training
        assert torch.allclose(other, third, atol=1e-6)
    assert torch.equal(torch.as_tensor(IMAGES), torch.as_tensor(task_of()._sources["train"]._images))
    assert any("augmented by" in note for note in bytes_.notes)
    assert any("all images of a batch alike" in note for note in bytes_.notes)


def test_texts_are_augmented_too():
    def drop(batch):
        keep = torch.rand(batch["attention_mask"].shape) < 0.5
        return batch | {"attention_mask": batch["attention_mask"] * keep}

    texts = ["a good film", "a dull play", "no"]
    split = Split(texts, np.array([0, 1, 1]))
    task = TextTask(Dataset(split, split, ["a", "b"], transform=drop), train_tokenizer(texts), 8)
    (plain, _), (other, _) = (
        next(task.batches("train", [torch.arange(3)], CPU, training=training)) for training in (False, True)
    )
    assert other["attention_mask"].sum() < plain["attention_mask"].sum()
    assert any("training texts are augmented by" in note for note in task.notes)
    bad = Dataset(split, split, ["a", "b"], transform=lambda batch: batch["input_ids"])
    with pytest.raises(DataError, match="is to return a mapping of input_ids and attention_mask"):
        TextTask(bad, train_tokenizer(texts), 8)
