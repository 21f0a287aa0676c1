"""Tensors and metadata of safetensors are read from wherever the file lies."""

import os

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from prunebench.models.tensor_files import read_tensors, with_versions

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(True), "c": torch.ones(2, dtype=torch.bfloat16)}


@pytest.mark.parametrize("name", ["plain", "é", os.fsdecode(b"caf\xe9")])
@pytest.mark.parametrize("about", [None, {"format": "pt", "é": "{}"}])
def test_a_file_is_read_whatever_its_folder_is_called(tmp_path, name, about):
    try:
        (tmp_path / name).mkdir()
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    save_file(TENSORS, tmp_path / name / "a.safetensors", about)
    tensors, metadata = read_tensors(tmp_path / name / "a.safetensors")
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)
    assert metadata == (about or {})
    (tmp_path / name / "a.safetensors").write_bytes(b"no tensors, but more than eight bytes")
    with pytest.raises(SafetensorError):
        read_tensors(tmp_path / name / "a.safetensors")
    with pytest.raises(OSError, match="No such file"):
        read_tensors(tmp_path / name / "none.safetensors")


class Versioned(nn.Linear):
    """Refuses a state that tells no version, as some of torchvision's models do."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *about):
        assert local_metadata.get("version") == 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *about)


def test_tensors_become_a_state_of_the_models_own_versions():
    model, values = nn.Sequential(Versioned(2, 2)), {"0.weight": torch.ones(2, 2), "0.bias": torch.zeros(2)}
    model.load_state_dict(with_versions(model, values))
    assert torch.equal(model[0].weight, torch.ones(2, 2))
