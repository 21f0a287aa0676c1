"""Folders: a model as Hugging Face keeps it, by its name or on the disk: its config, tokenizer, and how images come.

Only what is text or a tokenizer is read here, and no code of a folder is ever run; `hub` reads the weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError, DataError, ModelError, PrunebenchError
from prunebench.models import configs
from prunebench.models.hub_cache import cached
from prunebench.models.normalisation import Statistics, problem_of
from prunebench.models.quiet import quiet
from prunebench.reading import read_text, sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
BESIDE = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
SMALL = (CONFIG, PROCESSOR, *TOKENIZERS, *BESIDE)
"""Files of a folder that say what a model is and reads."""

SAFE, PICKLED = ("model*.safetensors", "model*.safetensors.index.json"), ("pytorch_model*.bin", "pytorch_model*.json")
"""Weights; those of the second kind are read with `weights_only`, where there are none of the first."""

NO_RESULT = ("transformers_version", "torch_dtype", "dtype", "id2label", "label2id")
"""Keys of a config that decide no model."""


@dataclass(frozen=True)
class Folder:
    """A folder of a model on the disk, or a name of Hugging Face, whose files lie in a cache.

    Attributes:
        name: as it is given: a path, or a name.
    """

    name: str

    @cached_property
    def place(self) -> Path | None:
        """Where the files are on this machine; None where they are not."""
        if _is_folder(self.name):
            return Path(self.name)
        file = None if self.is_path else cached(self.name, (CONFIG,))
        return None if file is None else file.parent

    @property
    def is_path(self) -> bool:
        """Whether it can only be a folder on the disk."""
        return _is_folder(self.name) or self.name.startswith((".", "/", "~")) or Path(self.name).is_absolute()

    @property
    def here(self) -> bool:
        """Whether nothing is downloaded to know what the model is."""
        return not self.name or self.is_path or self.place is not None

    def fetch(self, *, weights: bool = False) -> Path:
        """Where the files are, downloaded if they were not here.

        Raises:
            ConfigError: there is no such folder, or it has no config.
            DataError: they cannot be downloaded.
        """
        if not self.name:
            raise ConfigError("--model hf: lacks a name of Hugging Face, or a folder: give hf:NAME or hf:FOLDER.")
        if self.is_path and self.place is None:
            raise ConfigError(f"{self.name}: there is no such folder. Give one that has a {CONFIG}, or a name.")
        place = self.place if self.is_path else self._small
        assert place is not None
        if weights and not self.is_path:
            place = _downloaded(self.name, SAFE)
            if not any(place.glob(SAFE[0])):
                place = _downloaded(self.name, PICKLED)
        self.__dict__["place"] = place
        if not (place / CONFIG).is_file():
            raise ConfigError(f"{self.name} has no {CONFIG}. Give the whole folder of a model of transformers.")
        return place

    @cached_property
    def _small(self) -> Path:
        return _downloaded(self.name, SMALL)  # asks whether there is a newer one, once per process

    @cached_property
    def config(self) -> dict[str, Any]:
        """What the model is built by (see `configs`).

        Raises:
            ModelError: its type has no classifier, it is quantised, or the file is damaged.
        """
        found = self.settings
        try:
            with quiet():
                return configs.settled(found)
        except ModelError as error:
            raise ModelError(f"{self.name}: {str(error).rstrip('.')}.") from error
        except Exception as error:  # transformers raises whatever the file leads it to
            raise ModelError(f"{self.name}: its {CONFIG} cannot be read: {_reason(error)}.") from error

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What its config.json holds; raises ModelError where that is damaged."""
        return self._json(CONFIG)

    @cached_property
    def processor(self) -> dict[str, Any]:
        """What it says of images; empty where it says nothing."""
        return self._json(PROCESSOR) if self.place and (self.place / PROCESSOR).is_file() else {}

    def _json(self, file: str) -> dict[str, Any]:
        try:
            found = json.loads(read_text((self.place or Path(self.name)) / file))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{self.name}: its {file} cannot be read: {_reason(error)}.") from error
        if not isinstance(found, dict):
            raise ModelError(f"{self.name}: its {file} cannot be read: it holds no object.")
        return found

    @property
    def has_tokenizer(self) -> bool:
        """Whether it has a vocabulary of its own."""
        return self.place is not None and any((self.place / name).is_file() for name in TOKENIZERS)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Its tokenizer.

        Raises:
            ModelError: it cannot be read, or has no fast form.
        """
        from transformers import AutoTokenizer

        try:
            with quiet():
                found: Any = AutoTokenizer.from_pretrained(str(self.place), trust_remote_code=False)
            _ = found.backend_tokenizer
        except Exception as error:  # transformers raises whatever the files lead it to
            raise ModelError(f"{self.name}: its tokenizer cannot be read: {_reason(error)}.") from error
        fast: PreTrainedTokenizerFast = found
        return fast

    def image_size(self) -> int | None:
        """Height and width of the images that it is made for: of its processor, else of its config; None unsaid.

        Raises:
            ModelError: they are not square.
        """
        told = self.processor.get("crop_size" if self.processor.get("do_center_crop") else "size")
        told = told if told is not None else self.processor.get("size")
        if isinstance(told, Mapping):
            sides = [told[key] for key in ("height", "width", "shortest_edge") if isinstance(told.get(key), int)]
        else:
            sides = [side for side in (told if isinstance(told, list) else [told]) if isinstance(side, int)]
        if len(set(sides)) > 1:
            raise ModelError(f"{self.name} reads images of {'×'.join(map(str, sides))} pixels, and these are square.")
        return sides[0] if sides else configs.image_size(self.config)

    def statistics(self) -> Statistics | None:
        """The mean and standard deviation of images that are scaled to 0 to 1; None where it does not say.

        Raises:
            ModelError: they are none, or channels are in another order than red, green, blue.
        """
        about = self.processor
        if not about:
            return None
        if about.get("do_flip_channel_order"):
            raise ModelError(f"{self.name} reads blue before green and red, which prunebench does not.")
        factor = 255 * about.get("rescale_factor", 1 / 255) if about.get("do_rescale", True) else 255
        shift = 1 if about.get("rescale_offset") else 0
        normalised = about.get("do_normalize", True) and "image_mean" in about
        mean, std = (about["image_mean"], about["image_std"]) if normalised else ([0.0], [1.0])
        try:
            several = [[float(each) for each in (of if isinstance(of, list) else [of])] for of in (mean, std)]
            found = tuple((m + shift) / factor for m in several[0]), tuple(s / factor for s in several[1])
            problem = problem_of(*found)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelError(f"{self.name}: its {PROCESSOR} cannot be read: {_reason(error)}.") from error
        if problem:
            raise ModelError(f"{self.name}: its {PROCESSOR} has no statistics of images: {problem}.")
        return found

    def digest(self) -> str | None:
        """SHA-256 of what the model is and reads, whatever the folder is called; None where it cannot be read."""
        if self.place is None:
            return None
        try:
            decides = {key: value for key, value in self.settings.items() if key[:1] != "_" and key not in NO_RESULT}
        except ModelError:  # whatever was made of it was made of something else
            return None
        total = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
        for name in SMALL[1:]:
            if (self.place / name).is_file():
                total.update(f"{name} {sha256(self.place / name)}\n".encode())
        return total.hexdigest()

    def weights_digest(self) -> str | None:
        """SHA-256 of the weights on the disk; of a name the revision that is in the cache, None where none is."""
        if self.place is None:
            return None
        if not self.is_path:
            return self.place.name
        files = [file for pattern in (*SAFE, *PICKLED) for file in sorted(self.place.glob(pattern)) if file.is_file()]
        return hashlib.sha256("".join(f"{file.name} {sha256(file)}\n" for file in files).encode()).hexdigest()


def folder_of(name: str) -> Folder:
    """The folder of a name, read once while the files that say what the model is stay as they are."""
    files = [Path(name) / file for file in SMALL] if _is_folder(name) else []
    about = [file.stat() for file in files if file.is_file()]
    return _folder(name, tuple(value for each in about for value in (each.st_ino, each.st_size, each.st_mtime_ns)))


@cache
def _folder(name: str, stamp: tuple[int, ...]) -> Folder:
    return Folder(name)


def _is_folder(name: str) -> bool:
    return bool(name) and os.path.isdir(name)  # noqa: PTH112 — any text may stand here


def _downloaded(name: str, patterns: tuple[str, ...]) -> Path:
    """Where files of a name lie once they are downloaded, those alone that are not in the cache.

    Raises:
        DataError: they cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        with quiet():
            return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except PrunebenchError:
        raise
    except Exception as error:  # the hub raises whatever the network leads it to
        raise DataError(
            f"{name} is no folder, and could not be had from Hugging Face ({type(error).__name__}). Check the name, "
            f"connect to the network, or give a local folder."
        ) from error


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
