"""Images: in memory as uint8, or in files; resized, augmented and normalised a batch at a time on the device."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision.transforms.v2 import functional as F

from prunebench.data.classification import Classification, Labels
from prunebench.data.dataset import Dataset, Part
from prunebench.data.task import Batch, Objective, Targets
from prunebench.errors import DataError
from prunebench.models.input_spec import InputSpec
from prunebench.models.normalisation import Statistics

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
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        *,
        statistics: Statistics | None = None,
        channels_last: bool = False,
        workers: int = 2,
    ) -> None:
        self.packages = ("pillow",) if dataset.kind == "files" else ()
        self.classes = len(dataset.classes)
        self.objective: Objective = Classification(self.classes)
        self.targets: Targets = Labels(dataset)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._sources: dict[str, _Memory | _Files] = {}
        for part, split in dataset.splits.items():
            in_memory = dataset.kind == "images"
            self._sources[part] = _Memory(split.inputs) if in_memory else _Files(split.inputs, size, workers)
        train = self._sources["train"]
        own = train.statistics() if isinstance(train, _Memory) and not statistics else IMAGENET
        mean, std = statistics or own
        self.inputs = InputSpec(kind="images", channels=3, size=size, mean=mean, std=std)

    def batches(
        self, part: Part, chunks: Sequence[torch.Tensor], device: torch.device, *, augment: bool = False
    ) -> Iterator[Batch]:
        """Images as float32 of shape (batch, 3, size, size), and labels."""
        for pixels, chunk in zip(self._sources[part].read(chunks), chunks, strict=True):
            yield self._prepare(pixels.to(device), augment), self.targets[part][chunk].to(device)

    def _prepare(self, pixels: torch.Tensor, augment: bool) -> torch.Tensor:
        size = [self.inputs.size] * 2
        if list(pixels.shape[-2:]) != size:
            pixels = F.resize(pixels, size, antialias=True)
        if augment:
            pixels = crop_and_flip(pixels)
        images = pixels.float().div_(255)
        if len(self.inputs.mean) > 1:
            images = images.expand(-1, 3, -1, -1)
        images = F.normalize(images, list(self.inputs.mean), list(self.inputs.std))
        prepared: torch.Tensor = images.expand(-1, 3, -1, -1).contiguous(memory_format=self._layout)
        return prepared


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
    """Images that fit into memory: uint8 of shape (N, C, H, W), C being 1 or 3."""

    def __init__(self, pixels: Any) -> None:
        images = torch.as_tensor(pixels)
        self._images = images[:, None] if images.ndim == 3 else images
        if self._images.shape[1] not in (1, 3):
            raise DataError(f"Images must have 1 or 3 channels (N×C×H×W), not {self._images.shape[1]}.")

    def read(self, chunks: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        for chunk in chunks:
            yield self._images[chunk]

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


def _set_signals(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the one that reads from the workers ends them when it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Files(torch.utils.data.Dataset[torch.Tensor]):
    """Images in files, decoded by worker processes: shorter side resized by 8/7 of the size, centre cropped."""

    def __init__(self, paths: Sequence[Path], size: int, workers: int) -> None:
        self._paths, self._size, self._workers = paths, size, workers

    def __getitem__(self, index: int) -> torch.Tensor:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(self._paths[index]) as file:
                image = F.resize(file.convert("RGB"), [round(self._size * 8 / 7)], antialias=True)
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{self._paths[index]} cannot be read as an image: {error}") from error
        pixels: torch.Tensor = F.pil_to_tensor(F.center_crop(image, [self._size, self._size]))
        return pixels

    def read(self, chunks: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        loader: Any = torch.utils.data.DataLoader(
            self,
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=self._workers,
            worker_init_fn=_set_signals,
            generator=torch.Generator().manual_seed(0),  # without it the loader draws from the global generator
        )
        try:
            yield from loader
        except DataError as error:  # from another process it comes with that process's traceback
            last = str(error).rstrip().splitlines()[-1]
            raise DataError(last.removeprefix(f"{DataError.__module__}.DataError: ")) from None
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise DataError(
                f"A process that reads images died: {reason}. Give the command again; --workers 0 reads without them."
            ) from error
