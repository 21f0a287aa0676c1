"""Plain scripts: an iteration of pruning as people write it, and data for it that needs no download."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.datasets import FashionMNIST, ImageFolder

from prunebench.data.dataset import datasets
from prunebench.data.text import train_tokenizer
from prunebench.models.architecture import models

BATCH, FRACTION, LR = 64, 0.2, 3e-4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WIDTH, HEIGHT = 400, 300
"""Of the pictures in files, pixels; such pictures of ImageNet have 500 × 375 on average."""


class PlainScript:
    """A model, loaders of its data, and an iteration: what people write.

    Masks are those of `torch.nn.utils.prune`, and the optimizer is as its constructor comes.
    """

    def __init__(self, model: nn.Module, train: DataLoader[Any], test: DataLoader[Any]) -> None:
        self.model, self.train, self.test = model, train, test

    def iteration(self) -> None:
        """Prune, evaluate, train an epoch, evaluate."""
        layers = [module for module in self.model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        torch_prune.global_unstructured(
            [(layer, "weight") for layer in layers],
            pruning_method=torch_prune.L1Unstructured,
            amount=FRACTION,
        )
        self.accuracy(self.test)
        self.accuracy(self.train)
        self.model.train()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=LR, weight_decay=0.0)
        for inputs, labels in self.train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(self._logits(inputs), labels).backward()
            optimizer.step()
        self.accuracy(self.test)
        self.accuracy(self.train)

    def accuracy(self, loader: DataLoader[Any]) -> float:
        """Share of correct answers."""
        self.model.eval()
        correct = 0
        with torch.no_grad():
            for inputs, labels in loader:
                correct += int((self._logits(inputs).argmax(1) == labels).sum())
        return correct / len(loader.dataset)  # type: ignore[arg-type]

    def _logits(self, inputs: Any) -> torch.Tensor:
        found: torch.Tensor = self.model(inputs) if torch.is_tensor(inputs) else self.model(**inputs).logits
        return found


def of_fashion(model: str, size: int, counts: tuple[int, int], data_dir: str) -> PlainScript:
    """Fashion-MNIST, transformed image by image with PIL in two workers."""
    steps = [
        transforms.Resize(size),
        transforms.Grayscale(3),
        transforms.ToTensor(),
        transforms.Normalize((0.286,) * 3, (0.353,) * 3),
    ]
    data = [
        Subset(FashionMNIST(data_dir, train, transforms.Compose(steps)), range(count))
        for train, count in zip((True, False), counts, strict=True)
    ]
    return PlainScript(_built(model, classes=10, image_size=size, adapt=True), *_loaders(data, num_workers=2))


def of_folder(model: str, size: int, data_dir: str) -> PlainScript:
    """A folder of JPEG files, decoded and cropped with PIL in two workers."""
    steps = [
        transforms.Resize(round(size * 8 / 7)),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    data = [ImageFolder(Path(data_dir, part), transforms.Compose(steps)) for part in ("train", "test")]
    return PlainScript(_built(model, classes=2, image_size=size, adapt=True), *_loaders(data, num_workers=2))


def of_reviews(model: str) -> PlainScript:
    """The made-up reviews, tokenised by transformers batch by batch."""
    from transformers import PreTrainedTokenizerFast

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    reviews = datasets.get("reviews").load()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(reviews.train.inputs), pad_token="[PAD]", model_max_length=128
    )

    def collate(samples: Sequence[tuple[str, int]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        texts, labels = zip(*samples, strict=True)
        found = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        kept = {name: found[name] for name in ("input_ids", "attention_mask")}
        return kept, torch.tensor(labels)

    data = [_Pairs(split.inputs, split.labels) for split in (reviews.train, reviews.test)]
    built = _built(model, classes=2, config={"vocab_size": len(tokenizer)})
    return PlainScript(built, *_loaders(data, collate_fn=collate))


class _Pairs(Dataset[tuple[str, int]]):
    def __init__(self, texts: Any, labels: Any) -> None:
        self._texts, self._labels = texts, labels

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> tuple[str, int]:
        return self._texts[index], int(self._labels[index])


def _built(model: str, **arguments: Any) -> nn.Module:
    builder = models.get(model).build
    return builder(**{name: arguments[name] for name in builder.__annotations__ if name in arguments})


def _loaders(data: Sequence[Dataset[Any]], **how: Any) -> tuple[DataLoader[Any], DataLoader[Any]]:
    train, test = data
    return DataLoader(train, BATCH, shuffle=True, **how), DataLoader(test, BATCH, **how)


def write_jpegs(folder: Path, counts: tuple[int, int]) -> None:
    """Write a folder of images of two classes, train and test: smooth random pictures, of which one kind is darker."""
    draw = np.random.default_rng(0)
    for part, count in zip(("train", "test"), counts, strict=True):
        for index in range(count):
            name = ("dark", "light")[index % 2]
            place = folder / part / name
            place.mkdir(parents=True, exist_ok=True)
            coarse = draw.integers(0, 128, (15, 20, 3)).astype(np.uint8) + np.uint8(127 * (index % 2))
            picture = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            noisy = np.asarray(picture, np.int16) + draw.integers(-12, 13, (HEIGHT, WIDTH, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place / f"{index}.jpg", quality=90)
