"""GLUE SST-2: sentences from film reviews, positive or negative."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from prunebench.data.dataset import Dataset, Split, about_to_download, register
from prunebench.data.datasets.text_file import Reading, read_pair
from prunebench.errors import DataError


def files(data_dir: Path) -> Iterable[Path]:
    """GLUE's own files, where they are in the folder; else those that the `datasets` library has put there."""
    return _own(data_dir) or sorted((data_dir / "glue").rglob("*.arrow"))


def _own(data_dir: Path) -> list[Path]:
    paths = [data_dir / "train.tsv", data_dir / "dev.tsv"]
    return paths if all(path.is_file() for path in paths) else []


@register(
    "sst2",
    "GLUE SST-2, sentences of film reviews, 2 classes, 67,349 train and 872 test",
    reads="text",
    files=files,
    defaults={"sequence_length": 64},
    downloads=True,
)
def load(data_dir: Path, *, trust_data: bool = False) -> Dataset:
    """`train.tsv` and `dev.tsv` of `data_dir`, else GLUE by the `datasets` library.

    `trust_data` takes what is asked about in these files as it is. The validation part is the test set, since the
    labels of GLUE's test part are not public.
    Source: Socher et al. 2013; Wang et al. 2019.
    """
    if local := _own(data_dir):
        return read_pair(*local, how=Reading(trust=trust_data))
    about_to_download("SST-2")
    from datasets import load_dataset

    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # its retries are no news
    try:
        glue = load_dataset("nyu-mll/glue", "sst2", cache_dir=str(data_dir / "glue"))
    except Exception as error:
        raise DataError(
            f"SST-2 could not be downloaded ({type(error).__name__}). Connect to the network, or put GLUE's "
            f"train.tsv and dev.tsv into {data_dir}, or point --data-dir at a folder that holds them."
        ) from error
    finally:
        hub.setLevel(level)
    train, test = (Split(list(glue[part]["sentence"]), list(glue[part]["label"])) for part in ("train", "validation"))
    return Dataset(train, test, ["negative", "positive"])
