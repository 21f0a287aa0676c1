"""What is in the cache of Hugging Face's hub is found without network."""

from __future__ import annotations

import pytest

from prunebench.models.hub_cache import cached


@pytest.fixture
def folder(monkeypatch, no_network, tmp_path):
    """The cache's folder of some/model, as the hub's client keeps one that was downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--some--model"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc").mkdir(parents=True)
    return place / "snapshots" / "abc"


def test_the_first_file_that_is_there_is_given(folder):
    assert cached("some/model", ("a.bin", "b.bin")) is None
    (folder / "b.bin").write_bytes(b"b")
    assert cached("some/model", ("a.bin", "b.bin")) == folder / "b.bin"
    (folder / "a.bin").write_bytes(b"a")
    assert cached("some/model", ("a.bin", "b.bin")) == folder / "a.bin"


@pytest.mark.parametrize("name", ["", "a/b/c/d", "../model", "some/other"])
def test_of_what_is_no_name_or_was_not_downloaded_there_is_nothing(name, folder):
    (folder / "a.bin").write_bytes(b"a")
    assert cached(name, ("a.bin",)) is None
