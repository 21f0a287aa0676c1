"""Images: in memory as uint8, or in files; resized on the CPU, then augmented and normalised a batch at a time on the
device, so that all devices see the same: a GPU's kernels round bytes otherwise when they resize them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from prunebench.data.cache import Source, When, cached
from prunebench.data.dataset import Dataset, Part
from prunebench.data.image_files import Look, decode, reason
from prunebench.data.objectives import asked_of
from prunebench.data.own_transform import OwnTransform
from prunebench.data.resizing import Resizing
from prunebench.data.shades import faint
from prunebench.data.survey import Reading
from prunebench.data.task import Batch, placed
from prunebench.data.workers import Workers
from prunebench.errors import DataError
from prunebench.models.input_spec import InputSpec
from prunebench.models.normalisation import Statistics
from prunebench.records import Shown
from prunebench.runs.digests import shown
from prunebench.seeding import generator

SHOWN = 96
"""Pixels of the longer side of an image that is shown, at most."""

FEW = 8
"""Images that a transform of the user's is tried on."""

BATCH = 1000
"""Images that are looked at at once."""

IMAGENET: Statistics = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels, which published weights expect."""


class ImageTask:
    """Classification of images, square after resizing; grey ones are repeated to three channels.

    Args:
        dataset: images in memory (uint8, N×H×W or N×C×H×W) or paths of image files.
        size: height and width that the model reads, pixels.
        statistics: mean and standard deviation of each channel to normalise with; None takes those of the
            training images, or ImageNet's for images in files.
        channels_last: memory layout of a batch.
        workers: processes that read image files.
        cache: whether images that are decoded or resized are kept.
        reading: how image files are read; None crops them as ImageNet's evaluation does, unless they have the size.
        class_weights: of each class in the loss.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        *,
        statistics: Statistics | None = None,
        channels_last: bool = False,
        workers: int = 2,
        cache: When = "auto",
        reading: Reading | None = None,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        self.packages = ("pillow",) if dataset.kind == "files" else ()
        self.classes = len(dataset.classes)
        self.objective, self.targets = asked_of(dataset, class_weights)
        self._transform = None if dataset.transform is None else OwnTransform(dataset.transform)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        doubted: tuple[str, ...] = ()
        own, sources = IMAGENET, dict[str, Source]()
        self._in_memory = dataset.kind == "images"
        if self._in_memory:
            doubted = tuple(_doubted(dataset, size))
            memory = {part: _Memory(split.inputs, size) for part, split in dataset.splits.items()}
            own = own if statistics else memory["train"].statistics()
            sources.update((str(part), source) for part, source in memory.items())
        else:
            files = _Files(dataset, reading or Reading(Look(), Resizing("crop", size)))
            readers = Workers(workers, files)
            sources = {part: _Read(readers, part, len(split), size) for part, split in dataset.splits.items()}
        self._sources, told = cached(sources, cache)
        self.notes = (
            *dataset.notes,
            *doubted,
            *([told] if told else ()),
            *_tried(self._transform, self._sources["train"]),
        )
        mean, std = statistics or own
        self.inputs = InputSpec(kind="images", channels=3, size=size, mean=mean, std=std)

    def batches(
        self,
        part: Part,
        chunks: Sequence[torch.Tensor],
        device: torch.device,
        *,
        augment: bool = False,
        training: bool = False,
    ) -> Iterator[Batch]:
        """Images as float32 of shape (batch, 3, size, size), and labels."""
        for pixels, chunk in zip(self._sources[part].read(chunks), chunks, strict=True):
            yield self._prepare(placed(pixels, device), augment, training), placed(self.targets[part][chunk], device)

    def kinds(self, part: Part) -> Mapping[str, torch.Tensor]:
        """Brightness and contrast of images in memory: mean and deviation of the values that are read, 0 to 1."""
        source = self._sources[part]
        if not self._in_memory:
            return {}
        values = [pixels.flatten(1).float().div_(255) for pixels in source.read(torch.arange(len(source)).split(BATCH))]
        return {
            "brightness": torch.cat([of.mean(1) for of in values] or [torch.zeros(0)]),
            "contrast": torch.cat([of.std(1, correction=0) for of in values] or [torch.zeros(0)]),
        }

    def shown(self, part: Part, samples: torch.Tensor) -> list[Shown]:
        """Images as the model reads them, but for normalisation, and no larger than SHOWN pixels."""
        found = []
        one_by_one = [samples[i : i + 1] for i in range(len(samples))]
        batches = self.batches(part, one_by_one, torch.device("cpu"))
        for index, (images, _) in zip(samples.tolist(), batches, strict=True):
            mean, std = (torch.tensor(values)[:, None, None] for values in (self.inputs.mean, self.inputs.std))
            pixels = (images[0] * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
            picture = F.to_pil_image(pixels)
            picture.thumbnail((SHOWN, SHOWN))
            found.append(Shown(index, png=_png(picture)))
        return found

    def _prepare(self, pixels: torch.Tensor, augment: bool, training: bool) -> torch.Tensor:
        if augment:
            pixels = crop_and_flip(pixels)
        if training and self._transform is not None:
            pixels = self._transform(pixels)
        images = pixels.float()
        if pixels.dtype == torch.uint8:
            images = images.div_(255)
        if len(self.inputs.mean) > 1:
            images = images.expand(-1, 3, -1, -1)
        images = F.normalize(images, list(self.inputs.mean), list(self.inputs.std))
        prepared: torch.Tensor = images.expand(-1, 3, -1, -1).contiguous(memory_format=self._layout)
        return prepared


def _tried(transform: OwnTransform | None, source: Source) -> Iterator[str]:
    """What is to be said of a transform, in words; raises DataError where it cannot be used."""
    if transform is None:
        return
    drawn = torch.randint(0, 256, (FEW, *source.shape), generator=generator(0, "transform")).to(torch.uint8)
    transform.check(drawn)
    yield f"training images are augmented by {transform.name}"
    if transform.treats_alike(drawn):
        yield (
            f"{transform.name} changes all images of a batch alike, as what torchvision has draws once for all that it "
            f"is given: torch.stack([augment(image) for image in images]) draws for each"
        )


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _doubted(dataset: Dataset, size: int) -> Iterator[str]:
    """Which sizes of images in memory are not what the model reads, and which parts look nearly alike, in words."""
    sizes = {tuple(split.inputs.shape[-2:]) for split in dataset.splits.values() if len(split)}
    for height, width in sorted(sizes - {(size, size)}):
        stretched = ", which stretches them" if height != width else ""
        yield f"images of {height}×{width} are scaled to {size}×{size} (--image-size){stretched}"
    for part, split in dataset.splits.items():
        if len(split) and (note := faint(part, len(split), int(split.inputs.min()), int(split.inputs.max()))):
            yield note


def crop_and_flip(pixels: torch.Tensor) -> torch.Tensor:
    """Pad by an eighth, crop at a random place and flip half of the images, each image for itself.

    The usual augmentation of CIFAR (4 pixels for 32; He et al. 2016). Shape (N, C, H, W) is kept.
    """
    count, _, height, width = pixels.shape
    pad = max(1, height // 8)
    padded = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))
    shifts = torch.randint(0, 2 * pad + 1, (2, count)).to(pixels.device)
    flip = (torch.rand(count) < 0.5).to(pixels.device)
    rows = shifts[0, :, None] + torch.arange(height, device=pixels.device)
    columns = torch.arange(width, device=pixels.device)
    columns = shifts[1, :, None] + torch.where(flip[:, None], columns.flip(0), columns)
    images = torch.arange(count, device=pixels.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class _Memory:
    """Images that fit into memory: uint8 of shape (N, C, H, W), C being 1 or 3; read as squares of a size."""

    def __init__(self, pixels: Any, size: int) -> None:
        images = torch.as_tensor(pixels)
        self._images = images[:, None] if images.ndim == 3 else images
        channels = self._images.shape[1]
        if channels not in (1, 3):
            raise DataError(f"Images must have 1 or 3 channels (N×C×H×W), not {channels}.")
        self.shape = channels, size, size
        self.costs = tuple(self._images.shape[1:]) != self.shape

    def __len__(self) -> int:
        return len(self._images)

    def read(self, chunks: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        for chunk in chunks:
            images = self._images[chunk]
            yield F.resize(images, list(self.shape[1:]), antialias=True) if self.costs else images

    def statistics(self) -> Statistics:
        """Mean and standard deviation of each channel, in units of 255."""
        means, deviations = [], []
        for channel in self._images.unbind(1):
            counts = torch.bincount(channel.flatten(), minlength=256).double()
            values = torch.arange(256, dtype=torch.float64) / 255
            mean = (counts @ values) / counts.sum()
            means.append(float(mean))
            deviations.append(max(float((counts @ (values - mean) ** 2 / counts.sum()).sqrt()), 1e-3))
        return tuple(means), tuple(deviations)


class _Files(torch.utils.data.Dataset[torch.Tensor]):
    """Part and index → an image in a file, decoded and resized, uint8 of shape (3, size, size)."""

    def __init__(self, dataset: Dataset, reading: Reading) -> None:
        self._paths = {str(part): split.inputs for part, split in dataset.splits.items()}
        self._reading = reading

    def __getitem__(self, key: tuple[str, int]) -> torch.Tensor:
        part, index = key
        path: Path = self._paths[part][index]
        try:
            image = decode(path, self._reading.look)
        except Exception as error:  # of any kind, as in the survey, since when the file has changed
            raise DataError(f"{shown(path)} cannot be read as an image: {reason(error, path)}") from error
        pixels: torch.Tensor = F.pil_to_tensor(self._reading.resizing(image))
        return pixels


class _Read:
    """The images of one part, read from files by processes that all parts share."""

    costs = True

    def __init__(self, workers: Workers, part: str, count: int, size: int) -> None:
        self._workers, self._part, self._count = workers, part, count
        self.shape = 3, size, size

    def __len__(self) -> int:
        return self._count

    def read(self, chunks: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        return self._workers.read([[(self._part, index) for index in chunk.tolist()] for chunk in chunks])
